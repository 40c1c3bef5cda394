"""Alpha arithmetic, in one place: premultiply, resize, blend, bleed.

Files hold straight alpha; arithmetic is premultiplied; invisible pixels carry bled colour, so that no later
filter pulls a black fringe into view. Blending is exact integer arithmetic: the same bytes on every machine.
"""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from pipelines.images.types import Gray, Rgb, Rgba


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


def resize_rgba(rgba: Rgba, width_px: int, height_px: int, rotation_deg: float = 0.0) -> Rgba:
    """Resize, then rotate (counter-clockwise, canvas grown to fit), premultiplied, bicubic with antialiasing.

    The result is straight alpha. Invisible and opaque pixels have the filtered straight colour of the input, which
    must therefore be bled (new corners take the mean visible colour). Pillow's fixed-point resampling gives the
    same bytes on every processor.
    """
    # Width first, then height, as Pillow does within one call: the rim is removed after each.
    steps: list[Callable[[Image.Image], Image.Image]] = [
        lambda image: image.resize((width_px, image.height), Resampling.BICUBIC),
        lambda image: image.resize((width_px, height_px), Resampling.BICUBIC),
    ]
    if rotation_deg != 0.0:
        weight = np.maximum(rgba[..., 3].astype(np.float64), 1e-6)
        mean = tuple(int(c) for c in np.average(rgba[..., :3], axis=(0, 1), weights=weight))
        steps.append(lambda image: _rotate(image, rotation_deg, mean))
    premultiplied, colour = Image.fromarray(rgba).convert("RGBa"), Image.fromarray(rgba).convert("RGB")
    for step in steps:
        colour = step(colour)
        premultiplied = _without_rim(step(premultiplied), colour)
    straight = _unpremultiply(_pixels(premultiplied))
    invisible = straight[..., 3] == 0
    straight[invisible, :3] = np.asarray(colour)[invisible]
    return straight


def _rotate(image: Image.Image, rotation_deg: float, corner: tuple[int, ...]) -> Image.Image:
    fill = corner if image.mode == "RGB" else None
    return image.rotate(rotation_deg, Resampling.BICUBIC, expand=True, fillcolor=fill)


def _pixels(premultiplied: Image.Image) -> Rgba:
    # Pillow has no array interface for premultiplied pictures, but its bytes are plain.
    shape = (premultiplied.height, premultiplied.width, 4)
    return np.frombuffer(premultiplied.tobytes(), np.uint8).reshape(shape)


def _without_rim(premultiplied: Image.Image, colour: Image.Image) -> Image.Image:
    """Give opaque pixels the straight colour, which is the same except just inside an outline.

    There bicubic overshoots: what goes beyond 255 is cut from alpha but stays in the premultiplied colour, and
    would show as a rim that is some levels too bright.
    """
    pixels = _pixels(premultiplied).copy()
    opaque = pixels[..., 3] == 255
    pixels[opaque, :3] = np.asarray(colour)[opaque]
    return Image.frombuffer("RGBa", premultiplied.size, pixels.tobytes(), "raw", "RGBa", 0, 1)


def _unpremultiply(premultiplied: Rgba) -> Rgba:
    alpha = premultiplied[..., 3:].astype(np.uint16)
    # Bicubic overshoot can leave colour above alpha; it is not a colour, so it is clamped.
    colour = np.minimum(premultiplied[..., :3], alpha)
    straight = (colour * np.uint32(255) + alpha // 2) // np.maximum(alpha, 1)
    return np.concatenate([straight.astype(np.uint8), premultiplied[..., 3:]], axis=-1)


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
    """Average an alpha down, then rotate as `resize_rgba` does: the coarse shape that placement works with."""
    resized = Image.fromarray(alpha).resize((width_px, height_px), Resampling.BOX)
    if rotation_deg == 0.0:
        return np.asarray(resized)
    return np.asarray(resized.rotate(rotation_deg, Resampling.BILINEAR, expand=True))
