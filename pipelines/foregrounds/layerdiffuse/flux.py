"""LayerDiffuse on FLUX.1 [dev]: a LoRA, and a decoder that comes as a pickle."""

import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn

from decoupage.faults import BadItem, BadSetup
from decoupage.images.types import Rgba
from pipelines.foregrounds.layerdiffuse.decoder import build_decoder
from pipelines.foregrounds.layerdiffuse.merge import fuse_lora
from pipelines.foregrounds.layerdiffuse.settings import PROMPT_SUFFIX, Settings
from pipelines.foregrounds.layerdiffuse.transparent import FLUX, decode
from pipelines.foregrounds.layerdiffuse.weights import Weights

_DECODER = "decoder."


@dataclass(frozen=True)
class FluxPainter:
    """A pipeline that has learned transparency, and the decoder that shows it."""

    settings: Settings
    pipe: Any
    decoder: nn.Module

    @torch.inference_mode()
    def paint(self, texts: Sequence[str], seeds: Sequence[int]) -> list[Rgba | BadItem]:
        """One picture for each text and seed, painted together."""
        height_px, width_px = self.settings.height_px, self.settings.width_px
        tokens = self.pipe(
            prompt=[text + PROMPT_SUFFIX for text in texts],
            height=height_px,
            width=width_px,
            num_inference_steps=self.settings.num_steps,
            guidance_scale=self.settings.guidance,
            # On the CPU, whatever the device: the same seed is the same noise everywhere.
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",
        ).images
        return decode(unpack(tokens, height_px, width_px), self.pipe.vae, self.decoder, FLUX)


def unpack(tokens_BNC: Tensor, height_px: int, width_px: int) -> Tensor:
    """FLUX.1's tokens, each of 2 x 2 latents -> [B, C / 4, H / 8, W / 8]."""
    batch, _, channels = tokens_BNC.shape
    height, width = height_px // 16, width_px // 16
    x = tokens_BNC.view(batch, height, width, channels // 4, 2, 2)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels // 4, 2 * height, 2 * width)


def load_flux(settings: Settings, weights: Weights) -> FluxPainter:
    """Load everything onto the profile's device.

    Raises:
        BadSetup: a file is damaged, holds what a decoder does not, or does not fit the base.
    """
    dtype = getattr(torch, settings.dtype)
    pipe = FluxPipeline.from_pretrained(
        weights.base, variant=weights.variant, dtype=dtype, use_safetensors=True, local_files_only=True
    )
    fuse_lora(pipe, pipe.transformer, weights.adapter, None)
    pipe.set_progress_bar_config(disable=True)
    decoder = build_decoder(read_decoder(weights.decoder), weights.decoder.name)
    return FluxPainter(settings, pipe.to(settings.device), decoder.to(settings.device, dtype))


def read_decoder(path: Path) -> dict[str, Tensor]:
    """The decoder's tensors out of the published pickle, which holds an encoder too.

    It is read by torch's reader of bare tensors, which can run nothing.

    Raises:
        BadSetup: it is damaged, or holds anything but tensors.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadSetup(f"{path} cannot be read as plain tensors ({reason}); get the file again") from error
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise BadSetup(f"{path} holds something other than named tensors; get the file again")
    return {key.removeprefix(_DECODER): value for key, value in held.items() if key.startswith(_DECODER)}
