"""Enlarging an alpha with the photograph as its guide.

Near an outline both are mixtures of the same two things, so in a small window alpha is about a linear function of the
photograph's colours, `alpha = a . colour + b`, and an average over pixels obeys it with the same `a`. So `a` is fitted
at the alpha's own size, as the guided filter does it (He, Sun & Tang, Guided Image Filtering, TPAMI 2013; He & Sun,
Fast Guided Filter, arXiv 1505.00996). Unlike there, the fit does not replace the alpha, which would blur it where the
photograph says nothing; only what the photograph has and its reduced picture lost is added, times `a`:

    enlarged = bicubic(alpha) + enlarged(a) . (photograph - bicubic(reduced photograph))

What this gains over bicubic, and how the constants were chosen: `benchmarks/bench_alpha_upsampling.py`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.sizes import Size, resize_picture
from decoupage.images.types import Array, Mask

RADIUS_PX = 1
"""Of the windows, in pixels of the small alpha: 3 x 3."""
EPSILON = 1e-4
"""Added to the variance of the guide in a window, colours in [0, 1]: contrasts well below its root, 2.6 levels, count
as flat."""


def enlarge_alpha(
    alpha_hw: NDArray[np.float32],
    guide_hw3: NDArray[np.float32],
    guide_HW3: NDArray[np.float32],
    where_hw: Mask | None = None,
    radius_px: int = RADIUS_PX,
    epsilon: float = EPSILON,
) -> NDArray[np.float32]:
    """An alpha at the size of a larger photograph; at the same size, or a smaller one, without its guide.

    It goes no farther than plain interpolation or the alphas of the 3 x 3 small pixels around, so that what is all 0 or
    all 1 there stays so.

    Args:
        alpha_hw: in [0, 1].
        guide_hw3, guide_HW3: the photograph at both sizes, in [0, 1].
        where_hw: where the photograph shows what the alpha is of; elsewhere it is no guide. None = everywhere.
        radius_px: of the windows, in small pixels.
        epsilon: see `EPSILON`.

    Raises:
        ValueError: sizes that do not fit together, impossible constants.
    """
    if guide_hw3.shape != (*alpha_hw.shape, 3) or guide_HW3.shape[2:] != (3,):
        shapes = f"{alpha_hw.shape}, {guide_hw3.shape} and {guide_HW3.shape}"
        raise ValueError(f"alpha, its guide and the larger guide must be [h, w], [h, w, 3] and [H, W, 3], got {shapes}")
    if radius_px < 1 or epsilon <= 0:
        raise ValueError(f"radius_px must be at least 1 and epsilon above 0, got {radius_px} and {epsilon}")
    size = guide_HW3.shape[0], guide_HW3.shape[1]
    plain = resize_picture(alpha_hw, size)
    if size == alpha_hw.shape or size[0] < alpha_hw.shape[0] or size[1] < alpha_hw.shape[1]:
        return plain
    kernel = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(alpha_hw, kernel), cv2.dilate(alpha_hw, kernel)
    slopes = _slopes(alpha_hw, guide_hw3, radius_px, epsilon)
    if where_hw is not None:
        slopes *= where_hw[..., None]
    guided = plain.copy()
    for channel in range(3):  # One by one, because a photograph may have a hundred megapixels.
        lost = guide_HW3[..., channel] - _larger(guide_hw3[..., channel], size, cv2.INTER_CUBIC)
        guided += _larger(slopes[..., channel], size, cv2.INTER_LINEAR) * lost
    least = np.minimum(plain, _larger(low, size, cv2.INTER_LINEAR))
    return np.clip(guided, least, np.maximum(plain, _larger(high, size, cv2.INTER_LINEAR)))


def _slopes(
    alpha_hw: NDArray[np.float32], guide_hw3: NDArray[np.float32], radius_px: int, epsilon: float
) -> NDArray[np.float32]:
    """[h, w, 3]: change of alpha with each colour, fitted in each window, averaged over the windows of a pixel."""
    side = 2 * radius_px + 1
    rows, columns = np.nonzero(cv2.dilate(alpha_hw, np.ones((side, side))) - cv2.erode(alpha_hw, np.ones((side, side))))
    slopes = np.zeros_like(guide_hw3)
    if len(rows):
        # About their middle, so that float32 holds the small differences of squares.
        alpha, guide = alpha_hw - np.float32(0.5), guide_hw3 - np.float32(0.5)
        mean, mean_alpha = _mean(guide, radius_px), _mean(alpha, radius_px)
        covariance = (_mean(guide * alpha[..., None], radius_px) - mean * mean_alpha[..., None])[rows, columns]
        variance = np.empty((len(rows), 3, 3), np.float64)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
            both = _mean(guide[..., i] * guide[..., j], radius_px) - mean[..., i] * mean[..., j]
            variance[:, i, j] = variance[:, j, i] = both[rows, columns]
        variance += epsilon * np.eye(3)
        slopes[rows, columns] = np.linalg.solve(variance, covariance[..., None].astype(np.float64))[..., 0]
    return _mean(slopes, radius_px)


def _mean(values: Array, radius_px: int) -> NDArray[np.float32]:
    # The border repeated, as pictures are continued everywhere else; pictures may be smaller than a window.
    side = (2 * radius_px + 1, 2 * radius_px + 1)
    return np.asarray(cv2.blur(values, side, borderType=cv2.BORDER_REPLICATE), np.float32)


def _larger(values_hw: Array, size: Size, method: int) -> NDArray[np.float32]:
    """Float32 [h, w] enlarged, not cut to any range."""
    return np.asarray(cv2.resize(values_hw, (size[1], size[0]), interpolation=method), np.float32)
