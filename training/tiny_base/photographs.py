"""Crops of photographs as training samples, each a function of (seed, position) alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgb
from decoupage.images.types import Rgb
from decoupage.randomness import digest
from pipelines.packaged.photographs import PHOTOGRAPHS

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LEVEL = 0.7
"""Each level of a pyramid is this much smaller than the one before."""
Picture: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Photograph:
    """One photograph, ready to be cropped at any scale.

    Attributes:
        name: of a packaged one its own, else its path below its folder without suffix.
        sha256: of its pixels.
        levels: the photograph, and smaller and smaller ones: a large crop is taken from a small level.
    """

    name: str
    sha256: str
    levels: tuple[Rgb, ...]


def read_photographs(folders: Sequence[str], size_px: int) -> list[Photograph]:
    """The packaged photographs and all pictures of some folders, by name.

    Raises:
        BadSetup: a folder is not there, holds no picture, or a name comes twice.
    """
    found: dict[str, Rgb] = {photograph.name: photograph.read() for photograph in PHOTOGRAPHS}
    for folder in folders:
        files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise BadSetup(f"{folder} holds no photographs ({', '.join(_SUFFIXES)})")
        for path in files:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise BadSetup(f"two photographs are named {name}; the second one is {path}")
            found[name] = decode_rgb(path.read_bytes())
    large = {name: rgb for name, rgb in found.items() if min(rgb.shape[:2]) >= size_px}
    return [Photograph(name, digest(rgb.tobytes()).hex(), _levels(rgb, size_px)) for name, rgb in sorted(large.items())]


def _levels(rgb: Rgb, size_px: int) -> tuple[Rgb, ...]:
    levels = []
    while min(rgb.shape[:2]) >= size_px:
        levels.append(rgb)
        height, width = (round(side * _LEVEL) for side in rgb.shape[:2])
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return tuple(levels)


def crop(photographs: Sequence[Photograph], size_px: int, min_share: float, rng: np.random.Generator) -> Rgb:
    """[size_px, size_px, 3]: a square of a photograph, of a side between `min_share` and all of its short side."""
    levels = photographs[int(rng.integers(len(photographs)))].levels
    short = min(levels[0].shape[:2])
    low = math.log(max(size_px, short * min_share))
    side = math.exp(rng.uniform(low, max(low, math.log(short))))
    number = min(len(levels) - 1, math.floor(math.log(size_px / side) / math.log(_LEVEL)))
    level = levels[max(0, number)]
    cut = int(min(*level.shape[:2], max(size_px, round(side * min(level.shape[:2]) / short))))
    top, left = (int(rng.integers(length - cut + 1)) for length in level.shape[:2])
    square = level[top : top + cut, left : left + cut]
    if cut != size_px:
        square = np.asarray(cv2.resize(square, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)
    return square[:, ::-1] if rng.random() < 0.5 else square


def recoloured(rgb: Rgb, share: float, rng: np.random.Generator) -> Picture:
    """[H, W, 3] in [-1, 1]: some with their channels swapped, some brighter, darker or flatter than they were.

    What fits into a hole depends on its surroundings, not on which colours these have.
    """
    picture = rgb.astype(np.float32) / 127.5 - 1.0
    if rng.random() < share:
        picture = picture[..., rng.permutation(3)]
    gain, offset = rng.uniform(0.7, 1.2), rng.uniform(-0.2, 0.2)
    if rng.random() < share:
        picture = np.clip(picture * gain + offset, -1.0, 1.0)
    return np.ascontiguousarray(picture, np.float32)


def generators(seed: int, stream: str, start: int) -> Iterator[np.random.Generator]:
    """Random streams of samples, from a position on."""
    position = start
    while True:
        yield np.random.Generator(np.random.Philox(key=int.from_bytes(digest(seed, stream, position)[:16], "big")))
        position += 1
