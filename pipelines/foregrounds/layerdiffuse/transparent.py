"""From latents to RGBA: the VAE, eight passes of the transparent decoder, their median.

Which channel is alpha, and whether pixels are clipped before the decoder sees them, differs between the families.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from decoupage.faults import BadItem
from decoupage.images.types import Rgba


@dataclass(frozen=True)
class Convention:
    """How a family's decoder was trained.

    Attributes:
        clip_pixels: what the VAE gives is clipped to [0, 1] first.
        alpha_first: its channels are alpha, red, green, blue; else red, green, blue, alpha.
    """

    clip_pixels: bool
    alpha_first: bool


SDXL = Convention(clip_pixels=True, alpha_first=True)
"""https://github.com/lllyasviel/LayerDiffuse_DiffusersCLI, lib_layerdiffuse/vae.py."""
FLUX = Convention(clip_pixels=False, alpha_first=False)
"""https://github.com/RedAIGC/Flux-version-LayerDiffuse, lib_layerdiffuse/vae.py and demo_t2i.py."""


@torch.inference_mode()
def decode(latents_BCHW: Tensor, vae: Any, decoder: nn.Module, convention: Convention) -> list[Rgba | BadItem]:
    """Decode latents, one picture after another, so that memory does not grow with the batch.

    Args:
        latents_BCHW: as the network left them, in its scale; [B, C, H/8, W/8].
        vae: a diffusers AutoencoderKL.

    Returns:
        For each [H, W, 4] uint8, straight alpha, or BadItem `not_finite` where the numbers overflowed.
    """
    z = latents_BCHW.to(vae.dtype) / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
    return [_decode_one(z_1CHW, vae, decoder, convention) for z_1CHW in z.split(1)]


def _decode_one(z_1CHW: Tensor, vae: Any, decoder: nn.Module, convention: Convention) -> Rgba | BadItem:
    pixels = vae.decode(z_1CHW).sample * 0.5 + 0.5
    # Clipping would turn an infinite value into black or white, and hide it.
    if not bool(z_1CHW.isfinite().all() and pixels.isfinite().all()):
        return BadItem("not_finite", "the latents or the VAE's pixels overflowed; another dtype may help")
    if convention.clip_pixels:
        pixels = pixels.clip(0, 1)
    dtype = next(decoder.parameters()).dtype
    channels = median_of_views(decoder, pixels.to(dtype), z_1CHW.to(dtype))[0]
    if not bool(channels.isfinite().all()):
        return BadItem("not_finite", "the network's numbers overflowed; another dtype may help")
    if convention.alpha_first:
        channels = channels.roll(-1, dims=0)
    # Cut off, not rounded, as the publishers do: 255 means exactly 1.
    rgba: Rgba = (channels.movedim(0, -1).float() * 255).cpu().numpy().astype(np.uint8)
    return rgba


@torch.inference_mode()
def median_of_views(decoder: nn.Module, pixels_B3HW: Tensor, z_BCHW: Tensor) -> Tensor:
    """The lower median over eight passes: the picture as it is and mirrored, each turned four ways.

    Views of equal shape go through the network together: two batches of four times B, because those on their side are
    W by H.

    Returns:
        [B, 4, H, W] in [0, 1]; not finite wherever any of the eight is not.
    """
    views: list[Tensor] = []
    for turns in ((0, 2), (1, 3)):
        ways = [(flip, k) for flip in (False, True) for k in turns]
        seen = decoder(*(torch.cat([_turn(x, *way) for way in ways]) for x in (pixels_B3HW, z_BCHW)))
        finite = torch.where(seen.isfinite(), seen.clip(0, 1), torch.nan)
        views += [_turn_back(x, *way) for x, way in zip(finite.chunk(len(ways)), ways, strict=True)]
    return torch.stack(views).median(dim=0).values


def _turn(x_BCHW: Tensor, flip: bool, k: int) -> Tensor:
    return torch.rot90(x_BCHW.flip(3) if flip else x_BCHW, k, dims=(2, 3))


def _turn_back(x_BCHW: Tensor, flip: bool, k: int) -> Tensor:
    turned = torch.rot90(x_BCHW, -k, dims=(2, 3))
    return turned.flip(3) if flip else turned
