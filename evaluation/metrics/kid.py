"""KID: the squared maximum mean discrepancy between two sets of features (Binkowski et al., ICLR 2018).

Cubic kernel (x . y / D + 1)^3, unbiased within each set. Longer lists are cut into subsets, each pair of rows once at
most, so memory does not grow; the mean over subsets is unbiased, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from decoupage.randomness import generator

SUBSET = 1000
"""Pictures in a subset, at most; lists that are no longer are one subset."""
_DRAWN = 1_000_000
"""Numbers drawn at once."""


@dataclass(frozen=True)
class Kid:
    """A distance between two sets, and its resampled values.

    Attributes:
        draws: [draws] float64, of sets in which scenes were drawn anew; NaN where one draw holds a single scene over.
            None with fewer than two scenes in a subset, from which no spread can be told.
    """

    value: float
    draws: np.ndarray | None


def kid(made: np.ndarray, truth: np.ndarray, scenes: Sequence[str], draws: int, seed: int) -> Kid:
    """The distance between [N, D] features of answers and of their truths, row by row of the same image; N >= 2.

    Scenes are resampled whole, each with all its images, and both sets alike. In a resampled set only pairs of
    different scenes count as pairs; what pairs lie within a scene are counted as often as the scene was drawn. So the
    resampled values lie about the value itself, and not below it as they would with repeated pictures.

    Args:
        scenes: of each row.
        seed: the same for all that is compared, so that all see the same subsets and draws.
    """
    subsets = [_Subset.of(made[rows], truth[rows], scene) for rows, scene in _subsets(scenes, seed)]
    value = float(np.mean([subset.value for subset in subsets]))
    if min(len(subset.counts) for subset in subsets) < 2:
        return Kid(value, None)
    return Kid(value, np.mean([_resampled(subset, draws, seed, n) for n, subset in enumerate(subsets)], axis=0))


def _subsets(scenes: Sequence[str], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and their scenes' numbers; whole scenes are dealt out, in an order that depends on the seed alone."""
    names, scene_of = np.unique(np.asarray(scenes), return_inverse=True)
    number = -(-len(scenes) // SUBSET)
    order = generator(seed, "evaluation.kid.subsets", len(names)).permutation(len(names))
    for n in range(number):
        rows = np.flatnonzero(np.isin(scene_of, order[n::number]))
        yield rows, np.unique(scene_of[rows], return_inverse=True)[1]


@dataclass(frozen=True)
class _Subset:
    """Sums of the estimator's terms, by scene; the estimator is linear in them.

    Attributes:
        between: [S, S]: over pairs of rows of two scenes; 0 on the diagonal.
        within: [S]: over pairs of different rows of one scene.
        own: [S]: kernel between each row's answer and its own truth.
        counts: [S]: rows of each scene.
    """

    between: np.ndarray
    within: np.ndarray
    own: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, made: np.ndarray, truth: np.ndarray, scene: np.ndarray) -> "_Subset":
        """The sums for [N, D] features of answers and truths, N >= 2, and [N] scene numbers 0..S-1, none left out."""
        x, y = made.astype(np.float64), truth.astype(np.float64)
        num_rows = len(x)
        across = _kernel(x, y)
        # Within a set a pair's mean is over n (n - 1) pairs, across the sets over n n.
        pairs = _kernel(x, x) + _kernel(y, y) - (across + across.T) * (1 - 1 / num_rows)
        np.fill_diagonal(pairs, 0)
        member = np.eye(scene.max() + 1)[scene]
        by_scene = member.T @ pairs @ member
        within = by_scene.diagonal().copy()
        np.fill_diagonal(by_scene, 0)
        return cls(by_scene, within, member.T @ across.diagonal(), member.sum(axis=0))

    @property
    def value(self) -> float:
        n = self.counts.sum()
        return float((self.between.sum() + self.within.sum()) / (n * (n - 1)) - 2 / n * self.own.sum() / n)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _resampled(subset: _Subset, draws: int, seed: int, number: int) -> np.ndarray:
    """[draws]: the estimator with scenes drawn anew; the shares of pairs between and within scenes stay."""
    num_scenes, counts = len(subset.counts), subset.counts
    n = counts.sum()
    num_within = (counts**2 - counts).sum()
    share = num_within / (n * (n - 1))
    rng = generator(seed, "evaluation.kid.bootstrap", f"{num_scenes} {number}")
    step = max(1, _DRAWN // num_scenes)
    found = []
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        drawn = rng.integers(0, num_scenes, (rows, num_scenes)) + num_scenes * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * num_scenes).reshape(rows, num_scenes).astype(np.float64)
        weights = times * counts
        num_between = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
        with np.errstate(invalid="ignore"):
            value = (1 - share) * np.einsum("ds,ds->d", times @ subset.between, times) / num_between
        if num_within:
            with np.errstate(invalid="ignore"):
                value += share * (times @ subset.within) / (times @ (counts**2 - counts))
        found.append(value - 2 / n * (times @ subset.own) / weights.sum(axis=1))
    return np.concatenate(found)
