"""Errors that lose a part: holes inside, an end bitten off."""

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Mask

_TRIES = 32
"""Places tried for a hole before it may lie over the edge."""


def hole(mask: Mask, reach_px: int, rng: np.random.Generator) -> Mask:
    """One to three round holes of radius up to `reach_px`, well inside where there is room."""
    pierced = mask.astype(np.uint8)
    left, top, width, height = cv2.boundingRect(pierced)
    for _ in range(rng.integers(1, 3, endpoint=True)):
        radius_px = reach_px * rng.uniform(0.5, 1.0)
        places = rng.integers((left, top), (left + width, top + height), size=(_TRIES, 2))
        x, y = places[np.argmax(_room(mask, places, radius_px))]
        axes = (max(1, round(radius_px)), max(1, round(radius_px * rng.uniform(0.6, 1.0))))
        cv2.ellipse(pierced, (int(x), int(y)), axes, rng.uniform(0.0, 180.0), 0.0, 360.0, 0, cv2.FILLED)
    return pierced.view(np.bool_)


def _room(mask: Mask, places: NDArray[np.int64], radius_px: float) -> NDArray[np.int64]:
    """For each (x, y), how many of nine points of a disc around it lie in the mask; its centre counts most."""
    angles = np.arange(8) * (np.pi / 4)
    ring = (radius_px + 2.0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x, y = np.moveaxis((places[:, None] + ring).round().astype(int), -1, 0)
    height, width = mask.shape
    inside = mask[y.clip(0, height - 1), x.clip(0, width - 1)]
    inside &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return 9 * mask[places[:, 1], places[:, 0]] + inside.sum(axis=1)


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
