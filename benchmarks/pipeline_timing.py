"""How much a whole picture costs beyond the calls of the network: the pipeline against as many bare calls."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from benchmarks.model_geometry import Geometry, forward, made_on, make_fusion, make_network, make_sample, make_text
from benchmarks.model_timing import Figures, timed_ms
from decoupage.bases.flux import FluxFill
from decoupage.bases.spec import Components, Text
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.rgba_vae import widen_vae

NAMES = ("bare_calls_s", "pipeline_s", "pipeline_to_bare_calls_ratio")


class FixedPrompt(FluxFill):
    """The base with its one prompt embedded already, as a service would keep it: no text encoder is needed."""

    def __init__(self, text: Text) -> None:
        self.text = text

    def embed_text(self, components: Components, prompts: Sequence[str], device: torch.device) -> Text:
        """The same for every prompt."""
        return self.text


def make_pipeline(geometry: Geometry, device: str, dtype: torch.dtype) -> LayerDecompositionPipeline:
    """The pipeline with random weights, the adapter in the base's type, as for use."""
    network = make_network(geometry, device, dtype, dtype).eval()
    with made_on(device, dtype):
        vae = AutoencoderKL(**geometry.vae).eval()
        text = make_text(geometry)
    texts: dict[str, Any] = dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    pipe = LayerDecompositionPipeline(
        transformer=network,
        vae=vae,
        vae_rgba=widen_vae(vae),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        adapter=geometry.adapter.to_dict(),
        fusion=make_fusion(geometry, device, dtype) if geometry.adapter.maps else None,
        **texts,
    )
    pipe.base = FixedPrompt(text)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def time_pipeline(geometry: Geometry, device: str, steps: int, repeats: int, dtype: torch.dtype) -> Figures:
    """A whole picture in this many steps, with all its maps given, against as many calls of the network alone.

    The picture's time holds everything between pixels in and pixels out: codec, fusion, scheduler, recomposition.
    """
    pipe, sample = make_pipeline(geometry, device, dtype), make_sample(geometry, device, dtype)
    picture, mask, maps = _inputs(geometry)

    def whole() -> None:
        options = {"num_inference_steps": steps, "max_pixels": geometry.size_px**2, "output_type": "np"}
        pipe(picture, mask=mask, maps=maps, **options)

    def bare() -> None:
        for _ in range(steps):
            forward(geometry, pipe.transformer, sample, geometry.adapter.mode)

    with torch.no_grad():
        bare_s, whole_s = (timed_ms(call, repeats, device, warm_up=1) / 1000 for call in (bare, whole))
    return dict(zip(NAMES, (bare_s, whole_s, whole_s / bare_s), strict=True))


def _inputs(geometry: Geometry) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """A random picture, a mask over its middle, and a map of each kind."""
    size = geometry.size_px
    mask = torch.zeros(size, size)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = 1
    labels = torch.randint(0, 150, (size, size), dtype=torch.uint8)
    maps = {"edges": labels > 75, "segmentation": labels, "depth": torch.rand(size, size)}
    return torch.rand(3, size, size), mask, {name: maps[name] for name in geometry.adapter.maps}
