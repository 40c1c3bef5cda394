"""Whether one method's scores are good enough to take another's place: pure functions over scores.

Non-inferior on every named metric: the interval of the gain lies above minus its margin. Better on the chosen one:
the interval lies above 0. Gains are differences image by image, turned so that more is better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig, GateConfig
from evaluation.metrics.catalogue import Metric, find_metric
from evaluation.saved_scores import SavedScores
from evaluation.statistics import Interval, difference

Demand = Literal["better", "not_worse", "not_judged"]
Opponents = Mapping[str, SavedScores]
"""Name -> scores of whose place the candidate wants, or of what it must at least beat."""
_NAMED = 5
"""Images without an output that a reason names."""


@dataclass(frozen=True)
class Line:
    """One demand and what came of it.

    Attributes:
        metric: `<part>.<metric>`.
        demand: `not_judged` = none of the opponents gives that part; only against a base.
        margin: loss that is allowed; 0 where it must be better.
        against: the opponent's name.
        gain: mean and interval of the gain; None = not measured.
        decided: False where there are too few photographs or origins for a verdict.
        sentence: what was found, for a person.
    """

    metric: str
    demand: Demand
    margin: float
    against: str
    gain: Interval | None
    passed: bool
    sentence: str
    decided: bool = True


def check_metrics(config: GateConfig) -> None:
    """Every metric that the gate names must exist, and be measured image by image. Raises BadSetup."""
    for key, name in [("better", config.better), *(("margins", name) for name in config.margins)]:
        try:
            metric = _metric(name)
        except KeyError:
            raise BadSetup(f"evaluation.gate.{key} names {name!r}, and there is no such metric") from None
        if metric.of_list:
            raise BadSetup(
                f"evaluation.gate.{key} names {name!r}, one figure for a whole list: its gain has no paired interval"
            )


def judge(candidate: SavedScores, opponents: Opponents, config: EvaluationConfig, lenient: bool) -> list[Line]:
    """Every demand of the gate, the chosen metric's first.

    Args:
        opponents: a metric is compared with the first of them that gives it; all of the candidate's list.
        lenient: for a first champion, whose place is empty: a metric that no opponent gives is left out, instead of
            failing, because a base has no foreground; and where too few photographs or origins leave a demand
            undecided, the mean alone has to meet it, instead of the whole interval.

    Raises:
        ValueError: an opponent's scores are of another list or protocol.
    """
    for name, scores in opponents.items():
        if scores.terms != candidate.terms or scores.images != candidate.images:
            raise ValueError(f"{name}'s scores are of another list or protocol: they do not compare")
    demands: list[tuple[str, Demand, float]] = [(config.gate.better, "better", 0.0)]
    demands += [(name, "not_worse", margin) for name, margin in config.gate.margins.items()]
    return [_line(candidate, opponents, *demand, lenient) for demand in demands]


def missing_outputs(candidate: SavedScores) -> str | None:
    """A sentence where an image has no output."""
    if not candidate.failed:
        return None
    named = ", ".join(candidate.failed[:_NAMED]) + (", ..." if len(candidate.failed) > _NAMED else "")
    return f"missing outputs: {len(candidate.failed)} of {len(candidate.images)} images have none ({named})"


def _line(
    candidate: SavedScores, opponents: Opponents, name: str, demand: Demand, margin: float, lenient: bool
) -> Line:
    ours, metric = candidate.column(name), _metric(name)
    measured = ~np.isnan(ours)
    # Where an opponent has a gap and we have none, leaving those images out could hide a loss.
    columns = {rival: scores.column(name) for rival, scores in opponents.items()}
    rivals = [rival for rival, theirs in columns.items() if measured.any() and (measured == ~np.isnan(theirs)).all()]
    if not rivals:
        return _unmeasured(name, demand, margin, candidate, opponents, lenient)
    rival, theirs = rivals[0], columns[rivals[0]]
    sign = 1.0 if metric.higher_is_better else -1.0
    gain = difference(sign * ours, sign * theirs, candidate.clusters)
    assert gain is not None, "it was measured on the same images, of which there are some"
    bound = 0.0 if demand == "better" else -margin
    if gain.low is None or gain.why_undecided:
        passed = lenient and gain.mean > bound
        return Line(name, demand, margin, rival, gain, passed, _undecided(metric, name, gain), decided=False)
    passed = gain.low > bound
    return Line(name, demand, margin, rival, gain, passed, _sentence(metric, name, demand, margin, gain, passed))


def _unmeasured(
    name: str, demand: Demand, margin: float, candidate: SavedScores, opponents: Opponents, lenient: bool
) -> Line:
    names = " or ".join(opponents) or "nobody"
    given = any(not np.isnan(scores.column(name)).all() for scores in opponents.values())
    if lenient and demand == "not_worse" and not given:
        return Line(name, "not_judged", margin, "", None, True, f"{name}: not judged, {names} does not give it")
    if np.isnan(candidate.column(name)).all():
        return Line(name, demand, margin, "", None, False, f"{name}: not measured")
    return Line(name, demand, margin, "", None, False, f"{name}: not measured on the same images with {names}")


def _sentence(metric: Metric, name: str, demand: Demand, margin: float, gain: Interval, passed: bool) -> str:
    unit, found = f" {metric.unit}" if metric.unit else "", _gain(metric, name, gain)
    if demand == "better":
        return f"better: {found}" if passed else f"not better: {found}, which must lie above 0"
    return f"not worse: {found}" if passed else f"worse: {found}, which must lie above {0.0 - margin:+g}{unit}"


def _undecided(metric: Metric, name: str, gain: Interval) -> str:
    return f"undecided ({gain.why_undecided}): {_gain(metric, name, gain)}"


def _gain(metric: Metric, name: str, gain: Interval) -> str:
    digits = metric.digits
    found = f"{name} gains {gain.mean:+.{digits}f}{f' {metric.unit}' if metric.unit else ''}"
    if gain.low is not None:
        found += f", 95% in [{gain.low:+.{digits}f}, {gain.high:+.{digits}f}]"
    return f"{found} ({gain.counted})"


def _metric(name: str) -> Metric:
    part, _, metric = name.partition(".")
    return find_metric(part, metric)
