"""Alpha arithmetic, in one place: premultiply, resize, blend, bleed.

Files hold straight alpha; arithmetic is premultiplied; invisible pixels carry bled colour, so that no later
filter pulls a black fringe into view. Blending is exact integer arithmetic: the same bytes on every machine.
"""

import cv2
import numpy as np

from decoupage.images.types import Array, Gray, Rgb, Rgba


def divide_by_255(product: np.ndarray) -> np.ndarray:
    """Round `product / 255` to the nearest integer, exactly, for uint16 values up to 65,025 (255 * 255)."""
    biased = product + np.uint16(128)
    return (biased + (biased >> np.uint16(8))) >> np.uint16(8)


def blend(below_rgb: Rgb, above_rgba: Rgba) -> Rgb:
    """Lay a straight-alpha RGBA picture over an opaque one of the same size.

    Each channel is `round((c * a + b * (255 - a)) / 255)`, rounded once.
    """
    alpha = above_rgba[..., 3:].astype(np.uint16)
    mixed = above_rgba[..., :3] * alpha + below_rgb * (np.uint16(255) - alpha)
    return divide_by_255(mixed).astype(np.uint8)


def darken(below_rgb: Rgb, opacity: Gray) -> Rgb:
    """Lay black of an opacity [H, W] over a picture of the same size, exactly as `blend` does."""
    return transmittance(below_rgb, opacity[..., None])


def resize_rgba(rgba: Rgba, width_px: int, height_px: int, rotation_deg: float = 0.0) -> Rgba:
    """Resize, then rotate (counter-clockwise, canvas grown to fit), premultiplied, in float32.

    Area averaging downwards, bicubic upwards and for the turn. Bicubic overshoots at an outline by the same factor
    in colour and in alpha; nothing is cut before they are divided, so no rim comes of it. The result is straight
    alpha; where it is invisible it carries the filtered straight colour of the input, which must be bled.
    """
    shrinks = width_px * height_px < rgba.shape[0] * rgba.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    visible = rgba[..., 3:].astype(np.float32) / np.float32(255)
    premultiplied: Array = np.concatenate([rgba[..., :3] * visible, visible], axis=-1)
    premultiplied = cv2.resize(premultiplied, (width_px, height_px), interpolation=method)
    colour = cv2.resize(rgba[..., :3], (width_px, height_px), interpolation=method)
    if rotation_deg != 0.0:
        premultiplied = _rotate(premultiplied, rotation_deg, cv2.BORDER_CONSTANT)
        colour = _rotate(colour, rotation_deg, cv2.BORDER_REPLICATE)
    alpha = premultiplied[..., 3:]
    straight = premultiplied[..., :3] / np.maximum(alpha, np.float32(1 / 510))
    result = np.rint(np.concatenate([straight, alpha * 255], axis=-1).clip(0, 255)).astype(np.uint8)
    invisible = result[..., 3] == 0
    result[invisible, :3] = colour[invisible]
    return result


def _rotate(picture: Array, rotation_deg: float, border: int) -> Array:
    """Turn about the centre onto a canvas that holds all of it; its size is that of `rotated_size`."""
    height, width = picture.shape[:2]
    new_width, new_height = rotated_size(width, height, rotation_deg)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rotation_deg, 1.0)
    matrix[:, 2] += (new_width - width) / 2, (new_height - height) / 2
    return cv2.warpAffine(picture, matrix, (new_width, new_height), flags=cv2.INTER_CUBIC, borderMode=border)


def rotated_size(width_px: int, height_px: int, rotation_deg: float) -> tuple[int, int]:
    """(width, height) of the smallest upright box, in whole pixels, around a turned rectangle."""
    sine, cosine = abs(np.sin(np.radians(rotation_deg))), abs(np.cos(np.radians(rotation_deg)))
    return int(np.ceil(width_px * cosine + height_px * sine)), int(np.ceil(width_px * sine + height_px * cosine))


def bleed(rgba: Rgba) -> Rgba:
    """Fill the colour of invisible and half-visible pixels smoothly from the visible ones; alpha is unchanged.

    The pyramid fill that LayerDiffuse publishes as `pad_rgb`: levels shrink by 1.2, and from the coarsest up
    each level's colour is laid over the one below it.
    """
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    if not alpha.any():
        raise ValueError("bleed needs at least one visible pixel, got an all-transparent picture")
    level = np.concatenate([rgba[..., :3].astype(np.float32) / 255.0 * alpha, alpha], axis=-1)
    levels = [level]
    while min(level.shape[:2]) > 1:
        size = (int(level.shape[1] / 1.2), int(level.shape[0] / 1.2))
        level = cv2.resize(level, size, interpolation=cv2.INTER_AREA)
        levels.append(level)
    total = levels[0].sum(axis=(0, 1))
    fill = (total[:3] / total[3]).reshape(1, 1, 3)
    for level in reversed(levels):
        # cv2 drops the size-1 axis of single-column pictures, so the shape is restored.
        fill = cv2.resize(fill, (level.shape[1], level.shape[0]), interpolation=cv2.INTER_LINEAR)
        fill = fill.reshape(*level.shape[:2], 3)
        fill = level[..., :3] + fill * (1.0 - level[..., 3:])
    colour = np.clip(fill * 255.0, 0, 255).astype(np.uint8)
    return np.concatenate([colour, rgba[..., 3:]], axis=-1)


def transmittance(below: Gray, above_alpha: Gray) -> Gray:
    """Light that passes: `below * (255 - above_alpha) / 255`, rounded exactly; 255 = nothing in the way."""
    return divide_by_255(below.astype(np.uint16) * (np.uint16(255) - above_alpha)).astype(np.uint8)


def alpha_box(alpha: Gray) -> tuple[int, int, int, int]:
    """The tight box (left, top, right, bottom; right and bottom exclusive) around alpha > 0."""
    rows = np.flatnonzero(alpha.any(axis=1))
    columns = np.flatnonzero(alpha.any(axis=0))
    if rows.size == 0:
        raise ValueError("alpha_box needs at least one visible pixel, got an all-transparent picture")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def resize_alpha(alpha: Gray, width_px: int, height_px: int, rotation_deg: float = 0.0) -> Gray:
    """Average an alpha down, then turn it as `resize_rgba` does: the coarse shape that placement works with."""
    resized: Array = cv2.resize(alpha, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return resized if rotation_deg == 0.0 else _rotate(resized, rotation_deg, cv2.BORDER_CONSTANT)
