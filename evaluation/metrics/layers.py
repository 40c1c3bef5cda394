"""Metrics of cutouts, pixel by pixel. 8-bit levels in; results in units of 0..1 unless a docstring says otherwise.

Matting's metrics that look at a pixel's surroundings are in `matting.py`.
"""

import math

import cv2
import numpy as np

from decoupage.images.types import Gray, Mask, Rgba


def soft_iou(alpha: Gray, truth: Gray, region: Mask | None = None) -> float:
    """Sum of the smaller alpha over sum of the larger one, 0..1; NaN where both are empty.

    Inside a region that the truth fills, an answer that is opaque everywhere scores high: read such a figure together
    with that of the whole picture.
    """
    first, second = (alpha, truth) if region is None else (alpha[region], truth[region])
    union = int(np.maximum(first, second).sum(dtype=np.int64))
    return int(np.minimum(first, second).sum(dtype=np.int64)) / union if union else math.nan


def alpha_mse(alpha: Gray, truth: Gray) -> float:
    """Mean squared difference over all pixels."""
    return float(np.mean(_difference(alpha, truth) ** 2)) / 255**2


def alpha_sad(alpha: Gray, truth: Gray) -> float:
    """Sum of absolute differences in thousands of pixels, as the matting benchmarks print it."""
    return float(np.abs(_difference(alpha, truth)).sum(dtype=np.int64)) / 255 / 1000


def colour_l1(foreground: Rgba, truth: Rgba) -> float:
    """Mean absolute difference of straight colour, each pixel weighted by the true alpha; NaN where that is empty."""
    weight = truth[..., 3].astype(np.int64)
    if not weight.any():
        return math.nan
    difference = np.abs(_difference(foreground[..., :3], truth[..., :3])).sum(axis=-1)
    return int((difference * weight).sum()) / (3 * 255 * int(weight.sum()))


def premultiplied_l1(foreground: Rgba, truth: Rgba) -> float:
    """Mean absolute difference of colour times alpha, over all pixels and channels: what either adds to a picture.

    Black counts as nothing here, whatever its alpha; read it together with the metrics of alpha.
    """
    first, second = (
        cv2.multiply(np.ascontiguousarray(rgba[..., :3]), cv2.merge([rgba[..., 3]] * 3), dtype=cv2.CV_32S)
        for rgba in (foreground, truth)
    )
    return float(np.abs(first - second).mean()) / 255**2


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first.astype(np.int32) - second
