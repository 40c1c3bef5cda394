"""What two methods differ in: by one metric, by the main metrics of a part, and by all there are.

Whether a method is better is said only by main metrics, and only of what can be seen (`evaluation.visible`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.checks import HEADLINE
from evaluation.metrics.catalogue import METRICS, Metric, Part, find_metric
from evaluation.rivals import best_rivals
from evaluation.statistics import Interval, Overall, Seen, Verdict, overall
from evaluation.visible import seen

Values = Mapping[str, Any]
"""Content of `report.json`."""
_BASE = ("psnr_mask", "psnr_ring", "ssim_mask", "psnr_whole")
# Classical methods leave the rest of the picture alone: pasted back, all do.
_SIMPLE = ("psnr_mask", "ssim_mask", "psnr_ring_pasted", "psnr_whole_pasted")
_FOREGROUND = ("soft_iou", "soft_iou_hidden", "soft_iou_unseen")
FIRST = "adapter"
"""What all others are compared with."""


@dataclass(frozen=True)
class Difference:
    """First minus second by one metric.

    Attributes:
        second_mean: the second's own; None = unknown.
    """

    first: str
    second: str
    metric: Metric
    cell: dict[str, Any]
    second_mean: float | None = None

    @property
    def interval(self) -> Interval:
        """Its mean and ends."""
        return Interval.from_dict(self.cell)

    @property
    def verdict(self) -> Verdict:
        """See `Interval.verdict`."""
        return self.interval.verdict(self.metric.higher_is_better)

    @property
    def seen(self) -> Seen:
        """The verdict, or `unseen` where the difference is too small."""
        return seen(self.interval, self.metric.name, self.metric.higher_is_better, self.second_mean)

    @property
    def why_undecided(self) -> str:
        """See `Interval.why_undecided`."""
        return self.interval.why_undecided


@dataclass(frozen=True)
class Headline:
    """What the main metrics of one part say of two methods together.

    Attributes:
        differences: by each metric that was measured; the first is the one that must be better.
    """

    differences: Sequence[Difference]

    @property
    def main(self) -> Difference:
        """By the metric that must be better."""
        return self.differences[0]

    @property
    def verdict(self) -> Overall:
        """See `overall`."""
        return overall([found.seen for found in self.differences])

    @property
    def words(self) -> tuple[str, str]:
        """The words between the names of the two methods, and after them."""
        between = {"better": "is better than", "worse": "is worse than", "even": "cannot be distinguished from"}
        if self.verdict == "undecided":
            return "against", f": undecided ({self.main.why_undecided})"
        if self.verdict == "unseen":
            return "against", ": too small to see"
        if self.verdict == "mixed":
            return "against", f": better ({self.by('better')}), but worse ({self.by('worse')})"
        return between[self.verdict], ""

    def by(self, verdict: Seen) -> str:
        """Titles of the metrics with this verdict."""
        return "; ".join(found.metric.title for found in self.differences if found.seen == verdict)


@dataclass(frozen=True)
class Counts:
    """How many metrics of a pair have which verdict, by their intervals alone.

    Attributes:
        undecided: with 0 inside, or with too few photographs or origins.
        unseen: of the better and worse ones, those that are too small to see.
    """

    better: int
    worse: int
    undecided: int
    unseen: int

    @property
    def words(self) -> str:
        """`14 better, 3 worse, 9 undecided (2 too small to see)`."""
        small = f" ({self.unseen} too small to see)" if self.unseen else ""
        return f"{self.better} better, {self.worse} worse, {self.undecided} undecided{small}"


def headline_pairs(values: Values) -> list[tuple[str, Part, tuple[str, ...]]]:
    """(second method, part, metrics) of the main comparisons: the best rival of each part first, then the base.

    The first metric is the one that must be better; a method is said to be better only where no other one is worse.
    """
    best = best_rivals(values["methods"])
    pairs: list[tuple[str, Part, tuple[str, ...]]] = []
    for part, name in best.items():
        pairs.append((name, part, _FOREGROUND if part == "foreground" else _SIMPLE))
    return [*pairs, ("base", "background", _BASE)]


def headline_differences(values: Values) -> list[Headline]:
    """Shows at a glance whether the adapter is useful; leaves out pairs whose first metric is missing."""
    found = (headline(values, second, part, metrics) for second, part, metrics in headline_pairs(values))
    return [pair for pair in found if pair is not None]


def headline(values: Values, second: str, part: Part, metrics: Sequence[str]) -> Headline | None:
    """The adapter minus another method by the main metrics of a part; None where the first was not measured."""
    main, *others = (difference_of(values, f"{FIRST}-{second}", part, metric) for metric in metrics)
    return None if main is None else Headline([main, *filter(None, others)])


def counts_of(values: Values, name: str) -> Counts:
    """Of all metrics in which two methods differ."""
    rows = difference_rows(values, name)
    found = Counter(row.verdict for row in rows)
    unseen = sum(row.seen == "unseen" for row in rows)
    return Counts(found["better"], found["worse"], found["even"] + found["undecided"], unseen)


def difference_rows(values: Values, name: str) -> list[Difference]:
    """All that two methods differ in, in the order of the report; without figures that have no interval."""
    rows = (difference_of(values, name, metric.part, metric.name) for metric in METRICS)
    return [row for row in rows if row is not None and row.cell["low"] is not None]


def control_rows(values: Values) -> list[Difference]:
    """Main metrics of the adapter minus each of its controls; empty where it has none."""
    controls = values.get("controls") or {"differences": {}}
    return [
        row
        for name in controls["differences"]
        for part, metric in HEADLINE
        if (row := difference_of(controls, name, part, metric)) is not None and row.cell["low"] is not None
    ]


def difference_of(values: Values, name: str, part: str, metric: str) -> Difference | None:
    """First minus second, for `name` = `first-second`; None where it was not measured."""
    cell = values["differences"].get(name, {}).get(part, {}).get(metric)
    if cell is None:
        return None
    first, second = name.split("-", 1)
    own = values["methods"].get(second, {}).get(part, {}).get(metric)
    return Difference(first, second, find_metric(part, metric), cell, None if own is None else own["mean"])
