"""Where sampling starts: at noise, or at a first guess of both halves, which a small network then corrects.

The guess of the background is a smooth filling of the hole, that of the foreground the cutout under the mask: what one
would have without a network. Straight paths from a guess to the truth are flow matching with another starting
distribution (Liu et al. 2022, "Flow Straight and Fast", allow any), and one step along one is a regression.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoupage.bases.spec import Base
from decoupage.rgba_vae import encode_rgba

_NUM_SWEEPS = 8
"""Sweeps of a level, ours: more of them change the filling little."""
_GROWN_PX = 1
"""What is filled is larger than the hole by this many of the model's pixels: 0.9 dB better inside masks
(benchmarks/RESULTS.md)."""


@torch.no_grad()
def background_start(
    base: Base, vae: nn.Module, picture_B3HW: Tensor, hole_B1HW: Tensor, noise: Callable[[], Tensor]
) -> Tensor:
    """Tokens [B, N, token_dim] at noise level 1 of the background half.

    Args:
        picture_B3HW: in [-1, 1].
        hole_B1HW: 1 where it generates.
        noise: draws the tokens of a base that starts from noise.
    """
    if base.starts_from == "noise":
        return noise()
    # An object's rim often lies outside its mask, and a filling would spread its colour over all of the hole.
    side = 2 * _GROWN_PX + 1
    grown_B1HW = functional.max_pool2d(hole_B1HW, side, stride=1, padding=_GROWN_PX)
    return base.pack(base.encode_mode(vae, smooth_filling(picture_B3HW, grown_B1HW)))


@torch.no_grad()
def foreground_start(
    base: Base, vae_rgba: nn.Module, picture_B3HW: Tensor, kept_B1HW: Tensor, noise: Callable[[], Tensor]
) -> Tensor:
    """Tokens [B, N, token_dim] at noise level 1 of the foreground half; `kept_B1HW` is 1 where it keeps the picture."""
    if base.starts_from == "noise":
        return noise()
    cutout_B4HW = torch.cat([picture_B3HW * kept_B1HW, 2 * kept_B1HW - 1], dim=1)
    return base.pack(encode_rgba(vae_rgba, cutout_B4HW))


def smooth_filling(picture_BCHW: Tensor, hole_B1HW: Tensor) -> Tensor:
    """The pictures with their holes filled as smoothly as possible: about the solution of Laplace's equation.

    Known pixels are averaged level by level; then from the coarsest level up the holes take the level below and are
    smoothed by Jacobi's sweeps. Pixels outside holes stay as they are. A picture that is all hole becomes mid-gray.

    Args:
        picture_BCHW: in [-1, 1], any number of channels.
        hole_B1HW: 1 = to be filled; other values are 0.
    """
    known = 1 - hole_B1HW
    levels = [(picture_BCHW * known, known)]
    while min(levels[-1][0].shape[-2:]) > 1:
        values, known = levels[-1]
        share = functional.avg_pool2d(known, 2, ceil_mode=True)
        averaged = functional.avg_pool2d(values, 2, ceil_mode=True) / share.clamp(min=1e-6)
        levels.append((averaged, (share > 0).to(values.dtype)))
    values, known = levels[-1]
    mean = (values * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
    filled = values * known + mean * (1 - known)
    for values, known in reversed(levels):
        if filled.shape != values.shape:
            filled = functional.interpolate(filled, values.shape[-2:], mode="bilinear")
        filled = values * known + filled * (1 - known)
        for _ in range(_NUM_SWEEPS):
            padded = functional.pad(filled, (1, 1, 1, 1), mode="replicate")
            across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
            along = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
            filled = values * known + (across + along) / 4 * (1 - known)
    return filled
