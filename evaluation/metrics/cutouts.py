"""Metrics of cutouts. 8-bit levels in; results in units of 0..1 unless a docstring says otherwise.

The gradient and connectivity errors look at a pixel's surroundings. Their definitions: Rhemann et al., A Perceptually
Motivated Online Benchmark for Image Matting, CVPR 2009, with the constants of the evaluation code that later papers
share. Those benchmarks sum over a trimap's unknown part, here it is the whole picture, because no method is given a
trimap. They are in thousands, as the benchmarks print them.
"""

import math

import cv2
import numpy as np

from decoupage.images.types import Gray, Mask, Rgba

# --- pixel by pixel -----------------------------------------------------------------------------------------------


def soft_iou(alpha: Gray, truth: Gray, region: Mask | None = None) -> float:
    """Soft IoU: sum of the smaller alpha over sum of the larger one, 0..1; NaN where both are empty.

    Inside a region that the truth fills, an output that is opaque everywhere scores high: read such a figure together
    with that of the whole picture.
    """
    first, second = (alpha, truth) if region is None else (alpha[region], truth[region])
    union = int(np.maximum(first, second).sum(dtype=np.int64))
    return int(np.minimum(first, second).sum(dtype=np.int64)) / union if union else math.nan


def alpha_mse(alpha: Gray, truth: Gray) -> float:
    """Mean squared error of alpha over all pixels."""
    return float(np.mean(_difference(alpha, truth) ** 2)) / 255**2


def alpha_sad(alpha: Gray, truth: Gray) -> float:
    """SAD: sum of absolute differences of alpha in thousands of pixels, as the matting benchmarks print it."""
    return float(np.abs(_difference(alpha, truth)).sum(dtype=np.int64)) / 255 / 1000


def colour_l1(foreground: Rgba, truth: Rgba) -> float:
    """Mean absolute difference of straight colour, each pixel weighted by the true alpha; NaN where that is empty."""
    weight = truth[..., 3].astype(np.int64)
    if not weight.any():
        return math.nan
    difference = np.abs(_difference(foreground[..., :3], truth[..., :3])).sum(axis=-1)
    return int((difference * weight).sum()) / (3 * 255 * int(weight.sum()))


def premultiplied_l1(foreground: Rgba, truth: Rgba) -> float:
    """Mean absolute difference of colour times alpha, over all pixels and channels: what a layer adds to a picture.

    Black adds nothing, whatever its alpha: read it together with the metrics of alpha.
    """
    first, second = (
        cv2.multiply(np.ascontiguousarray(rgba[..., :3]), cv2.merge([rgba[..., 3]] * 3), dtype=cv2.CV_32S)
        for rgba in (foreground, truth)
    )
    return float(np.abs(first - second).mean()) / 255**2


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first.astype(np.int32) - second


# --- gradient and connectivity ------------------------------------------------------------------------------------


GRADIENT_SIGMA_PX = 1.4
CONNECTIVITY_STEPS = 10
"""Thresholds 0.1, 0.2, ..., 1.0."""
CONNECTIVITY_THETA = 0.15
"""A pixel whose alpha is less than this above the level at which it is connected counts as connected."""


def gradient_error(alpha: Gray, truth: Gray) -> float:
    """Gradient error: sum of squared differences of the lengths of both alphas' gradients.

    Derivatives of a Gaussian, each kernel of unit 2-norm, edges repeated. Alphas are not stretched to 0..1 first, as
    one published program does: that would hide that a cutout is faint everywhere.
    """
    difference = _gradient_length(alpha) - _gradient_length(truth)
    return float((difference * difference).sum(dtype=np.float64)) / 1000


def max_gradient_error_per_px() -> float:
    """Upper bound of a pixel's gradient error: the squared length at the sharpest edge, a straight one from 0 to 1."""
    smooth, slope = _kernels()
    return float((smooth.sum() * slope[slope > 0].sum()) ** 2) / 1000


def _gradient_length(alpha: Gray) -> np.ndarray:
    values = alpha.astype(np.float32) / np.float32(255)
    smooth, slope = _kernels()
    along_x = cv2.sepFilter2D(values, cv2.CV_32F, slope, smooth, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(values, cv2.CV_32F, smooth, slope, borderType=cv2.BORDER_REPLICATE)
    # Not cv2.magnitude: its last digit depends on where in memory the numbers are.
    return np.asarray(np.sqrt(along_x * along_x + along_y * along_y))


def _kernels() -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian and its derivative, up to where the Gaussian falls below 1 %: 9 taps, each of unit 2-norm."""
    sigma = GRADIENT_SIGMA_PX
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * 0.01)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    slope = -x * smooth
    return smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)


def connectivity_error(alpha: Gray, truth: Gray) -> float:
    """Connectivity error: sum of differences in how far pixels are connected to the part that both alphas agree on.

    A pixel's level is the last threshold before it drops out of the largest 4-connected part of what both alphas have
    at that threshold or above; it is connected by 1 less the height of its alpha above that level, where that is
    `CONNECTIVITY_THETA` or more. Of several largest parts the one that comes first, row by row, is taken.
    """
    box = _box((alpha > 0) | (truth > 0))
    if box is None:
        return 0.0
    first, second = alpha[box], truth[box]
    level = _levels(np.minimum(first, second))
    difference = np.abs(_unconnected(first, level) - _unconnected(second, level))
    return float(difference.sum(dtype=np.int64)) / (255 * CONNECTIVITY_STEPS) / 1000


def _levels(both: Gray) -> np.ndarray:
    """Number of thresholds at which a pixel stays in the largest part, [H, W] int32, 0..10; once out, it stays out."""
    level = np.zeros(both.shape, np.int32)
    inside = np.ones(both.shape, bool)
    count, largest = -1, inside
    for step in range(1, CONNECTIVITY_STEPS + 1):
        above = both >= math.ceil(255 * step / CONNECTIVITY_STEPS)
        # The area above shrinks with each step, so an equal count means that nothing changed.
        if int(above.sum()) != count:
            count, largest = int(above.sum()), _largest_part(above)
        inside = inside & largest
        level += inside
    return level


def _largest_part(mask: Mask) -> Mask:
    # Statistics of OpenCV's own would cost five times as much as the labels: it also sums up centroids.
    num_labels, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    if num_labels == 1:
        return mask
    areas = np.bincount(labels.ravel())[1:]
    tied = np.flatnonzero(areas == areas.max()) + 1
    if len(tied) == 1:
        return np.asarray(labels == tied[0])
    place = np.isin(labels, tied).argmax()
    return np.asarray(labels == labels.flat[place])


def _unconnected(alpha: Gray, level: np.ndarray) -> np.ndarray:
    """Alpha above its level, 0 where that is less than theta: [H, W] int32, in units of 1 / 2550."""
    above = CONNECTIVITY_STEPS * alpha.astype(np.int32) - 255 * level
    above[above < CONNECTIVITY_THETA * CONNECTIVITY_STEPS * 255] = 0
    return above


def _box(mask: Mask) -> tuple[slice, slice] | None:
    """The rows and columns of a mask's box, outside which nothing is connected or differs; None of an empty mask."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None
