"""Cuts a square out of a pair, at the size of scenes, that holds the whole object."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.faults import BadItem
from decoupage.images.alpha import bleed
from decoupage.images.sizes import resize_mask, resize_rgba
from decoupage.images.types import Mask, Rgb, Rgba
from decoupage.randomness import generator
from pipelines.config import ScenesConfig
from pipelines.pairs.reading import Pair
from pipelines.scenes.compose import MIN_VISIBLE_SHARE, crop_square
from pipelines.scenes.parts import VISIBLE_ALPHA


@dataclass(frozen=True)
class Cut:
    """A pair at the size of scenes: [size_px, size_px] each.

    Attributes:
        crop: (left, top, side) in pixels of the upright pictures.
    """

    image: Rgb
    background: Rgb
    mask: Mask
    foreground: Rgba | None
    crop: tuple[int, int, int]


def cut_out(pair: Pair, name: str, scenes: ScenesConfig) -> Cut:
    """The square of a pair that the scenes' seed and the pair's name decide.

    It is as large as a scene's background may be cut: not so small that it would be enlarged further, nor much
    smaller than the picture, unless the object leaves no choice.

    Raises:
        BadItem: `too_small` (the picture, or what shows of the object), `cut_off` (the object is longer than the
            picture's shorter side, so that no square holds it).
    """
    left, top, right, bottom = _box(pair)
    height, width = pair.visible.shape
    short, longest = min(height, width), max(right - left, bottom - top)
    smallest = math.ceil(scenes.size_px / scenes.max_background_enlargement)
    if short < smallest:
        raise BadItem("too_small", f"{width}x{height} px, scenes of {scenes.size_px} px need {smallest}")
    if longest > short:
        raise BadItem("cut_off", f"the object is {longest} px long, a square of the picture has at most {short} px")
    rng = generator(scenes.seed, "pairs", name)
    side = max(smallest, longest, round(short * (1 - rng.random() * scenes.max_background_crop)))
    crop = (_start(left, right, width, side, rng), _start(top, bottom, height, side, rng), side)
    size = (scenes.size_px, scenes.size_px)
    window = (slice(crop[1], crop[1] + side), slice(crop[0], crop[0] + side))
    mask = resize_mask(np.ascontiguousarray(pair.visible[window]), size)
    if mask.mean() < MIN_VISIBLE_SHARE:
        raise BadItem("too_small", f"the object shows on {mask.sum()} px of {scenes.size_px}x{scenes.size_px}")
    foreground = None
    if pair.foreground is not None:
        foreground = bleed(resize_rgba(np.ascontiguousarray(pair.foreground[window]), size))
    image, background = (crop_square(rgb, crop, scenes.size_px) for rgb in (pair.image, pair.background))
    return Cut(image, background, mask, foreground, crop)


def _box(pair: Pair) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the object, also of what of it does not show where that is known."""
    there = pair.visible
    if pair.foreground is not None:
        there = there | (pair.foreground[..., 3] >= VISIBLE_ALPHA)
    left, top, width, height = cv2.boundingRect(there.astype(np.uint8))
    return left, top, left + width, top + height


def _start(first: int, last: int, length: int, side: int, rng: np.random.Generator) -> int:
    """Where a side begins that holds [first, last) and stays inside [0, length)."""
    return int(rng.integers(max(0, last - side), min(first, length - side), endpoint=True))
