"""Where a picture is judged. Regions are drawn from the truth, never from the mask that methods are given.

So a method that leaves half of an object because the given mask missed it is not excused.
"""

import cv2
import numpy as np

from decoupage.images.types import Mask
from evaluation.cases import Case

RING_SHARE = 1 / 32
"""Width of the ring as a share of the picture's shorter side: 2 px at 64, 32 px at 1024."""
MIN_RING_PX = 2
MIN_HIDDEN_SHARE = 1 / 256
"""A hidden part smaller than this share of the picture (16 px at 64 x 64) is not judged on its own."""
BACKGROUND_REGIONS = ("mask", "ring", "outside", "whole")


def background_regions(case: Case) -> dict[str, Mask]:
    """[H, W] each: `mask` = where the target shows; `ring` = around that; `outside` = the rest; `whole`."""
    ring_px = max(MIN_RING_PX, round(RING_SHARE * min(case.size)))
    near = distance_px(case.visible) <= ring_px
    return {
        "mask": case.visible,
        "ring": near & ~case.visible,
        "outside": ~near,
        "whole": np.ones(case.size, bool),
    }


def hidden_region(case: Case) -> Mask | None:
    """[H, W]: where the target is and does not show; None where that is unknown or too little to judge."""
    hidden = case.hidden
    return hidden if hidden is not None and hidden.sum() >= MIN_HIDDEN_SHARE * hidden.size else None


def distance_px(mask: Mask) -> np.ndarray:
    """[H, W] float: Euclidean distance to the mask's nearest pixel; 0 inside, infinite when there is none."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float64)
