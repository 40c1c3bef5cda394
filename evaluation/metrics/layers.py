"""Metrics of cutouts. 8-bit levels in; results in units of 0..1 unless a docstring says otherwise."""

import math

import numpy as np

from pipelines.images.types import Gray, Mask, Rgba


def soft_iou(alpha: Gray, truth: Gray, region: Mask | None = None) -> float:
    """Sum of the smaller alpha over sum of the larger one, 0..1; NaN where both are empty.

    Inside a region that the truth fills, an answer that is opaque everywhere scores high: read such a figure together
    with that of the whole picture.
    """
    first, second = _inside(alpha, region), _inside(truth, region)
    union = float(np.maximum(first, second).sum())
    return float(np.minimum(first, second).sum()) / union if union else math.nan


def alpha_mse(alpha: Gray, truth: Gray) -> float:
    """Mean squared difference over all pixels."""
    return float(np.mean((_inside(alpha) - _inside(truth)) ** 2))


def alpha_sad(alpha: Gray, truth: Gray) -> float:
    """Sum of absolute differences in thousands of pixels, as the matting benchmarks print it."""
    return float(np.abs(_inside(alpha) - _inside(truth)).sum()) / 1000


def colour_l1(foreground: Rgba, truth: Rgba) -> float:
    """Mean absolute difference of straight colour, each pixel weighted by the true alpha; NaN where that is empty."""
    weight = _inside(truth[..., 3])
    if not weight.any():
        return math.nan
    difference = np.abs(foreground[..., :3].astype(np.float64) - truth[..., :3]).mean(axis=-1) / 255
    return float((difference * weight).sum() / weight.sum())


def _inside(alpha: Gray, region: Mask | None = None) -> np.ndarray:
    values = alpha if region is None else alpha[region]
    return np.asarray(values, np.float64) / 255
