"""Metrics of opaque pictures that need no network. 8-bit levels in."""

import math

import cv2
import numpy as np

from pipelines.images.types import Mask, Rgb

MAX_PSNR_DB = 100.0
"""Equal pictures have an infinite PSNR, of which no mean can be taken; so it is cut here."""
SSIM_WINDOW_PX = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Stabilisers of Wang et al., Image quality assessment, 2004."""


def psnr_db(picture: Rgb, truth: Rgb, region: Mask | None = None) -> float:
    """Peak signal-to-noise ratio over a region's pixels and all channels, at most `MAX_PSNR_DB`.

    Args:
        picture, truth: [H, W, 3] uint8.
        region: [H, W]; None = everywhere.

    Returns:
        NaN where the region is empty.
    """
    return psnr_of(squared_error(picture, truth), region)


def squared_error(picture: Rgb, truth: Rgb) -> np.ndarray:
    """[H, W] int32: squared differences of levels, summed over the channels."""
    difference = picture.astype(np.int32) - truth
    return np.einsum("hwc,hwc->hw", difference, difference)


def psnr_of(squared: np.ndarray, region: Mask | None = None) -> float:
    """`psnr_db` from what `squared_error` gives, so that many regions share it."""
    inside = squared if region is None else squared[region]
    if inside.size == 0:
        return math.nan
    mean = int(inside.sum(dtype=np.int64)) / (3 * inside.size)
    return min(MAX_PSNR_DB, 10 * math.log10(255**2 / mean)) if mean else MAX_PSNR_DB


def l1(picture: Rgb, truth: Rgb) -> float:
    """Mean absolute difference over all pixels and channels, 0..1."""
    return float(cv2.absdiff(picture, truth).mean()) / 255


def ssim(picture: Rgb, truth: Rgb) -> float:
    """Structural similarity of the whole picture: the mean of its map; NaN where a picture is smaller than a window."""
    return ssim_of(ssim_map(picture, truth))


def ssim_map(picture: Rgb, truth: Rgb) -> np.ndarray:
    """Structural similarity pixel by pixel, mean over the channels, as scikit-image computes it, but 10 times faster.

    Uniform windows of 7 x 7, sample covariances (its defaults, with `data_range=255`).

    Returns:
        [H, W] float64; NaN where a window would reach over the edge.
    """
    height, width = truth.shape[:2]
    edge = SSIM_WINDOW_PX // 2
    found = np.full((height, width), math.nan)
    if min(height, width) >= SSIM_WINDOW_PX:
        inner = (slice(edge, height - edge), slice(edge, width - edge))
        channels = [_ssim_of_channel(picture[..., c], truth[..., c])[inner] for c in range(3)]
        found[inner] = sum(channels) / 3
    return found


def ssim_of(similarity: np.ndarray, region: Mask | None = None) -> float:
    """Mean of an SSIM map over a region; NaN where no window lies about its pixels."""
    inside = similarity if region is None else similarity[region]
    known = inside[~np.isnan(inside)]
    return float(known.mean()) if known.size else math.nan


def _ssim_of_channel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    sample = SSIM_WINDOW_PX**2 / (SSIM_WINDOW_PX**2 - 1)
    product = mean_a * mean_b
    both = sample * (_window_mean(a * b) - product)
    squares = mean_a * mean_a + mean_b * mean_b
    variances = sample * (_window_mean(a * a + b * b) - squares)
    return (2 * product + _C1) * (2 * both + _C2) / ((squares + _C1) * (variances + _C2))


def _window_mean(values: np.ndarray) -> np.ndarray:
    # Sums of whole numbers are exact in float64, whatever the order in which they are added.
    return cv2.boxFilter(values, cv2.CV_64F, (SSIM_WINDOW_PX, SSIM_WINDOW_PX), normalize=False) / SSIM_WINDOW_PX**2
