"""Holes of many shapes for inpainting: ellipses, boxes and ragged polygons, alone or two together."""

import cv2
import numpy as np

from decoupage.images.types import Mask

_ELLIPSE, _BOX = 0.25, 0.4
"""Up to the first share of shapes are ellipses, up to the second boxes, the rest polygons."""
_ATTEMPTS = 20


def draw_hole(size_px: int, max_share: float, rng: np.random.Generator) -> Mask:
    """[size_px, size_px], True where something is to be generated: at least one pixel, at most `max_share` of all."""
    for _ in range(_ATTEMPTS):
        canvas = np.zeros((size_px, size_px), np.uint8)
        for _ in range(rng.integers(1, 3)):
            _draw_shape(canvas, rng)
        if 0 < canvas.mean() <= max_share:
            return canvas > 0
    quarter = size_px // 4
    canvas[:] = 0
    canvas[quarter : 2 * quarter, quarter : 2 * quarter] = 1
    return canvas > 0


def _draw_shape(canvas: np.ndarray, rng: np.random.Generator) -> None:
    size_px = len(canvas)
    x, y = rng.uniform(0.1, 0.9, 2) * size_px
    radius = rng.uniform(0.08, 0.36) * size_px
    aspect, turn = rng.uniform(0.5, 1.0), rng.uniform(0.0, np.pi)
    kind = rng.random()
    if kind < _ELLIPSE:
        axes = (max(2, int(radius)), max(2, int(radius * aspect)))
        cv2.ellipse(canvas, (int(x), int(y)), axes, float(np.degrees(turn)), 0, 360, 1, -1)
    elif kind < _BOX:
        reach = radius * aspect
        cv2.rectangle(canvas, (int(x - radius), int(y - reach)), (int(x + radius), int(y + reach)), 1, -1)
    else:
        num_points = int(rng.integers(5, 12))
        angles = np.sort(rng.uniform(0.0, 2 * np.pi, num_points))
        lengths = radius * rng.uniform(0.5, 1.2, num_points)
        points = np.stack([np.cos(angles) * lengths, np.sin(angles) * lengths * aspect], axis=1)
        turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        cv2.fillPoly(canvas, [(turned + np.array((x, y))).astype(np.int32)], 1)
