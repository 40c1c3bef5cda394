"""The tables of a report, ready to be written down as HTML or Markdown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.checks import HEADLINE
from evaluation.metrics.catalogue import METRICS, Metric, Part, find_metric
from evaluation.page.figures import Cell, counts
from evaluation.rivals import rivals_first

Values = Mapping[str, Any]
"""Content of `report.json`."""
PASTED = "_pasted"
UNTOUCHED = "input"
"""The unchanged given picture: nothing is nearer to the truth where no change was needed, so it is never best."""
REGION_TITLES = {
    "mask": "Background where the target shows",
    "ring": "Background around the target",
    "outside": "Background away from the target",
    "whole": "Background, whole picture",
}
PART_TITLES: dict[Part, str] = {
    "background": "Background, the list as a whole",
    "foreground": "Foreground: the complete object",
    "recomposition": "Recomposition: foreground over background against the picture, except what covers the target",
}


@dataclass(frozen=True)
class Table:
    """Figures with intervals: a row for each method.

    Attributes:
        heads: metric of each column.
        rows: method -> a cell for each column.
        best: for each column the method with the best mean; None where there is nothing to choose from.
        counts: for each column what its cells count; empty where they do not count the same, so each says it.
    """

    title: str
    heads: Sequence[Metric]
    rows: Mapping[str, Sequence[Cell]]
    best: Sequence[str | None]
    counts: Sequence[str]

    @property
    def parts(self) -> dict[str, int]:
        """Part -> how many columns in a row it has."""
        return dict(Counter(metric.part for metric in self.heads))


@dataclass(frozen=True)
class StratumTable:
    """One metric: strata down, methods across.

    Attributes:
        rows: stratum -> a cell for each method.
        counts: stratum -> what is in it; cells of another count say so.
    """

    metric: Metric
    methods: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]
    counts: Mapping[str, str]


def summary_table(values: Values) -> Table:
    """The main figures of every method, over all parts; the adapter and its best rivals come first."""
    return _table("Main figures", [find_metric(*metric) for metric in HEADLINE], rivals_first(values["methods"]))


def part_tables(values: Values) -> list[Table]:
    """A table for each region of the background, each other part, and the model's own size; those with figures only."""
    found: dict[str, list[Metric]] = {}
    for metric in METRICS:
        region = metric.name.removesuffix(PASTED).rpartition("_")[2]
        known = metric.part == "background" and region in REGION_TITLES and not metric.of_list
        found.setdefault(REGION_TITLES[region] if known else PART_TITLES[metric.part], []).append(metric)
    order = [*REGION_TITLES.values(), *PART_TITLES.values()]
    tables = [_table(title, found[title], values["methods"]) for title in order if title in found]
    if (small := values["at_model_size"]) is not None:
        title = f"At the size that the model works at: {small['size_px']} x {small['size_px']} px at most"
        tables.append(_table(title, [find_metric(*metric) for metric in HEADLINE], small["methods"]))
    return [table for table in tables if table.rows]


def asked_lines(values: Values) -> dict[str, str]:
    """Method -> its settings, in words."""
    return {
        method: ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
        for method, settings in values["asked"].items()
    }


def steps_note(values: Values) -> str:
    """A sentence if the adapter did not run with its own number of steps; else empty."""
    steps = values["asked"].get("adapter", {}).get("num_steps")
    own = values["models"].get("adapter", {}).get("config", {}).get("num_inference_steps", steps)
    return "" if steps == own else f"Judged with {steps} sampling steps; the adapter's own are {own}."


def stratum_tables(values: Values, stratification: str) -> list[StratumTable]:
    """A table for each main metric that any method has."""
    strata = values["strata"][stratification]
    inside = {name: counts(found) for name, found in strata.items()}
    tables = []
    for part, metric in HEADLINE:
        cells = {
            name: [found["methods"][method][part][metric] for method in values["methods"]]
            for name, found in strata.items()
        }
        kept = [place for place, _ in enumerate(values["methods"]) if any(row[place] for row in cells.values())]
        methods = [list(values["methods"])[place] for place in kept]
        rows = {name: [row[place] for place in kept] for name, row in cells.items()}
        if methods:
            tables.append(StratumTable(find_metric(part, metric), methods, rows, inside))
    return tables


def _table(title: str, metrics: Sequence[Metric], methods: Mapping[str, Any]) -> Table:
    """Columns without values, and methods without a column, are left out."""
    heads = [m for m in metrics if any(found[m.part].get(m.name) for found in methods.values())]
    rows = {name: [found[m.part].get(m.name) for m in heads] for name, found in methods.items()}
    rows = {name: cells for name, cells in rows.items() if any(cells)}
    best = [_best(metric, {name: cells[place] for name, cells in rows.items()}) for place, metric in enumerate(heads)]
    counted = [{counts(cell) for cells in rows.values() if (cell := cells[place])} for place, _ in enumerate(heads)]
    return Table(title, heads, rows, best, [found.pop() if len(found) == 1 else "" for found in counted])


def _best(metric: Metric, cells: Mapping[str, Cell]) -> str | None:
    means = {name: cell["mean"] for name, cell in cells.items() if cell and name != UNTOUCHED}
    choose = max if metric.higher_is_better else min
    return choose(means, key=means.__getitem__) if len(means) > 1 else None
