"""LayerDiffuse on SDXL: loading, and painting by DPM++ 2M with Karras' noise levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionXLPipeline
from torch import Tensor, nn

from decoupage.faults import BadItem
from decoupage.images.types import Rgba
from pipelines.foregrounds.layerdiffuse.decoder import build_decoder
from pipelines.foregrounds.layerdiffuse.merge import attention_keys, fuse_lora, merge_deltas, open_tensors
from pipelines.foregrounds.layerdiffuse.settings import PROMPT_SUFFIX, Settings
from pipelines.foregrounds.layerdiffuse.transparent import SDXL, decode
from pipelines.foregrounds.layerdiffuse.weights import Weights


@dataclass(frozen=True)
class SdxlPainter:
    """A pipeline that has learned transparency, and the decoder that shows it."""

    settings: Settings
    pipe: Any
    decoder: nn.Module

    @torch.inference_mode()
    def paint(self, texts: Sequence[str], seeds: Sequence[int]) -> list[Rgba | BadItem]:
        """One picture for each text and seed, painted together."""
        latents = self.pipe(
            prompt=[text + PROMPT_SUFFIX for text in texts],
            negative_prompt=[self.settings.negative_prompt] * len(texts),
            latents=self._start(seeds),
            height=self.settings.height_px,
            width=self.settings.width_px,
            num_inference_steps=self.settings.num_steps,
            guidance_scale=self.settings.guidance,
            output_type="latent",
        ).images
        return decode(latents, self.pipe.vae, self.decoder, SDXL)

    def _start(self, seeds: Sequence[int]) -> Tensor:
        """Noise at the highest level with nothing under it, as the publisher starts.

        There that is `noise * sigma_max`; divided by sqrt(sigma_max ** 2 + 1), as this scheduler scales its samples,
        it is `noise * sqrt(1 - alphas_cumprod[-1])`: a little less than 1, where diffusers' own start is 1.
        """
        unet = self.pipe.unet
        shape = (unet.config.in_channels, self.settings.height_px // 8, self.settings.width_px // 8)
        # On the CPU, whatever the device: the same seed is the same noise everywhere.
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        level = (1 - self.pipe.scheduler.alphas_cumprod[-1]).sqrt()
        return (noise * level.cpu()).to(unet.device, unet.dtype)


def load_sdxl(settings: Settings, weights: Weights) -> SdxlPainter:
    """Load everything onto the profile's device.

    Raises:
        BadSetup: a file is damaged, or does not fit the base.
    """
    dtype = getattr(torch, settings.dtype)
    # In float16 SDXL's VAE overflows; bfloat16 has the range, and its coarseness stays below a picture's 8 bits.
    vae_dtype = torch.float32 if dtype == torch.float32 else torch.bfloat16
    vae = AutoencoderKL.from_pretrained(
        weights.base, subfolder="vae", variant=weights.variant, dtype=vae_dtype, use_safetensors=True
    )
    pipe = StableDiffusionXLPipeline.from_pretrained(
        weights.base,
        vae=vae,
        variant=weights.variant,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        add_watermarker=False,
    )
    if settings.variant == "deltas":
        merge_deltas(pipe.unet, weights.adapter)
    else:
        fuse_lora(pipe, pipe.unet, weights.adapter, len(attention_keys(pipe.unet)))
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
    )
    pipe.set_progress_bar_config(disable=True)
    with open_tensors(weights.decoder) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - a file, not a dict
    decoder = build_decoder(tensors, weights.decoder.name)
    return SdxlPainter(settings, pipe.to(settings.device), decoder.to(settings.device, dtype))
