"""Calibration of a trained adapter's alpha on validation samples: the two levels between which it is stretched.

A network that is unsure of an outline answers with the mean of the likely ones, a soft edge; for an object's shape
that is the worst answer. Which softness is mere doubt depends on the network, so it is measured.
"""

import numpy as np
from numpy.typing import NDArray

MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Margins that are tried: the levels are (margin, 1 - margin), so the middle stays where it is."""


def choose_alpha_levels(alpha_BHW: NDArray[np.floating], true_alpha_BHW: NDArray[np.floating]) -> tuple[float, float]:
    """The levels (low, high) with the best mean soft IoU; among equal ones, those that change least.

    Args:
        alpha_BHW: alpha as decoded, in [0, 1]; true_alpha_BHW: the true alpha, of the same shape.

    Raises:
        ValueError: shapes differ, or there are no samples.
    """
    if alpha_BHW.shape != true_alpha_BHW.shape or not len(alpha_BHW):
        shapes = f"{list(alpha_BHW.shape)} and {list(true_alpha_BHW.shape)}"
        raise ValueError(f"alpha and its truth must be of one shape [B, H, W], B at least 1, got {shapes}")
    scores = []
    for margin in MARGINS:
        stretched = np.clip((alpha_BHW - margin) / (1 - 2 * margin), 0.0, 1.0)
        scores.append(_soft_iou(stretched, true_alpha_BHW))
    margin = MARGINS[int(np.argmax(scores))]
    return margin, 1.0 - margin


def _soft_iou(alpha_BHW: NDArray[np.floating], true_alpha_BHW: NDArray[np.floating]) -> float:
    """Mean over samples of sum min / sum max; an area below one pixel counts as one."""
    common = np.minimum(alpha_BHW, true_alpha_BHW).sum(axis=(1, 2))
    union = np.maximum(alpha_BHW, true_alpha_BHW).sum(axis=(1, 2))
    return float(np.mean(common / np.maximum(union, 1.0)))
