"""KID: the squared maximum mean discrepancy between two sets of features (Binkowski et al., ICLR 2018).

Cubic kernel (x . y / D + 1)^3, unbiased within each set. Longer lists are cut into subsets, each pair of rows once at
most, so memory does not grow; the mean over subsets is unbiased, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from decoupage.randomness import generator
from evaluation.statistics import Clusters, LeftOut

SUBSET = 1000
"""Pictures in a subset, at most; lists that are no longer are one subset."""
_MIN_ROWS = 2
"""Number of rows that the estimator needs."""


@dataclass(frozen=True)
class Kid:
    """A distance between two sets.

    Attributes:
        left_out: the distance without each cluster. None if a subset is left with too few pictures to show a spread.
    """

    value: float
    left_out: LeftOut | None


def kid(made: np.ndarray, truth: np.ndarray, scenes: Sequence[str], clusters: Clusters, seed: int) -> Kid:
    """The distance between [N, D] features of answers and of their truths, row by row of the same image; N >= 2.

    Args:
        scenes: of each row; none is cut in two by subsets.
        clusters: of the rows.
        seed: the same for all that is compared, so that all see the same subsets.
    """
    rows_of = list(_subsets(scenes, seed))
    subsets = [_Pairs.of(made[rows], truth[rows]) for rows in rows_of]
    values = [subset.value for subset in subsets]
    photographs, origins, pairs = (_without(subsets, values, rows_of, way) for way in clusters.ways)
    whole = not any(np.isnan(without).any() for without in (photographs, origins, pairs))
    return Kid(float(np.mean(values)), (photographs, origins, pairs) if whole else None)


def _subsets(scenes: Sequence[str], seed: int) -> Iterator[np.ndarray]:
    """Rows; whole scenes are dealt out, in an order that depends on the seed alone."""
    names, scene_of = np.unique(np.asarray(scenes), return_inverse=True)
    number = -(-len(scenes) // SUBSET)
    order = generator(seed, "evaluation.kid.subsets", len(names)).permutation(len(names))
    for n in range(number):
        yield np.flatnonzero(np.isin(scene_of, order[n::number]))


def _without(
    subsets: Sequence["_Pairs"], values: Sequence[float], rows_of: Sequence[np.ndarray], way: np.ndarray
) -> np.ndarray:
    """[clusters]: the mean over subsets without each cluster; NaN where a subset is left with too few rows."""
    found = np.zeros(way.max() + 1)
    for subset, value, rows in zip(subsets, values, rows_of, strict=True):
        there, cluster = np.unique(way[rows], return_inverse=True)
        of_subset = np.full(len(found), value)
        of_subset[there] = subset.without(cluster)
        found += of_subset / len(subsets)
    return found


@dataclass(frozen=True)
class _Pairs:
    """The kernel of every two rows of a subset.

    Attributes:
        within: [N, N]: within answers plus within truths; 0 on the diagonal, because a row is not paired with itself.
        across: [N, N]: between answers and truths, both ways summed.
    """

    within: np.ndarray
    across: np.ndarray

    @classmethod
    def of(cls, made: np.ndarray, truth: np.ndarray) -> "_Pairs":
        """Of [N, D] features of answers and truths."""
        x, y = made.astype(np.float64), truth.astype(np.float64)
        within, across = _kernel(x, x) + _kernel(y, y), _kernel(x, y)
        np.fill_diagonal(within, 0)
        return cls(within, across + across.T)

    @property
    def value(self) -> float:
        n = len(self.within)
        return float(self.within.sum() / (n * (n - 1)) - self.across.sum() / n**2)

    def without(self, cluster: np.ndarray) -> np.ndarray:
        """[clusters]: the value without the rows of each; NaN where fewer than two rows are left.

        Args:
            cluster: [N] number of each row's cluster, 0.., none left out.
        """
        n = (len(cluster) - np.bincount(cluster)).astype(np.float64)
        n[n < _MIN_ROWS] = np.nan
        same = cluster[:, None] == cluster
        within, across = (
            # The sums of a cluster's rows with all rows, taken twice, count the pairs within the cluster twice.
            found.sum() - np.bincount(cluster, 2 * found.sum(axis=1) - (found * same).sum(axis=1))
            for found in (self.within, self.across)
        )
        return np.asarray(within / (n * (n - 1)) - across / n**2)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)
