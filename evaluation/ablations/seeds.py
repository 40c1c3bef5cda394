"""The spread of seeds: how far apart trainings of one recipe end up that differ by their seed alone.

The rows `paper`, `seed_1` and `seed_2` of the ablations are such trainings. The gate asks a candidate for more than the
difference that another seed makes (Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from evaluation.metrics.catalogue import IMAGE_METRICS
from evaluation.saved_scores import SavedScores
from evaluation.statistics import COVERAGE_PERCENT


@dataclass(frozen=True)
class Seeds:
    """What trainings of one recipe with different seeds gave on one list.

    Attributes:
        rows: names of their rows.
        recipes: fingerprint of each run.
        terms: list and protocol of the scores (`SavedScores.terms`).
        spread: `<part>.<metric>` -> standard deviation of the means over the list, one mean for each training.
    """

    rows: tuple[str, ...]
    recipes: tuple[str, ...]
    terms: str
    spread: Mapping[str, float]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Seeds":
        """Those of `table.json`. Raises KeyError, TypeError: it holds something else."""
        return cls(tuple(values["rows"]), tuple(values["recipes"]), str(values["terms"]), dict(values["spread"]))

    def to_dict(self) -> dict[str, Any]:
        """For `table.json`."""
        return asdict(self)

    def reach(self, metric: str, num_trained: int) -> float | None:
        """How large a difference of means seeds alone give, up to the 2.5 % largest; None = not measured.

        Args:
            metric: `<part>.<metric>`.
            num_trained: how many of the two that are compared come from a training: 1 against a published model, 2
                against another training, whose luck counts as well.
        """
        if metric not in self.spread:
            return None
        quantile = float(stdtrit(len(self.rows) - 1, (1 + COVERAGE_PERCENT / 100) / 2))
        return quantile * float(np.sqrt(num_trained)) * self.spread[metric]


def seeds_of(scores: Mapping[str, SavedScores], recipes: Mapping[str, str]) -> Seeds | None:
    """The spread of rows that differ by their seed alone; None with fewer than two.

    Args:
        scores: row -> its scores, all of one list and protocol.
        recipes: row -> fingerprint of its run.
    """
    if len(scores) < 2:
        return None
    spread = {}
    for metric in IMAGE_METRICS:
        name = f"{metric.part}.{metric.name}"
        columns = np.stack([found.column(name) for found in scores.values()])
        measured = ~np.isnan(columns).any(axis=0)
        if measured.any():
            spread[name] = float(columns[:, measured].mean(axis=1).std(ddof=1))
    terms = next(iter(scores.values())).terms
    return Seeds(tuple(scores), tuple(recipes[row] for row in scores), terms, spread)
