"""Taking an object off pictures, by the mask that was given or by a better one.

A hand's mask is seldom exact. What it leaves out stays in the background, and what it takes in besides has to be
invented again. A mask may be drawn to outlines first (`decoupage.images.grabcut`); and a first look finds the object
whole, so that a second one can take off what of it shows.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from decoupage.adapter import AdapterConfig
from decoupage.images.blending import paste_back
from decoupage.images.forms import to_uint8
from decoupage.images.grabcut import refined_mask
from decoupage.images.sizes import Geometry
from decoupage.maps.table import StoredMaps
from decoupage.output import GROW_PX
from decoupage.own_size import enlargement, own_foreground
from decoupage.preparation import Prepared, prepare, side_by_side, undo

_WINDOW_PX = 3
"""Layers are compared with the picture as means over as many of the model's pixels: they lack its detail."""


def take_off(
    adapter: AdapterConfig,
    decompose: Callable[[Prepared], tuple[Tensor, Tensor]],
    picture_B3HW: Tensor,
    mask_B1HW: Tensor,
    stored: Sequence[StoredMaps],
    geometry: Geometry,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An object's layer; what it leaves, with the pictures' own pixels and as it was generated; and by which mask.

    Args:
        decompose: gives foreground and background at the model's size (`LayerDecompositionPipeline.decompose`).
        picture_B3HW: in [0, 1]; mask_B1HW: 0 or 1; stored: maps of each picture; all at the pictures' own size.

    Returns:
        [B, 4, H, W], [B, 3, H, W], [B, 3, H, W] in [0, 1], and [B, 1, H, W] of 0 and 1.
    """
    given = _refined(picture_B3HW, mask_B1HW) if adapter.refine_masks else mask_B1HW
    mask, pictures, look = given, picture_B3HW.permute(0, 2, 3, 1).numpy(), 1
    while True:
        holes = mask[:, 0].numpy() > 0
        prepared = side_by_side([prepare(*each, geometry) for each in zip(pictures, holes, stored, strict=True)])
        rgba, rgb = decompose(prepared)
        generated = undo(rgb, geometry)
        left = paste_back(picture_B3HW, generated, mask, GROW_PX)
        foreground = own_foreground(rgba, prepared, picture_B3HW, left, mask, adapter.alpha_levels)
        if look == adapter.num_looks:
            return foreground, left, generated, mask
        layers = (foreground[:, 3:], undo(rgba, geometry)[:, :3], generated)
        mask, look = shown_mask(*layers, picture_B3HW, given, enlargement(geometry)), look + 1


def _refined(picture_B3HW: Tensor, mask_B1HW: Tensor) -> Tensor:
    pairs = zip(to_uint8(picture_B3HW), mask_B1HW[:, 0].cpu().numpy() > 0, strict=True)
    return torch.from_numpy(np.stack([refined_mask(*pair) for pair in pairs])).to(mask_B1HW)[:, None]


def shown_mask(
    alpha_B1HW: Tensor,
    foreground_B3HW: Tensor,
    background_B3HW: Tensor,
    picture_B3HW: Tensor,
    mask_B1HW: Tensor,
    enlarged: float,
) -> Tensor:
    """[B, 1, H, W] of 0 and 1: where the object shows; the given mask of a picture where nothing was found.

    The object shows where it is opaque and the mask says so, and where it looks more like the picture than the
    background does; where it is opaque and does not, something covers it.

    Args:
        alpha_B1HW: of the foreground, in [0, 1], at the picture's size.
        foreground_B3HW, background_B3HW: as the model gave them, in [0, 1], at the same size.
        picture_B3HW: in [0, 1].
        mask_B1HW: the given mask, 0 or 1.
        enlarged: how many times larger than the model's the picture is.
    """
    window_px = 2 * round(_WINDOW_PX * enlarged / 2) + 1
    theirs, ours = (_distance(layer, picture_B3HW, window_px) for layer in (foreground_B3HW, background_B3HW))
    given = mask_B1HW > 0
    found = (alpha_B1HW >= 0.5) & (given | (theirs < ours))
    is_empty_B = ~found.flatten(1).any(dim=1)
    return torch.where(is_empty_B.reshape(-1, 1, 1, 1), given, found).to(mask_B1HW)


def _distance(layer_B3HW: Tensor, picture_B3HW: Tensor, window_px: int) -> Tensor:
    """[B, 1, H, W]: mean absolute difference over channels and a window."""
    difference_B1HW = (layer_B3HW - picture_B3HW).abs().mean(dim=1, keepdim=True)
    return functional.avg_pool2d(difference_B1HW, window_px, 1, window_px // 2, count_include_pad=False)
