"""The table of ablations as Markdown, for a person; its words are in `table.md.jinja`."""

from collections.abc import Mapping
from typing import Any

from evaluation.ablation_rows import PAPER_COLUMNS, SEEDS
from evaluation.metrics.catalogue import find_metric
from evaluation.page.figures import COUNTS, counts
from evaluation.page.templates import Filters, render
from evaluation.statistics import Interval


def table_markdown(table: Mapping[str, Any]) -> str:
    """Two tables: ours, with the paper's figures at the end of each row; and differences to the full row."""
    filters: Filters = {
        "head": _head,
        "figure": _figure,
        "difference": _difference,
        "counts": counts,
        "spread": _spread,
    }
    words = {"paper": PAPER_COLUMNS, "counted": COUNTS, "seeds": SEEDS}
    return render("evaluation.ablations", "table.md.jinja", filters, table=table, **words)


def _head(name: str) -> str:
    metric = find_metric(*name.split("."))
    return f"{metric.part} `{metric.name}`" + (f", {metric.unit}" if metric.unit else "")


def _spread(value: float, name: str) -> str:
    """A standard deviation, with one decimal more than its metric."""
    return f"{value:.{find_metric(*name.split('.')).digits + 1}f}"


def _figure(cell: Mapping[str, Any] | None, name: str, table: Mapping[str, Any], sign: str = "") -> str:
    """A mean with its interval; and what it counts, where that is not what the table says already."""
    if cell is None:
        return "not measured"
    digits = find_metric(*name.split(".")).digits
    shown = f"{cell['mean']:{sign}.{digits}f}"
    if cell["low"] is not None:
        shown += f" [{cell['low']:{sign}.{digits}f}, {cell['high']:{sign}.{digits}f}]"
    counted = table["list_sha256"] is not None and counts(cell) == counts(table)
    return shown if counted else f"{shown} ({counts(cell)})"


def _difference(cell: Mapping[str, Any] | None, name: str, table: Mapping[str, Any]) -> str:
    """A difference with its interval, and what that says of the row."""
    if cell is None:
        return "-"
    found = Interval.from_dict(cell)
    verdict = found.verdict(find_metric(*name.split(".")).higher_is_better)
    said = {"even": "", "undecided": f", undecided ({found.why_undecided})"}.get(verdict, f", {verdict}")
    return _figure(cell, name, table, "+") + said
