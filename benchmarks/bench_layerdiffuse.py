"""What LayerDiffuse on SDXL costs on a GPU: time and memory by batch size.

    python benchmarks/bench_layerdiffuse.py [--size-px 1024] [--batches 1 4 8 16] [--steps 25] [--repeats 3] [--json]

The networks have their real geometry and random weights, which cost what trained ones do, and run through the
product's own painter: float16, the VAE in bfloat16, guidance by two halves, eight passes of the decoder. Without a GPU
there is nothing worth measuring: it says so and exits with status 1.

- `seconds_per_picture_batch_<n>`: median of `--repeats` whole batches, painting and decoding.
- `peak_gb_batch_<n>`: most memory held; null where the batch does not fit.
- `network_gb_per_picture`: what one more picture takes, from the peaks without decoding; `PICTURE_GB` of
  `pipelines/foregrounds/layerdiffuse/memory.py` must not be below it, nor `WEIGHTS_GB` below `weights_gb`, nor
  `DECODING_GB` below `decoding_gb` (each for one megapixel).
- `automatic_batch`: what the product would choose here. `hours_per_10000`: at that batch size's nearest figure.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipelines.config import GeneratedConfig
from pipelines.foregrounds.layerdiffuse.decoder import BLOCK_CHANNELS, TransparentDecoder
from pipelines.foregrounds.layerdiffuse.memory import fitting_batch
from pipelines.foregrounds.layerdiffuse.sdxl import SdxlPainter
from pipelines.foregrounds.layerdiffuse.settings import Settings, settings
from pipelines.foregrounds.layerdiffuse.transparent import SDXL, decode

Geometry = dict[str, Any]
GIGA = 1e9
REAL: Geometry = {
    "unet": {
        "sample_size": 128,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (320, 640, 1280),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "vae": {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "scaling_factor": 0.13025,
    },
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "text_2": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "projection_dim": 1280,
    },
    "decoder": BLOCK_CHANNELS,
}


def make_painter(geometry: Geometry, wanted: Settings) -> SdxlPainter:
    """A painter of random weights on the settings' device."""
    torch.manual_seed(0)
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    dtype = getattr(torch, wanted.dtype)
    with torch.device(wanted.device):
        pipe = StableDiffusionXLPipeline(
            vae=AutoencoderKL(**geometry["vae"]).eval(),
            text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=49408, **ends, **geometry["text"])).eval(),
            text_encoder_2=CLIPTextModelWithProjection(
                CLIPTextConfig(vocab_size=49408, **ends, **geometry["text_2"])
            ).eval(),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            unet=UNet2DConditionModel(**geometry["unet"]).eval(),
            scheduler=DPMSolverMultistepScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True
            ),
            add_watermarker=False,
        )
        decoder = TransparentDecoder(4, geometry["decoder"]).eval().to(dtype)
    pipe.to(dtype=dtype)
    pipe.vae.to(torch.bfloat16 if dtype == torch.float16 else dtype)
    pipe.set_progress_bar_config(disable=True)
    return SdxlPainter(wanted, pipe, decoder)


def measure(painter: SdxlPainter, batches: list[int], repeats: int) -> dict[str, Any]:
    """Time and memory of each batch size; the painter must be on a GPU."""
    weights_gb = torch.cuda.memory_allocated() / GIGA
    figures: dict[str, Any] = {"weights_gb": weights_gb}
    network_gb: dict[int, float] = {}
    for size in batches:
        texts, seeds = ["glass bottle"] * size, list(range(size))
        try:
            seconds, peak_gb = _timed(lambda t=texts, s=seeds: painter.paint(t, s), repeats)
            network_gb[size] = _network_peak_gb(painter, size)
        except torch.OutOfMemoryError:
            seconds = peak_gb = None
            torch.cuda.empty_cache()
        figures[f"seconds_per_picture_batch_{size}"] = seconds and seconds / size
        figures[f"peak_gb_batch_{size}"] = peak_gb
    height, width = painter.settings.height_px // 8, painter.settings.width_px // 8
    latents = torch.randn(1, 4, height, width, device="cuda")
    seconds, peak_gb = _timed(lambda: decode(latents, painter.pipe.vae, painter.decoder, SDXL), repeats)
    figures |= {"decoding_seconds_per_picture": seconds, "decoding_gb": peak_gb - weights_gb}
    few, many = min(network_gb, default=0), max(network_gb, default=0)
    if many > few:
        figures["network_gb_per_picture"] = (network_gb[many] - network_gb[few]) / (many - few)
    figures["automatic_batch"] = automatic = fitting_batch(painter.settings)
    if network_gb:
        nearest = min(network_gb, key=lambda size: abs(size - automatic))
        figures["hours_per_10000"] = figures[f"seconds_per_picture_batch_{nearest}"] * 10_000 / 3600
    return figures


def _timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(median seconds, peak GB) after one run to warm up."""
    work()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), torch.cuda.max_memory_allocated() / GIGA


@torch.inference_mode()
def _network_peak_gb(painter: SdxlPainter, size: int) -> float:
    """Peak of one call of the UNet for this number of pictures, with both halves of the guidance."""
    unet, pair = painter.pipe.unet, 2 * size
    height, width = painter.settings.height_px // 8, painter.settings.width_px // 8
    config = unet.config
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    added = {"text_embeds": torch.randn(pair, pooled), "time_ids": torch.ones(pair, 6)}
    added = {name: tensor.to(unet.device, unet.dtype) for name, tensor in added.items()}
    text = torch.randn(pair, 77, config.cross_attention_dim, device=unet.device, dtype=unet.dtype)
    torch.cuda.reset_peak_memory_stats()
    sample = torch.randn(pair, 4, height, width, device=unet.device, dtype=unet.dtype)
    unet(sample, 500, encoder_hidden_states=text, added_cond_kwargs=added)
    return torch.cuda.max_memory_allocated() / GIGA


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=3, help="timed batches; the median counts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    run = {"size_px": arguments.size_px, "steps": arguments.steps, "repeats": arguments.repeats}
    run |= {"gpu": "none", "torch": torch.__version__}
    if torch.cuda.is_available():
        config = GeneratedConfig(generator="layerdiffuse", size_px=arguments.size_px, num_steps=arguments.steps)
        run["gpu"] = torch.cuda.get_device_name()
        run |= measure(make_painter(REAL, settings(config)), arguments.batches, arguments.repeats)
    figures = {name: round(value, 3) if isinstance(value, float) else value for name, value in run.items()}
    if run["gpu"] == "none":
        figures["not_measured"] = "there is no GPU here"
    print(json.dumps(figures) if arguments.json else "\n".join(f"{k:36} {v}" for k, v in figures.items()))
    raise SystemExit(1 if run["gpu"] == "none" else 0)


if __name__ == "__main__":
    main()
