"""The table of ablations as Markdown, for a person."""

from collections.abc import Mapping
from typing import Any

from evaluation.ablation_rows import PAPER_COLUMNS
from evaluation.metrics.catalogue import Metric, find_metric
from evaluation.page.figures import COUNTS, counts
from evaluation.statistics import Interval

_STATUS = {"not_trained": "not trained", "does_not_apply": "does not apply", "outdated": "outdated"}


def table_markdown(table: Mapping[str, Any]) -> str:
    """Two tables: ours, with the paper's figures at the end of each row; and differences to the full row."""
    lines = ["# Ablations", "", _about(table), ""]
    heads = [_head(name) for name in table["columns"]]
    paper = [f"paper: {title}" for title in PAPER_COLUMNS.values()]
    lines += _header(["", "changed", *heads, *paper])
    lines += [_line([row["title"], _changed(row), *_figures(row, table), *_paper(row)]) for row in table["rows"]]
    lines += ["", f"Columns headed *paper*: {table['paper']['why']}.", ""]
    compared = [row for row in table["rows"] if row["differences"]]
    if compared:
        lines += ["## Less the full recipe", "", *_header(["", *heads])]
        lines += [_line([row["title"], *_differences(row, table)]) for row in compared]
        lines += ["", table["caveat"], ""]
    notes = [
        f"- {row['title']}: {row['note']}" for row in table["rows"] if row["note"] and row["note"] != "not trained"
    ]
    return "\n".join(lines + notes) + "\n"


def _about(table: Mapping[str, Any]) -> str:
    if table["list_sha256"] is None:
        return "The full recipe is not trained, so nothing is compared."
    return (
        f"Means with 95 % intervals; {COUNTS}: {counts(table)}, where a figure does not say otherwise; "
        f"list `{table['list_sha256'][:16]}`."
    )


def _changed(row: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key} = {value!r}`" for key, value in row["changes"].items())


def _figures(row: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    if row["status"] != "judged":
        return [_STATUS[row["status"]], *("" for _ in table["columns"][1:])]
    return [_told(name, row["figures"][name], "", table) for name in table["columns"]]


def _differences(row: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    return [_difference(name, row["differences"][name], table) for name in table["columns"]]


def _difference(name: str, cell: Mapping[str, Any] | None, table: Mapping[str, Any]) -> str:
    """A difference with its interval, and what that says of the row."""
    if cell is None:
        return "-"
    found = Interval.from_dict(cell)
    verdict = found.verdict(_metric(name).higher_is_better)
    said = {"even": "", "undecided": f", undecided ({found.why_undecided})"}.get(verdict, f", {verdict}")
    return _told(name, cell, "+", table) + said


def _told(name: str, cell: Mapping[str, Any] | None, sign: str, table: Mapping[str, Any]) -> str:
    if cell is None:
        return "not measured"
    digits = _metric(name).digits
    shown = f"{cell['mean']:{sign}.{digits}f}"
    if cell["low"] is not None:
        shown += f" [{cell['low']:{sign}.{digits}f}, {cell['high']:{sign}.{digits}f}]"
    counted = table["list_sha256"] is not None and counts(cell) == counts(table)
    return shown if counted else f"{shown} ({counts(cell)})"


def _paper(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['paper'][name]:.2f}" if name in row["paper"] else "not known" for name in PAPER_COLUMNS]


def _head(name: str) -> str:
    metric = _metric(name)
    return f"{metric.part} `{metric.name}`" + (f", {metric.unit}" if metric.unit else "")


def _metric(name: str) -> Metric:
    return find_metric(*name.split("."))


def _header(cells: list[str]) -> list[str]:
    return [_line(cells), "|" + "---|" * len(cells)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
