"""From raw scores to `report.json`: means with intervals, differences, strata, and under what protocol they hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.cases import list_sha256
from evaluation.config import EvaluationConfig
from evaluation.metrics.catalogue import METRICS, NOT_MEASURED, PARTS, Metric, Part
from evaluation.scores import ScoreTable
from evaluation.statistics import Interval, difference, interval

DIFFERENCES = (
    ("adapter", "base"),
    ("adapter", "telea"),
    ("adapter", "given_mask"),
    ("base", "telea"),
    ("adapter", "telea_grown"),
    ("adapter", "navier_stokes"),
    ("adapter", "input"),
    ("base", "input"),
)
"""(first, second) -> `first-second`: reported where both methods ran."""
HEADLINE: tuple[tuple[Part, str], ...] = (
    ("background", "psnr_mask"),
    ("background", "psnr_whole"),
    ("foreground", "soft_iou"),
    ("foreground", "soft_iou_hidden"),
    ("foreground", "soft_iou_unseen"),
    ("recomposition", "psnr_whole"),
)
"""Metrics that are told by stratum, too."""

Compare = Callable[[Metric], Interval | None]


@dataclass(frozen=True)
class About:
    """What a reader must know besides the scores.

    Attributes:
        profile: its name.
        stand_ins: what was used -> what it stands in for.
        models: method -> facts that identify its weights.
    """

    profile: str = ""
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def all_stand_ins(self) -> dict[str, str]:
        """Those of the data, and models that stand in for others."""
        models = {
            f"the base `{facts['name']}`": str(facts["stands_in_for"])
            for facts in self.models.values()
            if "stands_in_for" in facts
        }
        return {**self.stand_ins, **models}


@dataclass(frozen=True)
class Report:
    """What came of an evaluation.

    Attributes:
        values: content of `report.json`.
        table: the raw scores behind it.
    """

    values: dict[str, Any]
    table: ScoreTable

    @property
    def num_failures(self) -> int:
        """Images without an output, over all methods."""
        return sum(len(failed) for failed in self.table.failures.values())

    def mean(self, method: str, part: str, metric: str) -> float | None:
        """A method's mean; None where it was not measured."""
        found = self.values["methods"][method][part][metric]
        return None if found is None else float(found["mean"])


def make_report(table: ScoreTable, config: EvaluationConfig, about: About) -> Report:
    """Everything that `report.json` says.

    Raises:
        ValueError: the table holds no image.
    """
    if not table.entries:
        raise ValueError("there is nothing to report: the held-out list is empty")
    pairs = [(a, b) for a, b in DIFFERENCES if a in table.values and b in table.values]
    values = {
        "list_sha256": list_sha256(table.entries),
        "num_images": len(table.entries),
        "num_scenes": len(set(table.scenes)),
        "profile": about.profile,
        "stand_ins": about.all_stand_ins,
        "models": {name: dict(facts) for name, facts in about.models.items()},
        "seed": config.seed,
        "settings": config.model_dump(mode="json"),
        "methods": {
            name: _by_part(_mean_of(table, name, config)) | {"failures": len(table.failures[name])}
            for name in table.methods
        },
        "differences": {f"{a}-{b}": _by_part(_difference_of(table, a, b, config)) for a, b in pairs},
        "strata": {name: _stratum_means(table, name, config) for name in table.strata},
        "failures": {name: failed for name, failed in table.failures.items() if failed},
        "not_measured": {f"{part}.{metric}": reason for (part, metric), reason in NOT_MEASURED.items()},
    }
    return Report(values, table)


def _mean_of(table: ScoreTable, method: str, config: EvaluationConfig) -> Compare:
    def mean(metric: Metric) -> Interval | None:
        column = table.column(method, metric.part, metric.name)
        return interval(column, table.scenes, config.bootstrap_draws, config.seed)

    return mean


def _difference_of(table: ScoreTable, first: str, second: str, config: EvaluationConfig) -> Compare:
    def compare(metric: Metric) -> Interval | None:
        a, b = (table.column(name, metric.part, metric.name) for name in (first, second))
        return difference(a, b, table.scenes, config.bootstrap_draws, config.seed)

    return compare


def _by_part(compare: Compare) -> dict[str, Any]:
    """Part -> metric -> interval or null, for every metric that there is."""
    found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for metric in METRICS:
        result = compare(metric)
        found[metric.part][metric.name] = None if result is None else result.to_dict()
    for part, name in NOT_MEASURED:
        found[part][name] = None
    return found


def _stratum_means(table: ScoreTable, stratification: str, config: EvaluationConfig) -> dict[str, Any]:
    """Stratum -> number of images, and each method's headline metrics on them."""
    found = {}
    for stratum in sorted(set(table.strata[stratification])):
        where = table.where(stratification, stratum)
        scenes = np.array(table.scenes)[where].tolist()
        methods: dict[str, dict[str, dict[str, Any]]] = {}
        for method in table.methods:
            for part, metric in HEADLINE:
                column = table.column(method, part, metric)[where]
                result = interval(column, scenes, config.bootstrap_draws, config.seed)
                told = None if result is None else result.to_dict()
                methods.setdefault(method, {}).setdefault(part, {})[metric] = told
        found[stratum] = {"num_images": int(where.sum()), "methods": methods}
    return found
