"""Contexts: what each half of the sequence keeps, what it generates, and what the maps say about the picture.

The background keeps what lies outside the mask and generates inside, as an inpainting model does; the foreground
keeps what lies inside and generates outside (the paper's outpainting). In both, mask value 1 means: generate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from decoupage.bases.spec import Base
from decoupage.fusion import MultiModalLatentFusion

ForegroundContext = Literal["foreground", "background", "none"]
"""`foreground` = the paper's; ablations: `background` = the background's context twice, `none` = all zeros."""


@dataclass(frozen=True)
class Contexts:
    """Context tokens of both halves, to be concatenated to the noisy ones.

    Attributes:
        background_BNK, foreground_BNK: [B, N, base.context_dim].
        picture_BND: the picture's own tokens [B, N, token_dim], for bases that take them in sequence, else None.
    """

    background_BNK: Tensor
    foreground_BNK: Tensor
    picture_BND: Tensor | None


def make_contexts(
    base: Base,
    vae: nn.Module,
    picture_BCHW: Tensor,
    hole_B1HW: Tensor,
    kept_B1HW: Tensor,
    foreground: ForegroundContext = "foreground",
    generator: torch.Generator | None = None,
) -> Contexts:
    """Encode picture and masks for both halves.

    Args:
        picture_BCHW: in [-1, 1].
        hole_B1HW: 1 where the background half generates, 0 where it keeps the picture.
        kept_B1HW: 1 where the foreground half keeps the picture, 0 where it generates.
        generator: of the draw from the VAE's posterior, for bases that sample it.
    """
    background = _context(base, vae, picture_BCHW, hole_B1HW, generator)
    if foreground == "foreground":
        other = _context(base, vae, picture_BCHW, 1 - kept_B1HW, generator)
    else:
        other = background.clone() if foreground == "background" else torch.zeros_like(background)
    picture = base.pack(base.encode(vae, picture_BCHW, generator)) if base.context == "sequence" else None
    return Contexts(background, other, picture)


def fuse_maps(
    base: Base,
    vae: nn.Module,
    fusion: MultiModalLatentFusion | None,
    image_latents_BCHW: Tensor,
    maps_BCHW: Mapping[str, Tensor],
    grid: tuple[int, int],
    present_BM: Tensor | None = None,
) -> Tensor | None:
    """Fused context [B, N, token_dim] of any subset of the maps, for both halves; None without a fusion module.

    Args:
        image_latents_BCHW: of the picture, as `base.encode` gives them.
        maps_BCHW: map pictures [B, 3, H, W] in [-1, 1] by name (`decoupage.maps.table`), at the picture's size.
        grid: (rows, columns) of tokens.
        present_BM: which maps each picture has, see `MultiModalLatentFusion.forward`.
    """
    if fusion is None:
        return None
    dtype = next(fusion.parameters()).dtype
    latents = {name: base.encode_mode(vae, x.to(image_latents_BCHW.device)) for name, x in maps_BCHW.items()}
    tokens = {name: base.pack(x).to(dtype) for name, x in latents.items()}
    fused: Tensor = fusion(base.pack(image_latents_BCHW).to(dtype), tokens, grid, present_BM)
    return fused.to(image_latents_BCHW.dtype)


def _context(
    base: Base, vae: nn.Module, picture_BCHW: Tensor, generate_B1HW: Tensor, generator: torch.Generator | None
) -> Tensor:
    """[B, N, context_dim]: the picture with a gray hole where something is generated, and that hole's mask."""
    mask = base.pack_mask(generate_B1HW)
    if base.context == "sequence":
        return mask
    # In [-1, 1] zero is mid-gray, the value inpainting models are trained to see in a hole.
    kept = base.pack(base.encode(vae, picture_BCHW * (1 - generate_B1HW), generator))
    return torch.cat([kept, mask.to(kept.dtype)], dim=-1)
