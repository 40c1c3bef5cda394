"""The errors of a mask's outline, as plain functions `(mask, reach_px, rng) -> mask` that know no profile or scene.

Moved edges: `dilation`, `erosion`, `boundary`; a pixel of the canvas's border is not an edge, because an object that
the picture cuts goes on behind it. Coarse outlines: `polygon`, `box`, `blob`. Lost parts: `hole`, `missing_part`. The
right shape in the wrong place: `shift`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Mask

_BLOB_SIDE_PX = 160
"""Blobs are computed with the object's longer side at most this: they have no finer detail."""
_TRIES = 32
"""Places inside the object tried for a hole before it may reach over the edge."""


def dilation(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """Everything within `reach_px` of the mask."""
    return distance_to(mask) <= reach_px


def erosion(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask without what lies within `reach_px` of its edge; may be empty."""
    return distance_to(~mask) > reach_px


def boundary(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The edge wobbles smoothly, in and out, by about `reach_px`; finer detail of it is lost."""
    # A wobble of many pixels needs no distance to the pixel: this saves most of the time on large pictures.
    small, shrink = shrunk(mask, max(1.0, reach_px / 6.0))
    signed = distance_to(~small) - distance_to(small)  # positive inside
    wavelength_px = max(6.0, rng.uniform(3.0, 8.0) * reach_px / shrink)
    signed -= reach_px / shrink * smooth_noise(small.shape, wavelength_px, rng)
    return cv2.resize(signed, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.0


def polygon(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """Each part as a polygon whose sides stay within `reach_px` of its outline; holes are filled, as clicked."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, float(reach_px), closed=True) for contour in contours]
    # A part that shrinks to a point or a line is one that no one would click.
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


def hole(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """One to three round holes of radius up to `reach_px`, centred on the mask, well inside where there is room."""
    pierced = mask.astype(np.uint8)
    inside = np.flatnonzero(mask)
    for _ in range(rng.integers(1, 3, endpoint=True)):
        radius_px = reach_px * rng.uniform(0.5, 1.0)
        rows, columns = np.divmod(inside[rng.integers(len(inside), size=_TRIES)], mask.shape[1])
        places = np.stack([columns, rows], axis=1)
        x, y = places[np.argmax(_room(mask, places, radius_px))]
        axes = (max(1, round(radius_px)), max(1, round(radius_px * rng.uniform(0.6, 1.0))))
        cv2.ellipse(pierced, (int(x), int(y)), axes, rng.uniform(0.0, 180.0), 0.0, 360.0, 0, cv2.FILLED)
    return pierced.view(np.bool_)


def _room(mask: Mask, places: NDArray[np.int64], radius_px: float) -> NDArray[np.int64]:
    """For each (x, y), how many of eight points around it at a little more than the radius lie in the mask."""
    angles = np.arange(8) * (np.pi / 4)
    ring = (radius_px + 2.0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x, y = np.moveaxis((places[:, None] + ring).round().astype(int), -1, 0)
    height, width = mask.shape
    inside = mask[y.clip(0, height - 1), x.clip(0, width - 1)]
    inside &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.asarray(inside.sum(axis=1), np.int64)


def missing_part(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The end of the mask in a random direction, bitten off to a depth of about `reach_px`.

    The bite is a ragged disc between as small as its depth (a blob) and sixteen times that (almost a straight cut).
    """
    angle = rng.uniform(0.0, 2.0 * np.pi)
    towards = np.array([np.cos(angle), np.sin(angle)])
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = np.concatenate(contours)[:, 0]
    end = outline[np.argmax(outline @ towards)]
    radius_px = reach_px * 16.0 ** rng.uniform(0.0, 1.0)
    centre = end + towards * (radius_px - reach_px)
    # Ragged in teeth about twice as long as the bite is deep.
    teeth = rng.uniform(-0.25, 0.25, max(4, round(np.pi * radius_px / max(1, reach_px)))) * reach_px
    turn = np.linspace(0.0, 1.0, 256, endpoint=False)
    radii = radius_px + np.interp(turn, np.arange(len(teeth)) / len(teeth), teeth, period=1.0)
    around = 2.0 * np.pi * turn
    rim = centre + radii[:, None] * np.stack([np.cos(around), np.sin(around)], axis=1)
    left = mask.astype(np.uint8)
    cv2.fillPoly(left, [rim.round().astype(np.int32)], 0)
    return left.view(np.bool_)


def shift(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """The mask moved by `reach_px` in a random direction; what leaves the canvas is lost."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    dx, dy = round(reach_px * np.cos(angle)), round(reach_px * np.sin(angle))
    height, width = mask.shape
    moved = np.zeros_like(mask)
    moved[max(0, dy) : max(0, height + dy), max(0, dx) : max(0, width + dx)] = mask[
        max(0, -dy) : max(0, height - dy), max(0, -dx) : max(0, width - dx)
    ]
    return moved


def distance_to(mask: Mask) -> NDArray[np.float32]:
    """[H, W] distance in pixels to the nearest True pixel; 0 on it, huge where there is none."""
    away = np.logical_not(mask).view(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def shrunk(mask: Mask, factor: float) -> tuple[Mask, float]:
    """A mask about `factor` times smaller, each of its pixels True from half coverage, and the true factor."""
    if factor <= 1.0:
        return mask, 1.0
    size = (max(1, round(mask.shape[1] / factor)), max(1, round(mask.shape[0] / factor)))
    small = cv2.resize(mask.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    return small, mask.shape[1] / size[0]


def smooth_noise(shape: tuple[int, int], wavelength_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """[H, W] noise without detail finer than `wavelength_px`; values mostly in [-1, 1], never beyond +-2."""
    height, width = shape
    rows, columns = (2 + int(side / wavelength_px) for side in shape)
    coarse = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
