"""Objects pointed out without a network: GrabCut (Rother et al. 2004) by colours, from a box or from clicks.

It finds what differs in colour from its surroundings, and nothing else: an object of many colours comes in parts.
"""

import cv2
import numpy as np

from decoupage.images.grabcut import refined_mask
from decoupage.images.types import Mask, Rgb
from decoupage.maps.config import SegmentationConfig
from decoupage.maps.segmentation import Felzenszwalb
from decoupage.selection.said import Box, Point, check_points

NAME = "GrabCut"
_SIDE_PX, _NUM_ITERATIONS = 256, 5
"""The picture is worked on scaled down to this side; rounds of fitting colours and cutting."""
_BORDER_SHARE = 0.25
"""What lies around a box by this share of its sides has the colours of the background."""


def cut_box(picture_HW3: Rgb, box: Box) -> Mask:
    """The mask [H, W] of what differs in a box from what is around it; the whole box where colours do not tell.

    Raises:
        ValueError: as `Box.within`.
    """
    size = (picture_HW3.shape[0], picture_HW3.shape[1])
    whole = box.within(size).mask(size)
    rows, columns = (_around(np.asarray(whole.any(axis=axis))) for axis in (1, 0))
    picture, inside = picture_HW3[rows, columns], whole[rows, columns]
    factor = min(1.0, _SIDE_PX / max(inside.shape))
    small = tuple(max(1, round(side * factor)) for side in inside.shape)
    labels = np.where(_resized(inside, small) >= 0.5, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if (labels == cv2.GC_BGD).sum() < 8 or not (labels == cv2.GC_PR_FGD).any():
        return whole
    pixels = cv2.resize(picture, small[::-1], interpolation=cv2.INTER_AREA)
    cv2.setRNGSeed(0)  # Its mixtures of colours start at random.
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(pixels), labels, (0, 0, 0, 0), *models, _NUM_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = np.zeros_like(whole)
    found[rows, columns] = (_resized(labels == cv2.GC_PR_FGD, inside.shape) >= 0.5) & inside
    return found if found.any() else whole


def cut_points(picture_HW3: Rgb, points: tuple[Point, ...]) -> Mask:
    """The mask [H, W] of the regions of one colour that were clicked, drawn to their outline.

    Regions are Felzenszwalb's and Huttenlocher's (2004), at 256 px.

    Raises:
        ValueError: as `check_points`; clicks on the object and beside it lie in one region.
    """
    size = (picture_HW3.shape[0], picture_HW3.shape[1])
    check_points(points, size)
    (regions,) = Felzenszwalb(SegmentationConfig(size_px=_SIDE_PX)).labels([picture_HW3])
    rows, columns = (
        (2 * np.arange(side) + 1) * new // (2 * side) for side, new in zip(size, regions.shape, strict=True)
    )
    chosen, refused = (
        {int(regions[rows[point.y_px], columns[point.x_px]]) for point in points if point.is_object == is_object}
        for is_object in (True, False)
    )
    if both := chosen & refused:
        first = next(point for point in points if int(regions[rows[point.y_px], columns[point.x_px]]) in both)
        raise ValueError(
            f"--point {first}: {NAME} cannot tell the object from what is beside it there, because their colours are "
            "alike: give a --box or a --mask, or a --segmenter"
        )
    mask = np.isin(regions, sorted(chosen))[np.ix_(rows, columns)]
    drawn = refined_mask(picture_HW3, mask)
    for point in points:
        if drawn[point.y_px, point.x_px] != point.is_object:  # It went farther than the clicks allow.
            return mask
    return drawn


def _around(covered: np.ndarray) -> slice:
    places = np.flatnonzero(covered)
    first, last = int(places[0]), int(places[-1]) + 1
    margin_px = max(4, round(_BORDER_SHARE * (last - first)))
    return slice(max(0, first - margin_px), last + margin_px)


def _resized(mask_HW: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    how = cv2.INTER_AREA if size[0] <= mask_HW.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask_HW.astype(np.float32), size[::-1], interpolation=how))
