"""Errors of a coarse outline: clicked polygons, detector boxes, loose brush strokes."""

import cv2
import numpy as np

from decoupage.images.types import Mask
from pipelines.masks.distance import distance_to, shrunk
from pipelines.masks.smooth_noise import smooth_noise

_BLOB_SIDE_PX = 160
"""Blobs are computed with the object's longer side at most this: they have no finer detail."""


def polygon(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """Each part as a polygon whose sides stay within `reach_px` of its outline; holes are filled, as clicked."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, float(reach_px), closed=True) for contour in contours]
    # A part that shrinks to a point or a line is one that nobody would click.
    clicked = [corners for corners in simple if len(corners) >= 3]
    canvas = np.zeros(mask.shape, np.uint8)
    for corners in clicked:  # One at a time: together, fillPoly would cut out where they overlap.
        cv2.fillPoly(canvas, [corners], 1)
    return canvas.view(np.bool_)


def box(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask's box, each side moved out by up to `reach_px`."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    margins = rng.integers(0, reach_px, size=4, endpoint=True)
    loose = np.zeros_like(mask)
    loose[
        max(0, top - margins[1]) : top + height + margins[3],
        max(0, left - margins[0]) : left + width + margins[2],
    ] = True
    return loose


def blob(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """A loosely brushed area: bays closed, corners rounded, about `reach_px` beyond the mask."""
    _, _, width, height = cv2.boundingRect(mask.view(np.uint8))
    small, shrink = shrunk(mask, max(width, height) / _BLOB_SIDE_PX)
    reach = reach_px / shrink
    closing = max(2.0, rng.uniform(0.1, 0.4) * max(width, height) / shrink)
    # Grow by closing + reach, shrink by closing: bays narrower than 2 x closing stay filled. The rim repeats the
    # canvas's border, so that an object that the picture cuts stays cut there.
    rim = int(closing + 2 * reach) + 3
    wide = cv2.copyMakeBorder(small.view(np.uint8), rim, rim, rim, rim, cv2.BORDER_REPLICATE).view(np.bool_)
    level = distance_to(distance_to(wide) > closing + reach) - closing
    level += 0.4 * reach * smooth_noise(wide.shape, max(8.0, 3.0 * reach), rng)
    smooth = cv2.blur(level, (5, 5))[rim:-rim, rim:-rim]
    return cv2.resize(smooth, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.0
