"""Means with intervals: a paired bootstrap over the pictures of a list.

Several cases may ask one scene for different layers; they share a picture and are no independent evidence. So scenes
are drawn, each with all its cases. Where every scene has one case this is the ordinary bootstrap over images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from decoupage.randomness import generator

COVERAGE_PERCENT = 95.0
_DRAWN = 1_000_000
"""Scene numbers drawn at once, so that memory stays flat however long the list is."""
_KEPT = 2_000_000
"""Up to so many scene numbers a whole set of draws is kept for the next column (16 MB)."""
_MEANS = 10_000_000
"""Resampled means held at once (80 MB)."""


@dataclass(frozen=True)
class Interval:
    """A mean over images, and the range that 95 % of the resampled means lie in.

    Attributes:
        low, high: None with fewer than two scenes, from which no spread can be told.
        num_images: that could be measured, for a difference: with both methods.
    """

    mean: float
    low: float | None
    high: float | None
    num_images: int

    def to_dict(self) -> dict[str, float | int | None]:
        """For `report.json`."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "num_images": self.num_images}

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def interval(values: np.ndarray, scenes: Sequence[str], draws: int, seed: int) -> Interval | None:
    """The mean of one metric; of a difference, give the differences image by image.

    Args:
        values: one for each image; NaN = not measured, and dropped.
        scenes: the scene of each image.
        draws: how often the scenes are resampled.
        seed: the same for all that is compared, so that all see the same draws.

    Returns:
        None where nothing was measured.
    """
    return intervals([values], scenes, draws, seed)[0]


def intervals(columns: Sequence[np.ndarray], scenes: Sequence[str], draws: int, seed: int) -> list[Interval | None]:
    """`interval` of many columns over the same images: those measured on equally many scenes share one drawing."""
    _, scene_of = np.unique(np.asarray(scenes), return_inverse=True)
    sums = [_scene_sums(np.asarray(column, np.float64), scene_of) for column in columns]
    groups: dict[int, list[int]] = {}
    for place, found in enumerate(sums):
        if found is not None and len(found.counts) > 1:
            groups.setdefault(len(found.counts), []).append(place)
    ends: dict[int, tuple[float, float]] = {}
    width = max(1, _MEANS // draws)
    for places in groups.values():
        for start in range(0, len(places), width):
            some = places[start : start + width]
            found_ends = _ends([found for place in some if (found := sums[place]) is not None], draws, seed)
            ends.update(zip(some, found_ends, strict=True))
    return [None if found is None else found.interval(ends.get(place)) for place, found in enumerate(sums)]


def difference(first: np.ndarray, second: np.ndarray, scenes: Sequence[str], draws: int, seed: int) -> Interval | None:
    """Mean of first minus second over the images where both were measured; arguments as `interval`."""
    return interval(first - second, scenes, draws, seed)


@dataclass(frozen=True)
class _SceneSums:
    """A column's mean over images, and its sum and its images in each scene that was measured."""

    mean: float
    sums: np.ndarray
    counts: np.ndarray

    def interval(self, ends: tuple[float, float] | None) -> Interval:
        low, high = ends or (None, None)
        return Interval(self.mean, low, high, int(self.counts.sum()))


def _scene_sums(column: np.ndarray, scene_of: np.ndarray) -> _SceneSums | None:
    measured = ~np.isnan(column)
    if not measured.any():
        return None
    kept, scene = column[measured], scene_of[measured]
    counts = np.bincount(scene)
    there = counts > 0
    return _SceneSums(float(kept.mean()), np.bincount(scene, kept)[there], counts[there].astype(np.float64))


def _ends(columns: Sequence[_SceneSums], draws: int, seed: int) -> list[tuple[float, float]]:
    """Low and high end for each column; all have equally many scenes."""
    num_scenes = len(columns[0].counts)
    sums = np.stack([column.sums for column in columns], axis=1)
    different: dict[bytes, int] = {}
    place = [different.setdefault(column.counts.tobytes(), len(different)) for column in columns]
    counts = np.stack([np.frombuffer(key) for key in different], axis=1)
    if draws * num_scenes <= _KEPT:
        blocks: Iterable[np.ndarray] = [_whole_block(num_scenes, draws, seed)]
    else:
        blocks = _blocks(num_scenes, draws, seed)
    means = np.concatenate([(times @ sums) / (times @ counts)[:, place] for times in blocks])
    tail = (100 - COVERAGE_PERCENT) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0, overwrite_input=True)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


@lru_cache(maxsize=4)
def _whole_block(num_scenes: int, draws: int, seed: int) -> np.ndarray:
    # Most columns of a report are resampled in the same way, which is worth remembering.
    return np.concatenate(list(_blocks(num_scenes, draws, seed)))


def _blocks(num_scenes: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """[some draws, scenes] float64: how often each scene is drawn; as many blocks as make up all draws."""
    rng = generator(seed, "evaluation.bootstrap", num_scenes)
    step = max(1, _DRAWN // num_scenes)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        drawn = rng.integers(0, num_scenes, (rows, num_scenes)) + num_scenes * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * num_scenes).reshape(rows, num_scenes)
        yield times.astype(np.float64)
