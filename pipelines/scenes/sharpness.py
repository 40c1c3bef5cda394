"""How sharp a layer is against what surrounds it, in the composite: an enlarged cutout on a sharp photograph shows.

The measure is the variance of the Laplacian of the luminance (Pech-Pacheco et al. 2000, "Diatom autofocusing in
brightfield microscopy"), once over what shows of the layer and once over a ring around that.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import cv2
import numpy as np

from decoupage.images.types import Mask
from pipelines.scenes.parts import SceneParts

EDGE_PX = 4
"""Pixels on either side of a layer's outline that belong to neither: the outline itself is sharp."""
RING_PX = 32
"""Width of the ring."""
MIN_PIXELS = 64
"""Fewer pixels give no variance worth the name."""


def sharpness_of_layers(parts: SceneParts) -> list[tuple[float | None, float | None]]:
    """For each layer (inside, around), in squared grey levels; None where hardly a pixel is left to measure."""
    grey = cv2.cvtColor(parts.composite, cv2.COLOR_RGB2GRAY)
    laplacian = cv2.Laplacian(grey, cv2.CV_16S)
    return [_inside_and_around(laplacian, parts, i) for i in range(len(parts.layers))]


def _inside_and_around(laplacian: np.ndarray, parts: SceneParts, i: int) -> tuple[float | None, float | None]:
    reach_px = EDGE_PX + RING_PX
    height, width = parts.size
    left, top, right, bottom = parts.layers[i].box
    rows = slice(max(0, top - reach_px), min(height, bottom + reach_px))
    columns = slice(max(0, left - reach_px), min(width, right + reach_px))
    shows = parts.visible_mask(i)[rows, columns].astype(np.uint8)
    near = cv2.dilate(shows, _square(EDGE_PX))
    inside = cv2.erode(shows, _square(EDGE_PX), borderType=cv2.BORDER_REPLICATE) > 0
    around = (cv2.dilate(near, _square(RING_PX)) > 0) & (near == 0)
    window = laplacian[rows, columns]
    return _variance(window, inside), _variance(window, around)


def _square(reach_px: int) -> np.ndarray:
    return np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)


def _variance(laplacian: np.ndarray, where: Mask) -> float | None:
    values = laplacian[where].astype(np.float64)
    return None if len(values) < MIN_PIXELS else round(float(values.var()), 3)


def log2_ratio(inside: float, around: float) -> float:
    """How much sharper a layer is than its surroundings: 1 = twice the variance, 0 = the same, -1 = half.

    One squared grey level is added to both, about what rounding to 8 bits leaves on a smooth picture.
    """
    return math.log2((inside + 1.0) / (around + 1.0))


def resolution_of(rows: Collection[Mapping[str, Any]]) -> dict[str, list[float]]:
    """What shows whether all of a picture is equally sharp, by name, from the rows of an index (one per layer).

    `cutout_enlargement` of every layer, `background_enlargement` of every scene, both as factors; and
    `sharpness_log2_ratio` of every layer where it could be measured.
    """
    pairs = [(row["sharpness"], row["sharpness_around"]) for row in rows]
    return {
        "cutout_enlargement": [row["scale"] for row in rows],
        "background_enlargement": [row["background_enlargement"] for row in rows if row["layer"] == 0],
        "sharpness_log2_ratio": [log2_ratio(a, b) for a, b in pairs if a is not None and b is not None],
    }
