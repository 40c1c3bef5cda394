"""`report.md`: the figures of the page as text, for repositories, issues and terminals."""

from collections.abc import Iterable, Iterator, Sequence

from evaluation.metrics.catalogue import Metric
from evaluation.page.figures import COUNTS, DASH, MINUS, Cell, counts, figure, head, span
from evaluation.page.tables import (
    Difference,
    StratumTable,
    Table,
    Values,
    asked_lines,
    difference_rows,
    headline_differences,
    part_tables,
    steps_note,
    stratum_tables,
    summary_table,
)
from evaluation.statistics import MIN_CLUSTERS, Interval

MAX_FAILURES = 20
"""Failures of a method that are named; `report.json` has all of them."""


def render_markdown(values: Values) -> str:
    """The whole text.

    Args:
        values: content of `report.json`.
    """
    blocks = [
        f"# Evaluation{_of(values)}",
        _list(values),
        summary_lines(values),
        *_stand_ins(values),
        steps_note(values),
        "## Main figures",
        _reading(),
        _table(summary_table(values)),
        "## Figures by region",
        *(block for table in part_tables(values) for block in (f"### {table.title}", _table(table))),
        *dict.fromkeys(values["notes"].values()),
        "## Differences",
        *_differences(values),
        "## Strata",
        *(
            block
            for name in values["strata"]
            for table in stratum_tables(values, name)
            for block in (f"### By {name.replace('_', ' ')}: {_metric(table.metric)}", _stratum(name, table))
        ),
        "## Failures",
        *_failures(values),
        "## Not measured",
        _bullets(f"`{name}`: {_text(reason)}" for name, reason in values["not_measured"].items()) or "Nothing.",
        "## Protocol",
        _protocol(values),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def summary_lines(values: Values) -> str:
    """A line for each of the main differences: who is better, by how much; empty where none was measured."""
    return _bullets(map(_verdict, headline_differences(values)))


def _of(values: Values) -> str:
    return f" of the profile `{values['profile']}`" if values["profile"] else ""


def _list(values: Values) -> str:
    return (
        f"{values['num_images']} images from {values['num_scenes']} scenes of the test set "
        f"`{values['test_set']['test_set']}`, with {values['num_photographs']} photographs behind them and targets of "
        f"{values['num_origins']} origins, list `{values['list_sha256']}`. "
        "Every method was given the same pictures and the same imperfect masks."
    )


def _reading() -> str:
    return (
        "Means over images with 95 % intervals, clustered by photograph of the background and by origin of the target. "
        f"With fewer than {MIN_CLUSTERS} of either nothing is called better or worse. Best mean in bold."
    )


def _verdict(found: Difference) -> str:
    unit = f" {found.metric.unit}" if found.metric.unit else ""
    return (
        f"**`{found.first}` {found.words[0]} `{found.second}`{found.words[1]}**: "
        f"{figure(found.cell['mean'], found.metric, True)}{unit} ({span(found.cell, found.metric, True)}), "
        f"{_metric(found.metric)}; {Interval.from_dict(found.cell).counted}"
    )


def _stand_ins(values: Values) -> Iterator[str]:
    if values["stand_ins"]:
        yield "These results come from a small set-up, and say nothing about the full models:"
        yield _bullets(f"{_text(used)} in place of {_text(meant)}" for used, meant in values["stand_ins"].items())


def _table(table: Table) -> str:
    if not table.rows:
        return "No method gave this."
    rows = [
        [
            f"`{name}`",
            *(
                _cell(cell, metric, counted, best == name)
                for cell, metric, counted, best in zip(cells, table.heads, table.counts, table.best, strict=True)
            ),
        ]
        for name, cells in table.rows.items()
    ]
    rows.append([COUNTS, *table.counts])
    parts = len(table.parts) > 1
    heads = [f"{metric.part}: {head(metric)}" if parts else head(metric) for metric in table.heads]
    return _grid(["method", *heads], rows)


def _cell(cell: Cell, metric: Metric, counted: str, is_best: bool = False) -> str:
    """A mean with its interval; and what it counts, where that is not what the table says already."""
    if cell is None:
        return DASH
    mean = figure(cell["mean"], metric)
    shown = f"**{mean}**" if is_best else mean
    shown += f" (N = {cell['num_images']})" if cell["low"] is None else f" ({span(cell, metric)})"
    return shown if counts(cell) == counted else f"{shown}, {counts(cell)}"


def _differences(values: Values) -> Iterator[str]:
    for name in values["differences"]:
        rows = [
            [
                _metric(row.metric),
                figure(row.cell["mean"], row.metric, True),
                span(row.cell, row.metric, True),
                _first_is(row),
                counts(row.cell),
            ]
            for row in difference_rows(values, name)
        ]
        yield f"### `{name.replace('-', f'` {MINUS} `', 1)}`"
        yield _grid(["metric", "mean", "95 % interval", "first is", COUNTS], rows) if rows else "Nothing in common."


def _first_is(row: Difference) -> str:
    if row.verdict == "undecided":
        return f"undecided ({row.why_undecided})"
    return row.verdict if row.verdict != "even" else ""


def _stratum(name: str, table: StratumTable) -> str:
    rows = [
        [stratum, table.counts[stratum], *(_cell(cell, table.metric, table.counts[stratum]) for cell in cells)]
        for stratum, cells in table.rows.items()
    ]
    return _grid([name.replace("_", " "), COUNTS, *(f"`{method}`" for method in table.methods)], rows)


def _failures(values: Values) -> Iterator[str]:
    if not values["failures"]:
        yield "None: every method has an output for every image."
    for method, failed in values["failures"].items():
        yield f"`{method}` has no output for {len(failed)} of {values['num_images']} images; each counts as the worst."
        yield _bullets(f"`{image}`: {_text(reason)}" for image, reason in list(failed.items())[:MAX_FAILURES])
    excluded = values["test_set"].get("excluded", [])
    if excluded:
        num_all = len(excluded) + values["num_images"]
        yield f"{len(excluded)} of {num_all} images of the test set cannot be judged on; `list.json` names all."
        yield _bullets(f"`{found['name']}`: {_text(found['reason'])}" for found in excluded[:MAX_FAILURES])


def _protocol(values: Values) -> str:
    told = {name: value for name, value in values["test_set"].items() if name != "excluded"}
    facts = {**told, "seed": values["seed"]}
    lines = [f"`{method}` is given the {words}" for method, words in asked_lines(values).items()]
    lines += [f"{name.replace('_', ' ')}: {_text(str(value))}" for name, value in facts.items() if value is not None]
    for method, found in values["models"].items():
        lines += [
            f"{method}, {name.replace('_', ' ')}: `{value}`" for name, value in found.items() if isinstance(value, str)
        ]
    return _bullets(lines)


def _metric(metric: Metric) -> str:
    return f"{metric.part}: {metric.title}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join("| " + " | ".join(_text(cell) for cell in row) + " |" for row in [heads, rule, *rows])


def _text(words: str) -> str:
    """Words that stay in their cell and are no markup."""
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")
