"""Maps as pictures for people: labels and nearness as colours. What a model sees is defined with the model."""

import cv2
import numpy as np

from decoupage.images.types import Array, Rgb


def show_map(name: str, stored: Array) -> Array:
    """A stored map ([h, w], 8 or 16 bit) as a gray or RGB picture.

    Args:
        name: `edges`, `segmentation` or `depth`.
    """
    if name == "segmentation":
        return show_regions(stored)
    return show_depth(stored) if name == "depth" else stored


def show_regions(regions: Array) -> Rgb:
    """[H, W] region numbers as colours; neighbouring numbers get far colours."""
    hue = (regions.astype(np.float64) * 0.618034 % 1.0 * 180).astype(np.uint8)
    value = np.where(regions.astype(np.int64) % 2, 230, 170).astype(np.uint8)
    hsv = np.dstack([hue, np.full_like(hue, 140), value])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def show_depth(depth: Array) -> Rgb:
    """[H, W] nearness, 8 or 16 bit, in inferno colours: bright = near."""
    gray = (depth >> 8).astype(np.uint8) if depth.dtype == np.uint16 else depth
    coloured = cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)
