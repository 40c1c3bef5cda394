"""Metrics of opaque pictures that need no network. 8-bit levels in."""

import math

import cv2
import numpy as np

from decoupage.images.types import Mask, Rgb

MAX_PSNR_DB = 100.0
"""Equal pictures have an infinite PSNR, of which no mean can be taken, so it is limited to this."""
SSIM_WINDOW_PX = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Stabilisers of Wang et al., Image quality assessment, 2004."""
_ROWS = 32
"""Rows that are processed at once: so few stay in the processor's cache, which halves the time."""


def psnr_db(picture: Rgb, truth: Rgb, region: Mask | None = None) -> float:
    """Peak signal-to-noise ratio over a region's pixels and all channels, at most `MAX_PSNR_DB`.

    Args:
        picture, truth: [H, W, 3] uint8.
        region: [H, W], the pixels that count; None = all.

    Returns:
        NaN where the region is empty.
    """
    return psnr_of(squared_error(picture, truth), region)


def squared_error(picture: Rgb, truth: Rgb) -> np.ndarray:
    """Squared differences of levels, summed over the channels: [H, W] int32."""
    difference = picture.astype(np.int32) - truth
    return np.einsum("hwc,hwc->hw", difference, difference)


def psnr_of(squared: np.ndarray, region: Mask | None = None) -> float:
    """`psnr_db` from the result of `squared_error`, which many regions share."""
    inside = squared if region is None else squared[region]
    if inside.size == 0:
        return math.nan
    mean = int(inside.sum(dtype=np.int64)) / (3 * inside.size)
    return min(MAX_PSNR_DB, 10 * math.log10(255**2 / mean)) if mean else MAX_PSNR_DB


def l1(picture: Rgb, truth: Rgb, region: Mask | None = None) -> float:
    """Mean absolute difference over a region's pixels and all channels, 0..1; arguments and NaN as `psnr_db`."""
    difference = cv2.absdiff(picture, truth)
    inside = difference if region is None else difference[region]
    return float(inside.mean()) / 255 if inside.size else math.nan


def ssim(picture: Rgb, truth: Rgb) -> float:
    """SSIM of a whole picture: the mean of its map; NaN where the picture is smaller than a window."""
    return ssim_of(ssim_map(picture, truth))


def ssim_map(picture: Rgb, truth: Rgb) -> np.ndarray:
    """SSIM of each pixel, mean over the channels, as scikit-image computes it, but 10 times faster.

    Uniform windows of 7 x 7, sample covariances (its defaults, with `data_range=255`).

    Returns:
        [H, W] float64; NaN where a window would reach beyond the edge.
    """
    height, width = truth.shape[:2]
    edge = SSIM_WINDOW_PX // 2
    found = np.full((height, width), math.nan)
    if min(height, width) < SSIM_WINDOW_PX:
        return found
    pairs = ((picture, truth), (picture, picture), (truth, truth))
    products = [_window_sums(cv2.multiply(first, second, dtype=cv2.CV_16U)) for first, second in pairs]
    sums = [_window_sums(picture), _window_sums(truth)]
    for top in range(edge, height - edge, _ROWS):
        rows = slice(top, min(top + _ROWS, height - edge))
        of_channels = _similarity(*(whole[rows, edge : width - edge] for whole in (*sums, *products)))
        found[rows, edge : width - edge] = of_channels.sum(axis=-1) / 3
    return found


def ssim_of(similarity: np.ndarray, region: Mask | None = None) -> float:
    """Mean of an SSIM map over a region; NaN where none of its pixels has a window."""
    inside = similarity if region is None else similarity[region]
    known = inside[~np.isnan(inside)]
    return float(known.mean()) if known.size else math.nan


def _window_sums(levels: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(levels, cv2.CV_32S, (SSIM_WINDOW_PX, SSIM_WINDOW_PX), normalize=False)


def _similarity(a: np.ndarray, b: np.ndarray, ab: np.ndarray, aa: np.ndarray, bb: np.ndarray) -> np.ndarray:
    """Wang's formula on sums over windows, times n^2 and n (n - 1): moments stay whole numbers, below 2^29."""
    n = SSIM_WINDOW_PX**2
    product, squares = a * b, a * a + b * b
    means = (2 * product + n * n * _C1) / (squares + n * n * _C1)
    spread = n * (n - 1) * _C2
    return np.asarray(means * (2 * (n * ab - product) + spread) / (n * (aa + bb) - squares + spread))
