"""Cuts one object out of a photograph from a rectangle and a few strokes, with OpenCV's GrabCut.

The result is typical of such tools: real texture, and nearly correct edges. The same input gives the same alpha,
because GrabCut's only randomness is OpenCV's generator, which is seeded here.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.images.types import Gray, Mask, Rgb

Point = tuple[int, int]
_SEED = 7
_ITERATIONS = 5
_EDGE_SIGMA_PX = 1.2


@dataclass(frozen=True)
class Stroke:
    """A line through `points` (x, y) of thickness `width_px`; a filled polygon when `width_px` is 0."""

    points: tuple[Point, ...]
    width_px: int = 0


@dataclass(frozen=True)
class Hints:
    """Where the object of a photograph is.

    Attributes:
        box: (left, top, right, bottom) around it, in pixels.
        inside, outside: strokes on pixels that certainly belong to it, and on pixels that certainly do not.
        smooth_px: radius of the morphological opening that removes thin leftovers; 0 = none.
    """

    box: tuple[int, int, int, int]
    inside: tuple[Stroke, ...] = ()
    outside: tuple[Stroke, ...] = ()
    smooth_px: int = 2


def cut_out(photograph: Rgb, hints: Hints) -> Gray:
    """The object's alpha, [H, W], with a soft edge of one to two pixels just inside its outline."""
    labels = np.full(photograph.shape[:2], cv2.GC_BGD, np.uint8)
    left, top, right, bottom = hints.box
    labels[top:bottom, left:right] = cv2.GC_PR_FGD
    for stroke in hints.inside:
        _draw(labels, stroke, cv2.GC_FGD)
    for stroke in hints.outside:
        _draw(labels, stroke, cv2.GC_BGD)
    cv2.setRNGSeed(_SEED)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    # GrabCut ignores the rectangle in this mode and uses the labels only.
    cv2.grabCut(photograph, labels, (0, 0, 1, 1), *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    shape = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return soften(_tidy(shape, hints.smooth_px))


def soften(shape: Mask) -> Gray:
    """The alpha of a shape, [H, W], with its edge moved inwards by about half a pixel, against colour from outside."""
    blurred = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), _EDGE_SIGMA_PX, borderType=cv2.BORDER_REPLICATE)
    return np.rint(np.clip((blurred - 0.45) / 0.45, 0.0, 1.0) * 255.0).astype(np.uint8)


def _draw(labels: Gray, stroke: Stroke, label: int) -> None:
    points = np.array(stroke.points, np.int32).reshape(-1, 1, 2)
    if stroke.width_px:
        cv2.polylines(labels, [points], isClosed=False, color=label, thickness=stroke.width_px)
    else:
        cv2.fillPoly(labels, [points], label)


def _tidy(shape: Mask, smooth_px: int) -> Mask:
    """The largest part of a shape, without thin leftovers and small holes."""
    # The object continues beyond the picture's border: without padding, the opening would round it off there.
    pad = 2 * smooth_px + 2
    wide = np.pad(shape, pad, mode="edge").astype(np.uint8)
    if smooth_px:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * smooth_px + 1,) * 2)
        wide = np.asarray(cv2.morphologyEx(wide, cv2.MORPH_OPEN, disc), np.uint8)
    num_parts, parts, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=4)
    if num_parts > 1:
        wide = (parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    num_holes, holes, stats, _ = cv2.connectedComponentsWithStats(1 - wide, connectivity=4)
    for hole in range(1, num_holes):
        if stats[hole, cv2.CC_STAT_AREA] < 0.004 * wide.sum():
            wide[holes == hole] = 1
    return wide[pad:-pad, pad:-pad].astype(bool)
