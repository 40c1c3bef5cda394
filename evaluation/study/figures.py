"""The study's figures: who beat whom, the strengths that follow from it, and how far raters agree.

Raters and clusters of cases (photographs of backgrounds, origins of foregrounds) are both drawn with replacement,
because the next study would have other people and other pictures (two-way bootstrap, Owen 2007, The pigeonhole
bootstrap). A tie is half a win for each; "not sure" counts for neither.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, permutations

import numpy as np

from decoupage.randomness import generator
from evaluation.config import Aspect
from evaluation.statistics import COVERAGE_PERCENT
from evaluation.study.ballots import Ballot
from evaluation.study.folder import Study
from evaluation.study.votes import NOT_SURE, TIE
from pipelines.stages.progress import Progress

_AT_ONCE = 2_000_000
"""Largest number of values that are held at once while resampling."""


@dataclass(frozen=True)
class Contests:
    """Wins of methods over methods, for one aspect.

    Attributes:
        methods: names of the methods, in the order of the arrays.
        shown: [raters, clusters, methods, methods] float64: wins of the first over the second where both were shown.
        by_rule: the same for wins over a missing output.
    """

    methods: tuple[str, ...]
    shown: np.ndarray
    by_rule: np.ndarray

    @property
    def all(self) -> np.ndarray:
        """All wins, those over missing outputs included."""
        return self.shown + self.by_rule


def contests(study: Study, aspect: Aspect, ballots: Sequence[Ballot]) -> Contests:
    """The wins in the counted ballots of one aspect.

    Missing outputs were never shown. They lose as often as a rater answered other comparisons of the aspect: a rater
    who answered half of them counts half for each missing output.
    """
    methods = tuple(method for method in study.methods if method in study.missing[aspect])
    counted = [ballot for ballot in ballots if ballot.counted and ballot.aspect == aspect]
    raters = {name: i for i, name in enumerate(dict.fromkeys(ballot.rater for ballot in counted))}
    every = [comparison for comparison in study.comparisons if comparison.aspect == aspect]
    cluster_of = study.clusters[aspect]
    clusters = {name: i for i, name in enumerate(dict.fromkeys(cluster_of[c.case] for c in every))}
    number = {method: i for i, method in enumerate(methods)}
    shown, by_rule = np.zeros((2, len(raters), len(clusters), len(methods), len(methods)))
    answered = np.zeros(len(raters))
    for ballot in counted:
        cell = shown[raters[ballot.rater], clusters[cluster_of[ballot.case]]]
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
                by_rule[:, clusters[cluster_of[comparison.case]], number[winner], number[loser]] += share
    return Contests(methods, shown, by_rule)


def resampled(wins: np.ndarray, draws: int, seed: int) -> np.ndarray | None:
    """Wins summed over drawn raters and clusters.

    Args:
        wins: [raters, clusters, methods, methods].
        draws: number of resamples.
        seed: seed of the random draws.

    Returns:
        [draws, methods, methods]; None with fewer than two raters or clusters, which show no spread.
    """
    num_raters, num_clusters, num_methods, _ = wins.shape
    if min(num_raters, num_clusters) < 2:
        return None
    flat = wins.reshape(num_raters, -1)
    rng = generator(seed, "study.bootstrap", f"{num_raters}x{num_clusters}")
    found = []
    most = max(1, _AT_ONCE // flat.shape[1])
    for rows in (min(most, draws - start) for start in range(0, draws, most)):
        raters = _times_drawn(rng, rows, num_raters)
        clusters = _times_drawn(rng, rows, num_clusters)
        by_cluster = (raters @ flat).reshape(rows, num_clusters, -1)
        found.append(np.einsum("dsp,ds->dp", by_cluster, clusters))
    return np.concatenate(found).reshape(draws, num_methods, num_methods)


def win_rates(wins: np.ndarray) -> np.ndarray:
    """Share of contests that the first method won, [..., methods, methods]; NaN where there were none."""
    both = wins + wins.swapaxes(-1, -2)
    return np.divide(wins, both, out=np.full(wins.shape, np.nan), where=both > 0)


def spread(values: np.ndarray) -> tuple[float, float] | None:
    """The (low, high) ends between which 95 % of the resampled values lie; None where there are none."""
    kept = values[~np.isnan(values)]
    if not len(kept):
        return None
    tail = (100 - COVERAGE_PERCENT) / 2
    low, high = np.percentile(kept, [tail, 100 - tail])
    return float(low), float(high)


def _times_drawn(rng: np.random.Generator, rows: int, number: int) -> np.ndarray:
    """How often each item is drawn when `number` are drawn with replacement: [rows, number] float64."""
    drawn = rng.integers(0, number, (rows, number)) + number * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number).astype(np.float64)


# --- Bradley-Terry strengths --------------------------------------------------------------------------------------


PRIOR_WINS = 0.5
"""Wins added to each side of every pair, together one tie: keeps strengths finite where one method won all."""


def strengths(wins: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Log strengths [methods] with mean 0: the first beats the second with 1 / (1 + exp(second - first)).

    By choix, with the algorithm I-LSR (Maystre and Grossglauser 2015).

    Args:
        wins: [methods, methods], wins of the first over the second; a tie is half a win for each.
        start: similar strengths to start from, which takes fewer steps.
    """
    import choix

    padded = wins + PRIOR_WINS * (1 - np.eye(len(wins)))
    found = np.asarray(choix.ilsr_pairwise_dense(padded, initial_params=start), np.float64)
    return found - found.mean()


def resampled_strengths(draws: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Strengths [draws, methods] of resampled wins [draws, methods, methods]."""
    with Progress("strengths", "draws", len(draws)) as progress:
        return np.stack([strengths(wins, start) for wins in progress.counting(draws)])


# --- agreement ----------------------------------------------------------------------------------------------------


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal answers: 1 = all raters agree, 0 = as much as by chance.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C.

    Args:
        units: the answers to each rated unit, missing ones left out.

    Returns:
        None where no unit has two answers, or all answers are the same, so that chance would agree as well.
    """
    rated = [list(answers) for answers in units if len(answers) > 1]
    totals = Counter(chain.from_iterable(rated))
    number = sum(totals.values())
    if len(totals) < 2:
        return None
    # Pairs of different answers within units, each unit with the weight of its answers.
    observed = sum(_different(Counter(answers)) / (len(answers) - 1) for answers in rated)
    return 1 - (number - 1) * observed / _different(totals)


def same_share(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Share of pairs of raters who gave the same answer to the same unit; None where no unit has two answers."""
    same = pairs = 0
    for answers in units:
        pairs += len(answers) * (len(answers) - 1)
        same += sum(number * (number - 1) for number in Counter(answers).values())
    return same / pairs if pairs else None


def _different(counts: Counter[Hashable]) -> int:
    """Number of ordered pairs of different answers."""
    number = sum(counts.values())
    return number**2 - sum(count**2 for count in counts.values())
