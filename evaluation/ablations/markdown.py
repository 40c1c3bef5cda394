"""The table of ablations as Markdown, for a person."""

from collections.abc import Mapping
from typing import Any, cast

from evaluation.ablation_rows import PAPER_COLUMNS
from evaluation.metrics.catalogue import Part, find_metric

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
    return f"Means with 95 % intervals over {table['num_images']} images; list `{table['list_sha256'][:16]}`."


def _changed(row: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key} = {value!r}`" for key, value in row["changes"].items())


def _figures(row: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    if row["status"] != "judged":
        return [_STATUS[row["status"]], *("" for _ in table["columns"][1:])]
    return [_told(name, row["figures"][name], "") for name in table["columns"]]


def _differences(row: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    return [_told(name, row["differences"][name], "+") for name in table["columns"]]


def _told(name: str, figure: Mapping[str, Any] | None, sign: str) -> str:
    if figure is None:
        return "-" if sign else "not measured"
    part, metric = name.split(".")
    digits = find_metric(cast(Part, part), metric).digits
    mean = f"{figure['mean']:{sign}.{digits}f}"
    if figure.get("low") is None:
        return mean
    return f"{mean} [{figure['low']:{sign}.{digits}f}, {figure['high']:{sign}.{digits}f}]"


def _paper(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['paper'][name]:.2f}" if name in row["paper"] else "not known" for name in PAPER_COLUMNS]


def _head(name: str) -> str:
    part, metric = name.split(".")
    unit = find_metric(cast(Part, part), metric).unit
    return f"{part} `{metric}`" + (f", {unit}" if unit else "")


def _header(cells: list[str]) -> list[str]:
    return [_line(cells), "|" + "---|" * len(cells)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
