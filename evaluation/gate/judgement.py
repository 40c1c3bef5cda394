"""Whether a method's scores are good enough to replace another method: pure functions over scores.

Non-inferior on every named metric: the interval of the gain lies above minus its margin. Better on the chosen one:
the interval lies above 0, and its mean above what another seed of training would give. Gains are differences image by
image, turned so that more is better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig, GateConfig
from evaluation.gate.luck import Luck
from evaluation.metrics.catalogue import Metric, find_metric
from evaluation.saved_scores import SavedScores
from evaluation.statistics import Interval, difference

Demand = Literal["better", "not_worse", "not_judged"]
Opponents = Mapping[str, SavedScores]
"""Name -> scores of the method that the candidate wants to replace, or of one that it must at least beat."""
_NAMED = 5
"""Number of images without an output that a reason names."""


@dataclass(frozen=True)
class Line:
    """One demand and what came of it.

    Attributes:
        metric: `<part>.<metric>`.
        demand: `not_judged` = none of the opponents gives that part; only against a base.
        margin: loss that is allowed; where it must be better, the gain that its mean must exceed.
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
            raise BadSetup(f"evaluation.gate.{key} names {name!r}, which is not a metric") from None
        if metric.of_list:
            raise BadSetup(
                f"evaluation.gate.{key} names {name!r}, which is one figure for a whole list: its gain has no paired "
                "interval"
            )


def judge(
    candidate: SavedScores,
    opponents: Opponents,
    config: EvaluationConfig,
    luck: Luck,
    *,
    partial: bool = False,
    lenient: bool = False,
) -> list[Line]:
    """Every demand of the gate, the chosen metric's first.

    Args:
        opponents: a metric is compared with the first of them that gives it; all of the candidate's list.
        luck: how large a gain the seed of a training gives by itself.
        partial: a metric that no opponent gives is left out, instead of failing, because a base has no foreground.
        lenient: for a first champion: if too few photographs or origins leave a demand undecided, only the mean has to
            meet it, not the whole interval.

    Raises:
        ValueError: an opponent's scores are of another list or protocol.
    """
    for name, scores in opponents.items():
        if scores.terms != candidate.terms or scores.images != candidate.images:
            raise ValueError(f"{name}'s scores are of another list or protocol: they cannot be compared")
    demands: list[tuple[str, Demand, float]] = [(config.gate.better, "better", 0.0)]
    demands += [(name, "not_worse", margin) for name, margin in config.gate.margins.items()]
    lines = []
    for name, demand, margin in demands:
        rival = _rival(candidate, opponents, name)
        if rival is None:
            lines.append(_unmeasured(name, demand, margin, candidate, opponents, partial))
        else:
            lines.append(_line(candidate, rival, opponents[rival], name, demand, margin, luck, lenient))
    return lines


def missing_outputs(candidate: SavedScores) -> str | None:
    """A sentence where an image has no output."""
    if not candidate.failed:
        return None
    named = ", ".join(candidate.failed[:_NAMED]) + (", ..." if len(candidate.failed) > _NAMED else "")
    return f"missing outputs: {len(candidate.failed)} of {len(candidate.images)} images have none ({named})"


def _rival(candidate: SavedScores, opponents: Opponents, name: str) -> str | None:
    """The first opponent that was measured on the same images."""
    measured = ~np.isnan(candidate.column(name))
    # Where an opponent has a gap and we have none, leaving those images out could hide a loss.
    same = (rival for rival, theirs in opponents.items() if (measured == ~np.isnan(theirs.column(name))).all())
    return next(same, None) if measured.any() else None


def _line(
    candidate: SavedScores,
    rival: str,
    theirs: SavedScores,
    name: str,
    demand: Demand,
    margin: float,
    luck: Luck,
    lenient: bool,
) -> Line:
    metric = _metric(name)
    sign = 1.0 if metric.higher_is_better else -1.0
    gain = difference(sign * candidate.column(name), sign * theirs.column(name), candidate.clusters)
    assert gain is not None, "both were measured on the same images, at least one"
    bound, why = 0.0 - margin, ""
    if demand == "better":
        # A published model has no seed luck of our training; another training has as much as the candidate.
        margin, why = luck.asked(name, 2 if theirs.method == candidate.method else 1)
        bound = 0.0
    beyond = gain.mean > margin if demand == "better" else True
    said = _Said(metric, name, rival, gain, margin, why)
    if gain.low is None or gain.why_undecided:
        passed = lenient and gain.mean > bound and beyond
        return Line(name, demand, margin, rival, gain, passed, said.undecided, decided=False)
    above = gain.low > bound
    sentence = said.better(above, beyond) if demand == "better" else said.not_worse(above)
    return Line(name, demand, margin, rival, gain, above and beyond, sentence)


def _unmeasured(
    name: str, demand: Demand, margin: float, candidate: SavedScores, opponents: Opponents, partial: bool
) -> Line:
    names = " or ".join(opponents) or "nobody"
    given = any(not np.isnan(scores.column(name)).all() for scores in opponents.values())
    if partial and demand == "not_worse" and not given:
        return Line(name, "not_judged", margin, "", None, True, f"{name}: not judged, because {names} does not give it")
    if np.isnan(candidate.column(name)).all():
        return Line(name, demand, margin, "", None, False, f"{name}: not measured")
    return Line(name, demand, margin, "", None, False, f"{name}: not measured on the same images with {names}")


@dataclass(frozen=True)
class _Said:
    """The sentences on one gain."""

    metric: Metric
    name: str
    rival: str
    gain: Interval
    margin: float
    why: str

    def better(self, above: bool, beyond: bool) -> str:
        if above and beyond:
            return f"better: {self._found}, more than {self._asked}"
        must = "which must lie above 0" if not above else f"of which the mean must exceed {self._asked}"
        return f"not better: {self._found}, {must}"

    def not_worse(self, passed: bool) -> str:
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        wrong = f"worse: {self._found}, which must lie above {0.0 - self.margin:+g}{unit}"
        return f"not worse: {self._found}" if passed else wrong

    @property
    def undecided(self) -> str:
        asked = f", of which the mean must exceed {self._asked}" if self.why else ""
        return f"undecided ({self.gain.why_undecided}): {self._found}{asked}"

    @property
    def _asked(self) -> str:
        return f"{self._figure(self.margin)} ({self.why})"

    @property
    def _found(self) -> str:
        found = f"{self.name} gains {self._figure(self.gain.mean)} over {self.rival}"
        if self.gain.low is not None:
            digits = self.metric.digits
            found += f", 95% in [{self.gain.low:+.{digits}f}, {self.gain.high:+.{digits}f}]"
        return f"{found} ({self.gain.counted})"

    def _figure(self, value: float) -> str:
        return f"{value:+.{self.metric.digits}f}{f' {self.metric.unit}' if self.metric.unit else ''}"


def _metric(name: str) -> Metric:
    part, _, metric = name.partition(".")
    return find_metric(part, metric)
