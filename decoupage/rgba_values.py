"""RGBA pictures in the range of the RGBA VAE: [-1, 1], mid-gray where nothing is visible.

Kept apart from the VAE, so that data loading can use it without loading any model library but torch.

The colour under soft alpha: where alpha > 0, however little, the colour stays straight. That is what files hold, and a
premultiplied colour would have to be divided by alpha after decoding, which multiplies the decoder's error by 1 / alpha
just at the outline. Where alpha is exactly 0 there is no colour to keep, and it is mid-gray (0.0), the value that
FLUX.1-Fill sees in a hole: everything outside the foreground becomes one constant value that the base knows. The jump
between the two lies where alpha is nearly 0, so an error made there does not show in a composite.
"""

import torch
from torch import Tensor

NEARLY = 8 / 255
"""Alpha up to this counts as 0, from 1 - this as 1; cutouts are cleaned by the same rule before training."""


def check_channels(name: str, x_BCHW: Tensor, num_channels: int) -> None:
    """Refuse a tensor that is not [B, num_channels, H, W]. Raises ValueError."""
    if x_BCHW.ndim != 4 or x_BCHW.shape[1] != num_channels:
        raise ValueError(f"{name} must be [B, {num_channels}, H, W], got {list(x_BCHW.shape)}")


def gray_where_invisible(rgba_B4HW: Tensor) -> Tensor:
    """Training target: RGBA in [-1, 1] with mid-gray (0.0) where alpha is exactly invisible (-1)."""
    check_channels("rgba_B4HW", rgba_B4HW, 4)
    colour_B3HW, alpha_B1HW = rgba_B4HW[:, :3], rgba_B4HW[:, 3:]
    return torch.cat([torch.where(alpha_B1HW > -1.0, colour_B3HW, 0.0), alpha_B1HW], dim=1)


def stretch_alpha(rgba_B4HW: Tensor, low: float, high: float) -> Tensor:
    """Stretch alpha in [0, 1] so that `low` becomes 0 and `high` 1; colours stay. (0, 1) changes nothing."""
    check_channels("rgba_B4HW", rgba_B4HW, 4)
    stretched = ((rgba_B4HW[:, 3:] - low) / (high - low)).clamp(0.0, 1.0)
    return torch.cat([rgba_B4HW[:, :3], stretched], dim=1)


def clean_alpha(rgba_B4HW: Tensor, low: float, high: float) -> Tensor:
    """What a decoder gave, at the picture's own size, as a foreground: `stretch_alpha`, then `without_haze`."""
    return without_haze(stretch_alpha(rgba_B4HW, low, high))


def without_haze(rgba_B4HW: Tensor) -> Tensor:
    """Set alpha that is nearly 0 to 0 and alpha that is nearly 1 to 1; colours stay. RGBA in [0, 1].

    Foregrounds of the training data have no alpha there (see `NEARLY`), so such values are the decoder's error: a haze
    over the whole canvas, or an object that is slightly transparent.
    """
    check_channels("rgba_B4HW", rgba_B4HW, 4)
    colour_B3HW, alpha_B1HW = rgba_B4HW[:, :3], rgba_B4HW[:, 3:]
    cleared = torch.where(alpha_B1HW <= NEARLY, 0.0, torch.where(alpha_B1HW >= 1.0 - NEARLY, 1.0, alpha_B1HW))
    return torch.cat([colour_B3HW, cleared], dim=1)
