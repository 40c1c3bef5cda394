"""From raw scores to `report.json`: means with intervals, differences, strata, and their protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.cases import list_sha256
from evaluation.checks import HEADLINE
from evaluation.config import EvaluationConfig
from evaluation.curves import CURVES, bin_facts, bins_of, spreads
from evaluation.metrics.catalogue import COVERED_NOTE, IMAGE_METRICS, LIST_METRICS, Part
from evaluation.metrics.lists import Key, ListScore
from evaluation.protocol import protocol_of
from evaluation.rivals import SIMPLE_NAMES
from evaluation.scores import ScoreTable
from evaluation.statistics import Clusters, intervals

REPORT = "report.json"
DIFFERENCES = (
    ("adapter", "base"),
    *(("adapter", name) for name in SIMPLE_NAMES),
    ("base", "telea"),
    ("adapter", "input"),
    ("base", "input"),
)
"""(first, second) -> `first-second`: reported where both methods ran."""
OURS = frozenset(name for pair in DIFFERENCES for name in pair)
"""Methods that always run; all others are baselines."""


@dataclass(frozen=True)
class About:
    """What a reader must know besides the scores.

    Attributes:
        profile: its name.
        stand_ins: what was used -> what it stands in for.
        models: method -> facts that identify its weights.
        asked: method -> its settings: steps, seed, ...
        test_set: what the test set says of itself.
    """

    profile: str = ""
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    test_set: Mapping[str, Any] = field(default_factory=dict)

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
    """The results of an evaluation.

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


def make_report(
    table: ScoreTable, config: EvaluationConfig, about: About, controls: ScoreTable | None = None
) -> Report:
    """Everything that `report.json` says.

    Args:
        controls: scores of the first of its methods and of that one's controls (`evaluation.controls`), on a part of
            the list; None = there are none.

    Raises:
        ValueError: the table holds no image.
    """
    if not table.entries:
        raise ValueError("there is nothing to report: the held-out list is empty")
    on_list = table.list_scores(config.seed)
    pairs = [(a, b) for a, b in DIFFERENCES if a in table.values and b in table.values]
    # Whatever else ran on this list, the adapter is set against it.
    pairs += [("adapter", name) for name in table.values if "adapter" in table.values and name not in OURS]
    not_measured = {f"{part}.{name}": reason for (part, name), reason in table.not_measured.items()}
    values = {
        "list_sha256": list_sha256(table.entries),
        "num_images": len(table.entries),
        "num_scenes": len(set(table.scenes)),
        **table.clusters.counts,
        "profile": about.profile,
        "test_set": dict(about.test_set),
        "stand_ins": about.all_stand_ins,
        "models": {name: dict(facts) for name, facts in about.models.items()},
        "asked": {name: dict(settings) for name, settings in about.asked.items()},
        "seed": config.seed,
        "protocol": protocol_of(config),
        "settings": config.model_dump(mode="json"),
        "methods": _methods(table, on_list),
        "differences": _differences(table, on_list, pairs),
        "at_model_size": _at_model_size(table, pairs),
        "controls": None if controls is None else _controls(controls),
        "strata": {name: _strata(table, name) for name in table.strata},
        "curves": {name: _curve(table, name) for name in table.difficulties},
        "spreads": spreads(table),
        "failures": {name: failed for name, failed in table.failures.items() if failed},
        "not_measured": not_measured,
        "notes": _notes(table, not_measured),
    }
    return Report(values, table)


def _notes(table: ScoreTable, not_measured: Mapping[str, str]) -> dict[str, str]:
    """Metric -> what a reader must know to compare its figures."""
    notes = {
        f"{metric.part}.{metric.name}": metric.note
        for metric in LIST_METRICS
        if f"{metric.part}.{metric.name}" not in not_measured
    }
    recomposed = any(not np.isnan(columns["recomposition", "psnr_whole"]).all() for columns in table.values.values())
    if table.num_covered_unknown and recomposed:
        notes["recomposition.psnr_whole"] = COVERED_NOTE.format(table.num_covered_unknown, len(table.entries))
    return notes


OnList = Mapping[str, Mapping[Key, ListScore]]
"""Method -> metric -> its figure for the whole list."""


def _methods(table: ScoreTable, on_list: OnList) -> dict[str, Any]:
    """Method -> part -> metric -> interval or null, for every metric that there is, and its number of failures."""
    columns = {
        (name, metric.part, metric.name): table.column(name, metric.part, metric.name)
        for name in table.methods
        for metric in IMAGE_METRICS
    }
    found = _with_list(_nested(columns, table.clusters), on_list)
    return {name: parts | {"failures": len(table.failures[name])} for name, parts in found.items()}


def _differences(table: ScoreTable, on_list: OnList, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """`first-second` -> part -> metric -> interval or null, paired: by image, or by cluster for figures of a list."""
    columns = {
        (f"{first}-{second}", metric.part, metric.name): table.column(first, metric.part, metric.name)
        - table.column(second, metric.part, metric.name)
        for first, second in pairs
        for metric in IMAGE_METRICS
    }
    differences = {
        f"{first}-{second}": {key: found.minus(on_list[second][key]) for key, found in on_list[first].items()}
        for first, second in pairs
        if first in on_list and second in on_list
    }
    return _with_list(_nested(columns, table.clusters), differences)


def _at_model_size(table: ScoreTable, pairs: Sequence[tuple[str, str]]) -> dict[str, Any] | None:
    """Size, and the headline metrics of methods and differences there; None if no method has its own size."""
    if table.model_size_px is None:
        return None
    small = {(name, *metric): table.column(name, *metric, small=True) for name in table.methods for metric in HEADLINE}
    differences = {
        (f"{first}-{second}", *metric): small[(first, *metric)] - small[(second, *metric)]
        for first, second in pairs
        for metric in HEADLINE
    }
    return {
        "size_px": table.model_size_px,
        "methods": _nested(small, table.clusters),
        "differences": _nested(differences, table.clusters),
    }


def _controls(table: ScoreTable) -> dict[str, Any]:
    """Number of images, headline metrics of the method and of its controls, and the differences to each of them."""
    first, *others = table.methods
    differences = {
        (f"{first}-{other}", *metric): table.column(first, *metric) - table.column(other, *metric)
        for other in others
        for metric in HEADLINE
    }
    return {
        "num_images": len(table.entries),
        **table.clusters.counts,
        "methods": _on_some(table, np.ones(len(table.entries), bool), HEADLINE),
        "differences": _nested(differences, table.clusters),
    }


def _strata(table: ScoreTable, stratification: str) -> dict[str, Any]:
    """Stratum -> number of images and of their clusters, and each method's headline metrics on them."""
    return {
        stratum: {
            "num_images": int((where := table.where(stratification, stratum)).sum()),
            **table.clusters.where(where).counts,
            "methods": _on_some(table, where, HEADLINE),
        }
        for stratum in sorted(set(table.strata[stratification]))
    }


def _curve(table: ScoreTable, difficulty: str) -> list[dict[str, Any]]:
    """Bins of a difficulty, from small to large: where each lies, and each method's metrics in it."""
    values = np.array(table.difficulties[difficulty], np.float64)
    return [
        {
            **bin_facts(values, where),
            **table.clusters.where(where).counts,
            "methods": _on_some(table, where, CURVES),
        }
        for where in bins_of(values)
    ]


def _on_some(table: ScoreTable, where: np.ndarray, metrics: Sequence[tuple[Part, str]]) -> dict[str, Any]:
    """Method -> part -> metric -> interval or null, over some of the images."""
    columns = {
        (name, part, metric): table.column(name, part, metric)[where]
        for name in table.methods
        for part, metric in metrics
    }
    return _nested(columns, table.clusters.where(where))


def _nested(columns: Mapping[tuple[str, Part, str], np.ndarray], clusters: Clusters) -> dict[str, Any]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    results = intervals(list(columns.values()), clusters)
    for (name, part, metric), result in zip(columns, results, strict=True):
        found.setdefault(name, {}).setdefault(part, {})[metric] = None if result is None else result.to_dict()
    return found


def _with_list(found: dict[str, Any], on_list: OnList) -> dict[str, Any]:
    """The same with the metrics of the whole list; null where they were not measured."""
    for name, parts in found.items():
        for metric in LIST_METRICS:
            score = on_list.get(name, {}).get((metric.part, metric.name))
            parts[metric.part][metric.name] = None if score is None else score.interval.to_dict()
    return found
