"""Who beat whom: ballots as a table over raters and scenes, and what resampling both does to it.

Raters and scenes are both drawn with replacement, for the next study would have other people and other pictures
(two-way bootstrap, Owen 2007, The pigeonhole bootstrap). A tie is half a win for each; "not sure" says nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from decoupage.randomness import generator
from evaluation.config.study import Aspect
from evaluation.statistics import COVERAGE_PERCENT
from evaluation.study.answers import NOT_SURE, TIE
from evaluation.study.ballots import Ballot
from evaluation.study.folder import Study

_AT_ONCE = 2_000_000
"""Numbers held at once while resampling."""


@dataclass(frozen=True)
class Contests:
    """Wins of one aspect.

    Attributes:
        shown: [raters, scenes, methods, methods] float64: wins of the first over the second where both were seen.
        by_rule: the same for wins over a missing output.
    """

    methods: tuple[str, ...]
    shown: np.ndarray
    by_rule: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """With missing outputs lost."""
        return self.shown + self.by_rule


def contests(study: Study, aspect: Aspect, ballots: Sequence[Ballot]) -> Contests:
    """The counted ballots of one aspect.

    Missing outputs were never on a screen. They are lost as often as a rater answered other comparisons of the
    aspect: who answered half of them counts half for each output missing.
    """
    methods = tuple(method for method in study.methods if method in study.missing[aspect])
    counted = [ballot for ballot in ballots if ballot.counted and ballot.aspect == aspect]
    raters = {name: i for i, name in enumerate(dict.fromkeys(ballot.rater for ballot in counted))}
    every = [comparison for comparison in study.comparisons if comparison.aspect == aspect]
    scenes = {scene: i for i, scene in enumerate(dict.fromkeys(study.scenes[c.case] for c in every))}
    number = {method: i for i, method in enumerate(methods)}
    shown, by_rule = np.zeros((2, len(raters), len(scenes), len(methods), len(methods)))
    answered = np.zeros(len(raters))
    for ballot in counted:
        cell = shown[raters[ballot.rater], scenes[ballot.scene]]
        answered[raters[ballot.rater]] += 1
        if ballot.picked == TIE:
            for first, second in permutations(ballot.panes, 2):
                cell[number[first], number[second]] += 0.5
        elif ballot.picked != NOT_SURE:
            for other in set(ballot.panes) - {ballot.picked}:
                cell[number[ballot.picked], number[other]] += 1
    share = answered / max(1, sum(comparison.can_be_asked for comparison in every))
    for comparison in every:
        for winner in comparison.shown:
            for loser in comparison.missing:
                by_rule[:, scenes[study.scenes[comparison.case]], number[winner], number[loser]] += share
    return Contests(methods, shown, by_rule)


def resampled(wins: np.ndarray, draws: int, seed: int) -> np.ndarray | None:
    """Wins summed over drawn raters and scenes.

    Args:
        wins: [raters, scenes, methods, methods].

    Returns:
        [draws, methods, methods]; None with fewer than two raters or scenes, from which no spread can be told.
    """
    num_raters, num_scenes, num_methods, _ = wins.shape
    if min(num_raters, num_scenes) < 2:
        return None
    flat = wins.reshape(num_raters, -1)
    rng = generator(seed, "study.bootstrap", f"{num_raters}x{num_scenes}")
    found = []
    for rows in _blocks(draws, max(1, _AT_ONCE // flat.shape[1])):
        raters = _times_drawn(rng, rows, num_raters)
        scenes = _times_drawn(rng, rows, num_scenes)
        by_scene = (raters @ flat).reshape(rows, num_scenes, -1)
        found.append(np.einsum("dsp,ds->dp", by_scene, scenes))
    return np.concatenate(found).reshape(draws, num_methods, num_methods)


def win_rates(wins: np.ndarray) -> np.ndarray:
    """[..., methods, methods] share of contests that the first won; NaN where there were none."""
    both = wins + wins.swapaxes(-1, -2)
    return np.divide(wins, both, out=np.full(wins.shape, np.nan), where=both > 0)


def spread(values: np.ndarray) -> tuple[float, float] | None:
    """(low, high) that 95 % of the resampled values lie between; None where there are none."""
    kept = values[~np.isnan(values)]
    if not len(kept):
        return None
    tail = (100 - COVERAGE_PERCENT) / 2
    low, high = np.percentile(kept, [tail, 100 - tail])
    return float(low), float(high)


def pairs(methods: Sequence[str]) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """Every two methods with their numbers, in the study's order."""
    yield from combinations(enumerate(methods), 2)


def _times_drawn(rng: np.random.Generator, rows: int, number: int) -> np.ndarray:
    """[rows, number] float64: how often each is drawn when `number` are drawn with replacement."""
    drawn = rng.integers(0, number, (rows, number)) + number * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number).astype(np.float64)


def _blocks(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)
