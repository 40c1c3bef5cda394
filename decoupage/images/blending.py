"""Laying pictures over one another: paste-back of untouched pixels, and recomposition of layers with its error."""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from decoupage.images.alpha import alpha_box, blend


def paste_back(
    original_BCHW: torch.Tensor, generated_BCHW: torch.Tensor, mask_B1HW: torch.Tensor, grow_px: int
) -> torch.Tensor:
    """Take the generated picture inside the mask and the original outside of it.

    The seam lies in a ring of `grow_px` around the mask: at Euclidean distance d from the mask the generated
    picture weighs (1 + cos(pi d / (grow_px + 1))) / 2. Beyond the ring pixels are the original's own, bit for bit.

    Args:
        original_BCHW: [B, C, H, W].
        generated_BCHW: the same shape.
        mask_B1HW: [B, 1, H, W] of 0 and 1, 1 = generated.
        grow_px: width of the ring, px; 0 = a hard seam.

    Raises:
        ValueError: shapes that differ, a negative `grow_px`.
    """
    if original_BCHW.shape != generated_BCHW.shape:
        raise ValueError(f"shapes differ: {tuple(original_BCHW.shape)} and {tuple(generated_BCHW.shape)}")
    if mask_B1HW.shape != (len(original_BCHW), 1, *original_BCHW.shape[-2:]):
        raise ValueError(f"the mask has shape {tuple(mask_B1HW.shape)}, the picture {tuple(original_BCHW.shape)}")
    if grow_px < 0:
        raise ValueError(f"grow_px must be at least 0, got {grow_px}")
    weights = np.stack([seam(mask[0], grow_px) for mask in mask_B1HW.detach().cpu().numpy() > 0])
    weight_B1HW = torch.from_numpy(weights)[:, None].to(original_BCHW)
    generated_BCHW = generated_BCHW.to(original_BCHW)
    blended = torch.lerp(original_BCHW, generated_BCHW, weight_B1HW.expand_as(original_BCHW))
    # lerp is exact at 0 and 1 only for finite values; a NaN of the model must not leave its mask either.
    return torch.where(weight_B1HW == 0, original_BCHW, blended)


def seam(mask_HW: np.ndarray, grow_px: int) -> np.ndarray:
    """Weight of the generated picture in `paste_back`, float32 [H, W]: 1 in the mask, 0 just beyond the ring."""
    if not mask_HW.any():
        return np.zeros(mask_HW.shape, np.float32)
    distance = cv2.distanceTransform((~mask_HW).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = (1 + np.cos(math.pi * distance / (grow_px + 1))) / 2
    # cv2's distances are off by some 1e-6, hence the tolerance at the ring's outer edge.
    return np.where(distance <= grow_px + 1e-3, weight, 0).astype(np.float32)


def recompose(foreground_rgba: Any, background_rgb: Any) -> np.ndarray:
    """Lay one or more foregrounds over a background, in 8-bit levels.

    Each channel of each layer is `round((c * a + b * (255 - a)) / 255)`, rounded once a layer, from the
    backmost layer forward: the same arithmetic as the data set's composites.

    Args:
        foreground_rgba: PIL RGBA or uint8 [H, W, 4], straight alpha; or a list of them, front to back.
        background_rgb: PIL RGB or uint8 [H, W, 3].

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: wrong channels or dtype, sizes that differ.
    """
    layers = list(foreground_rgba) if isinstance(foreground_rgba, list | tuple) else [foreground_rgba]
    picture = levels(background_rgb, 3)
    for layer in reversed([levels(layer, 4) for layer in layers]):
        if layer.shape[:2] != picture.shape[:2]:
            sizes = [f"{x.shape[1]}x{x.shape[0]} px" for x in (layer, picture)]
            raise ValueError(f"the foreground is {sizes[0]}, the background is {sizes[1]}")
        picture = blend(picture, layer)
    return picture


class RecompositionError(NamedTuple):
    """How far layers laid over one another are from the picture they were taken from."""

    mean_absolute: float
    """Mean absolute difference over pixels and channels, in 8-bit levels."""
    psnr_db: float
    """Peak signal-to-noise ratio; infinite for equal pictures."""


def recomposition_error(recomposition_rgb: Any, original_rgb: Any) -> RecompositionError:
    """Compare a recomposition with its original; PIL RGB or uint8 [H, W, 3] each.

    Raises:
        ValueError: wrong channels or dtype, sizes that differ.
    """
    first, second = levels(recomposition_rgb, 3), levels(original_rgb, 3)
    if first.shape != second.shape:
        raise ValueError(f"sizes differ: {first.shape[1]}x{first.shape[0]} and {second.shape[1]}x{second.shape[0]} px")
    difference = first.astype(np.int16) - second
    squared = float(np.mean(difference.astype(np.float64) ** 2))
    psnr_db = 10 * math.log10(255**2 / squared) if squared else math.inf
    return RecompositionError(float(np.abs(difference).mean()), psnr_db)


def levels(picture: Any, channels: int) -> np.ndarray:
    """uint8 [H, W, channels] of a PIL image or an array that already has this form. Raises ValueError."""
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != channels:
        kind = picture.mode if isinstance(picture, Image.Image) else f"{array.dtype} {array.shape}"
        raise ValueError(f"expected {'RGBA' if channels == 4 else 'RGB'}, uint8 [H, W, {channels}], got {kind}")
    return array


def visible_box(rgba: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom; the last two exclusive) around alpha > 0; None where nothing is visible."""
    return alpha_box(rgba[..., 3]) if rgba[..., 3].any() else None
