"""A hand's mask drawn to the object's outline by GrabCut (Rother et al. 2004), OpenCV's implementation.

Colours inside the mask and around it decide what of its surroundings belongs to it. A mask that agrees with that well
enough is kept as it is: it was drawn with care, and colours know less. The constants were chosen on scenes that nothing
is judged on (benchmarks/RESULTS.md).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Mask, Rgb

SIDE_PX, MARGIN_SHARE = 128, 0.3
"""What is worked on: the mask and its surroundings, scaled down to this side; how far beyond the mask the object may
reach, as a share of the root of the mask's area."""
SURE_SHARE = 0.7
"""As deep inside the mask as this share of its deepest place, all is object."""
KEEP_FROM_IOU, MIN_SHARE = 0.87, 0.1
"""A mask that agrees with its refinement as well as this is kept; so is one of which less than that share is left."""
_MIN_BACKGROUND_PX = 8


def refined_mask(picture_HW3: Rgb, mask_HW: Mask) -> Mask:
    """The mask [H, W] of what the given one means in the picture; the given one where colours do not tell.

    The same picture and mask give the same result.
    """
    area = int(mask_HW.sum())
    if not 0 < area < mask_HW.size:
        return mask_HW
    margin_px = max(2, round(MARGIN_SHARE * math.sqrt(area)))
    box = tuple(_reach(np.asarray(mask_HW.any(axis=axis)), 2 * margin_px) for axis in (1, 0))
    picture, mask = picture_HW3[box], mask_HW[box]
    factor = min(1.0, SIDE_PX / max(mask.shape))
    height, width = (max(1, round(side * factor)) for side in mask.shape)
    picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
    found = _cut(np.ascontiguousarray(picture), small, max(2, round(margin_px * factor)))
    if found is None:
        return mask_HW
    refined = np.zeros_like(mask_HW)
    enlarged = cv2.resize(found.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    refined[box] = enlarged >= 0.5
    agreement = (refined & mask_HW).sum() / max(1, int((refined | mask_HW).sum()))
    return mask_HW if agreement > KEEP_FROM_IOU or not refined.any() else refined


def _reach(covered: NDArray[np.bool_], beyond_px: int) -> slice:
    places = np.flatnonzero(covered)
    return slice(max(0, int(places[0]) - beyond_px), int(places[-1]) + 1 + beyond_px)


def _cut(picture_HW3: Rgb, mask_HW: Mask, margin_px: int) -> Mask | None:
    """What GrabCut finds; None where it has nothing to go by, or leaves next to nothing."""
    side = 2 * margin_px + 1
    about = cv2.dilate(mask_HW.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
    depth = cv2.distanceTransform(mask_HW.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    labels = np.full(mask_HW.shape, cv2.GC_BGD, np.uint8)
    labels[about], labels[mask_HW] = cv2.GC_PR_BGD, cv2.GC_PR_FGD
    labels[mask_HW & (depth >= SURE_SHARE * depth.max())] = cv2.GC_FGD
    if not mask_HW.any() or (~about).sum() < _MIN_BACKGROUND_PX:
        return None
    cv2.setRNGSeed(0)  # Its mixtures of colours start at random.
    ours, theirs = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture_HW3, labels, (0, 0, 0, 0), ours, theirs, 1, cv2.GC_INIT_WITH_MASK)  # No rectangle.
    found = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return found if found.sum() >= MIN_SHARE * mask_HW.sum() else None
