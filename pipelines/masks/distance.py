"""Errors that move the edge by a distance: grown, shrunk, wobbling.

A pixel of the canvas's border is no edge: an object that the picture cuts goes on behind it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Mask
from pipelines.masks.smooth_noise import smooth_noise


def dilation(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """Everything within `reach_px` of the mask."""
    return distance_to(mask) <= reach_px


def erosion(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask without what lies within `reach_px` of its edge; may be empty."""
    return distance_to(~mask) > reach_px


def boundary(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The edge wobbles smoothly, in and out, by about `reach_px`; finer detail of it is lost."""
    # A wobble of many pixels needs no distance to the pixel: this saves most of the time on large pictures.
    small, shrink = shrunk(mask, max(1.0, reach_px / 6.0))
    signed = distance_to(~small) - distance_to(small)  # positive inside
    wavelength_px = max(6.0, rng.uniform(3.0, 8.0) * reach_px / shrink)
    signed -= reach_px / shrink * smooth_noise(small.shape, wavelength_px, rng)
    return cv2.resize(signed, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.0


def distance_to(mask: Mask) -> NDArray[np.float32]:
    """[H, W] distance in pixels to the nearest True pixel; 0 on it, huge where there is none."""
    away = np.logical_not(mask).view(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def shrunk(mask: Mask, factor: float) -> tuple[Mask, float]:
    """A mask about `factor` times smaller, each of its pixels True from half coverage, and the true factor."""
    if factor <= 1.0:
        return mask, 1.0
    size = (max(1, round(mask.shape[1] / factor)), max(1, round(mask.shape[0] / factor)))
    small = cv2.resize(mask.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    return small, mask.shape[1] / size[0]
