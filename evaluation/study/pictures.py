"""Pictures as raters see them: opaque RGB, all encoded alike, so that they differ only in what they show."""

import cv2
import numpy as np

from decoupage.images.contact_sheet import outlined, over_checkerboard
from decoupage.images.types import Mask, Rgb
from decoupage.randomness import generator
from evaluation.config import Aspect
from evaluation.records.method import MethodRecord

REFERENCE_PX = 512
"""Longer side that the given picture has at least."""
TILES = 4
"""Number of tiles per side into which a broken picture is cut."""


def shown(record: MethodRecord, case: str, aspect: Aspect) -> Rgb:
    """[H, W, 3]: a background as it is, a foreground over a checkerboard. Raises FileNotFoundError, BadItem."""
    picture = record.picture(case, aspect)
    return over_checkerboard(picture) if aspect == "foreground" else picture


def reference(composite: Rgb, mask: Mask) -> Rgb:
    """[h, w, 3]: what methods were given, with the object outlined; enlarged where the line would hide the object."""
    scale = -(-REFERENCE_PX // max(composite.shape[:2]))
    if scale == 1:
        return outlined(composite, mask)
    large = cv2.resize(composite, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return outlined(np.asarray(large, np.uint8), np.kron(mask, np.ones((scale, scale), bool)))


def broken(rgb: Rgb, seed: int, name: str, number: int) -> Rgb:
    """[H, W, 3]: tiles in disorder, every second one in false colours; wrong at first sight, even where all is flat."""
    height, width = rgb.shape[:2]
    tile_h, tile_w = -(-height // TILES), -(-width // TILES)
    resized = cv2.resize(rgb, (tile_w * TILES, tile_h * TILES), interpolation=cv2.INTER_AREA)
    tiles = resized.reshape(TILES, tile_h, TILES, tile_w, 3).swapaxes(1, 2).reshape(TILES * TILES, tile_h, tile_w, 3)
    mixed = tiles[generator(seed, "study.broken", f"{name}/{number}").permutation(len(tiles))].copy()
    row, column = np.divmod(np.arange(len(tiles)), TILES)
    # Half the range away from what it was; a negative would leave middle grey as it is.
    mixed[(row + column + number) % 2 == 0] ^= 128
    whole = mixed.reshape(TILES, TILES, tile_h, tile_w, 3).swapaxes(1, 2).reshape(resized.shape)
    return np.ascontiguousarray(whole[:height, :width])
