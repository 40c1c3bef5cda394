"""The size at which foreign images are judged: one rule for all of a case, and for every method.

The longer side becomes `size_px`, the shape stays, and both sides go to a multiple of 16, which latents of every base
divide; nothing is padded, cut or enlarged. Scenes of our own are resized by their parts (`pipelines.scenes.resize`).
"""

from dataclasses import replace

import cv2
import numpy as np

from decoupage.faults import BadItem
from decoupage.images.alpha import resize_rgba
from decoupage.images.types import Mask, Rgb
from evaluation.test_sets.originals import Original

STEP_PX = 16
RULE = "longer side to size_px, never enlarged; both sides to a multiple of 16 by resizing"
"""For reports."""


def fitted(size: tuple[int, int], size_px: int | None) -> tuple[int, int]:
    """(height, width) that a picture is judged at.

    Args:
        size: (height, width) in pixels.
        size_px: at least 16; None = its own size, to a multiple of 16.

    Raises:
        BadItem: `too_small`, when a side has fewer than 16 pixels.
    """
    if min(size) < STEP_PX:
        raise BadItem("too_small", f"{size[1]}x{size[0]} px; a side must have at least {STEP_PX}")
    longer_px = max(size) if size_px is None else min(size_px, max(size))
    scale = longer_px / max(size)
    height, width = (min(round(side * scale / STEP_PX), side // STEP_PX, longer_px // STEP_PX) for side in size)
    return max(height, 1) * STEP_PX, max(width, 1) * STEP_PX


def resized_original(original: Original, size_px: int | None) -> Original:
    """All pictures of an image at the size that `fitted` says: averaged over areas, colours premultiplied.

    Raises:
        BadItem: as `fitted`.
    """
    height, width = original.composite.shape[:2]
    size = fitted((height, width), size_px)
    if size == (height, width):
        return original
    foreground = original.foreground
    return replace(
        original,
        composite=_resized(original.composite, size),
        mask=resized_mask(original.mask, size),
        visible=resized_mask(original.visible, size),
        background=_resized(original.background, size),
        foreground=None if foreground is None else resize_rgba(foreground, size[1], size[0]),
    )


def resized_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """[height, width]: the pixels that a mask covers by half or more; those it covers most where it covers none so."""
    # Floats, for 8 bits would round a small share to none.
    share = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(np.float32(0.5), share.max())) & bool(mask.any())


def dilated(mask: Mask, radius_px: int) -> Mask:
    """A mask grown by a disc."""
    if radius_px == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)


def _resized(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    return np.asarray(cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
