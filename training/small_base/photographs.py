"""Training samples of the small base: crops of photographs, and holes of many shapes to be filled in them.

Each sample is a function of (seed, position) alone.
"""

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
from decoupage.images.reading import SUFFIXES
from decoupage.images.types import Mask, Rgb
from decoupage.randomness import digest
from pipelines.backgrounds.attribution import FILE as ATTRIBUTIONS
from pipelines.backgrounds.attribution import read_attributions
from pipelines.commercial import Use
from pipelines.licences.terms import UNKNOWN
from pipelines.packaged.photographs import PHOTOGRAPHS
from pipelines.stages.store import Store

_LEVEL = 0.7
"""Each level of a pyramid is this much smaller than the one before."""
Picture: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Photograph:
    """One photograph, ready to be cropped at any scale.

    Attributes:
        name: name of a packaged photograph, else its path below its folder without suffix.
        sha256: hash of its pixels.
        levels: the photograph, and smaller and smaller copies: a large crop is taken from a small one.
        licence: as its package, or `attribution.csv` in its folder, states it; `unknown` if neither does.
    """

    name: str
    sha256: str
    levels: tuple[Rgb, ...]
    licence: str = UNKNOWN


@dataclass(frozen=True)
class _File:
    """A photograph that was found and not read yet."""

    path: Path
    licence: str


def read_photographs(folders: Sequence[str], size_px: int) -> list[Photograph]:
    """The packaged photographs and all pictures of some folders, by name.

    Raises:
        BadSetup: a folder is not there, holds no picture, or a name comes twice.
    """
    photographs = []
    for name, file in sorted(_find(folders).items()):
        rgb = decode_rgb(file.path.read_bytes())
        if min(rgb.shape[:2]) >= size_px:
            photographs.append(Photograph(name, digest(rgb.tobytes()).hex(), _levels(rgb, size_px), file.licence))
    return photographs


def photograph_uses(folders: Sequence[str], held_out: Sequence[str]) -> list[Use]:
    """The licences of the photographs that are not held out. Raises as `read_photographs`."""
    fix = f"leave it out, or state a licence that permits it in {ATTRIBUTIONS} of its folder"
    trained = {name: file for name, file in _find(folders).items() if name not in held_out}
    return [Use("training data (--data)", f"the photograph {name}", trained[name].licence, fix) for name in trained]


def _find(folders: Sequence[str]) -> dict[str, _File]:
    found = {photograph.name: _File(photograph.path, photograph.licence) for photograph in PHOTOGRAPHS}
    for folder in folders:
        files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise BadSetup(f"{folder} holds no photographs ({', '.join(SUFFIXES)})")
        stated = read_attributions(Store(folder))
        for path in files:
            place = path.relative_to(folder)
            name = place.with_suffix("").as_posix()
            if name in found:
                raise BadSetup(f"two photographs are named {name}; the second one is {path}")
            line = stated.get(place.as_posix())
            found[name] = _File(path, (line.licence if line else "") or UNKNOWN)
    return found


def _levels(rgb: Rgb, size_px: int) -> tuple[Rgb, ...]:
    levels = []
    while min(rgb.shape[:2]) >= size_px:
        levels.append(rgb)
        height, width = (round(side * _LEVEL) for side in rgb.shape[:2])
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return tuple(levels)


def crop(photographs: Sequence[Photograph], size_px: int, min_share: float, rng: np.random.Generator) -> Rgb:
    """A square of a photograph as [size_px, size_px, 3], its side between `min_share` and all of the short side."""
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
    """A crop [H, W, 3] in [-1, 1]: some with channels swapped, some brighter, darker or with less contrast.

    What fits into a hole depends on its surroundings, not on their colours.
    """
    picture = rgb.astype(np.float32) / 127.5 - 1.0
    if rng.random() < share:
        picture = picture[..., rng.permutation(3)]
    gain, offset = rng.uniform(0.7, 1.2), rng.uniform(-0.2, 0.2)
    if rng.random() < share:
        picture = np.clip(picture * gain + offset, -1.0, 1.0)
    return np.ascontiguousarray(picture, np.float32)


def generators(seed: int, stream: str, start: int) -> Iterator[np.random.Generator]:
    """Random generators of the samples from a position on, one for each."""
    position = start
    while True:
        yield np.random.Generator(np.random.Philox(key=int.from_bytes(digest(seed, stream, position)[:16], "big")))
        position += 1


# --- holes --------------------------------------------------------------------------------------------------------


_ELLIPSE, _BOX = 0.25, 0.4
"""Up to the first share of shapes are ellipses, up to the second boxes, the rest polygons."""
_ATTEMPTS = 20


def draw_hole(size_px: int, max_share: float, rng: np.random.Generator) -> Mask:
    """A hole [size_px, size_px], True where pixels are to be generated: at least one, at most `max_share` of all.

    It is an ellipse, a box or a ragged polygon, or two of them.
    """
    for _ in range(_ATTEMPTS):
        canvas = np.zeros((size_px, size_px), np.uint8)
        for _ in range(rng.integers(1, 3)):
            _draw_shape(canvas, rng)
        if 0 < canvas.mean() <= max_share:
            return canvas > 0
    quarter = size_px // 4
    canvas[:] = 0
    canvas[quarter : 2 * quarter, quarter : 2 * quarter] = 1
    return canvas > 0


def _draw_shape(canvas: np.ndarray, rng: np.random.Generator) -> None:
    size_px = len(canvas)
    x, y = rng.uniform(0.1, 0.9, 2) * size_px
    radius = rng.uniform(0.08, 0.36) * size_px
    aspect, turn = rng.uniform(0.5, 1.0), rng.uniform(0.0, np.pi)
    kind = rng.random()
    if kind < _ELLIPSE:
        axes = (max(2, int(radius)), max(2, int(radius * aspect)))
        cv2.ellipse(canvas, (int(x), int(y)), axes, float(np.degrees(turn)), 0, 360, 1, -1)
    elif kind < _BOX:
        reach = radius * aspect
        cv2.rectangle(canvas, (int(x - radius), int(y - reach)), (int(x + radius), int(y + reach)), 1, -1)
    else:
        num_points = int(rng.integers(5, 12))
        angles = np.sort(rng.uniform(0.0, 2 * np.pi, num_points))
        lengths = radius * rng.uniform(0.5, 1.2, num_points)
        points = np.stack([np.cos(angles) * lengths, np.sin(angles) * lengths * aspect], axis=1)
        turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        cv2.fillPoly(canvas, [(turned + np.array((x, y))).astype(np.int32)], 1)
