"""The mask that a first look at a picture gives: where its object shows, as far as the adapter could tell.

A hand's mask is seldom exact. What it leaves out stays in the background, and what it takes in besides has to be
invented again. A first look finds the object whole; a second one takes off what of it shows.
"""

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW_PX = 3
"""Layers are compared with the picture as means over as many of the model's pixels: they lack its detail."""


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
