"""Metrics of opaque pictures. 8-bit levels in, higher is better."""

import math

import numpy as np

from pipelines.images.types import Mask, Rgb

MAX_PSNR_DB = 100.0
"""Equal pictures have an infinite PSNR, of which no mean can be taken; so it is cut here."""


def psnr_db(picture: Rgb, truth: Rgb, region: Mask | None = None) -> float:
    """Peak signal-to-noise ratio over a region's pixels and all channels, at most `MAX_PSNR_DB`.

    Args:
        picture, truth: [H, W, 3] uint8.
        region: [H, W]; None = everywhere.

    Returns:
        NaN where the region is empty.
    """
    difference = picture.astype(np.float64) - truth
    if region is not None:
        difference = difference[region]
    if difference.size == 0:
        return math.nan
    squared = float(np.mean(difference**2))
    return min(MAX_PSNR_DB, 10 * math.log10(255**2 / squared)) if squared else MAX_PSNR_DB


def ssim(picture: Rgb, truth: Rgb) -> float:
    """Structural similarity of scikit-image: 7 x 7 windows, mean over channels; NaN where a picture is smaller."""
    from skimage.metrics import structural_similarity

    if min(truth.shape[:2]) < 7:
        return math.nan
    return float(structural_similarity(picture, truth, channel_axis=2, data_range=255))  # type: ignore[no-untyped-call]
