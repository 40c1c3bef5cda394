"""`report.html` and `report.md`: what a page says in words and tables, and the figures of the page as text.

The words are in `page.html.jinja` and `report.md.jinja`, the looks in `page.css`, the sliders in `page.js`, all beside
this module. `report.html` opens from disk, with everything it shows inside it; without JavaScript it has no sliders,
and shows the same pictures side by side, as it does on paper. `report.md` is for repositories, issues and terminals.
"""

import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from evaluation.page.answer import QUESTION, answer, scales
from evaluation.page.cases import galleries
from evaluation.page.curves import charts
from evaluation.page.differences import (
    Difference,
    Headline,
    Values,
    control_rows,
    difference_rows,
    headline_differences,
)
from evaluation.page.figures import COUNTS, counts, figure, head, span
from evaluation.page.tables import (
    asked_lines,
    part_tables,
    steps_note,
    stratum_tables,
    summary_table,
)
from evaluation.page.templates import Filters, render
from evaluation.statistics import MIN_CLUSTERS, Interval

MAX_FAILURES = 20
"""Failures of a method that are named; `report.json` has all of them."""


def render_page(values: Values, gallery: Mapping[str, Any]) -> str:
    """The content of `report.html`.

    Args:
        values: content of `report.json`.
        gallery: content of `gallery.json`.
    """
    folder = files("evaluation.page")
    return _render(
        "page.html.jinja",
        values,
        style=folder.joinpath("page.css").read_text("utf-8"),
        script=folder.joinpath("page.js").read_text("utf-8"),
        tiles=headline_differences(values),
        charts=charts(values),
        galleries=galleries(gallery),
        grid=gallery.get("answer"),
        ranked_by=gallery["ranked_by"],
        bar=bar,
    )


def render_markdown(values: Values) -> str:
    """The content of `report.md`.

    Args:
        values: content of `report.json`.
    """
    text = _render("report.md.jinja", values, summary_lines=summary_lines(values))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def summary_lines(values: Values) -> str:
    """The answer, and a line for each main comparison: who is better, by how much; empty where none was measured."""
    found = answer(values)
    lines = [f"- {_verdict(pair)}" for pair in headline_differences(values)]
    return "\n".join([*([f"**{QUESTION}** {found.sentence}", ""] if found else []), *lines])


def _verdict(found: Headline) -> str:
    main, (between, after) = found.main, found.words
    figures = "; ".join(f"{other.metric.title} {_gain(other)}" for other in found.differences)
    counted = Interval.from_dict(main.cell).counted
    return f"**`{main.first}` {between} `{main.second}`{after}**: {main.metric.part}: {figures}; {counted}"


def _gain(found: Difference) -> str:
    unit = f" {found.metric.unit}" if found.metric.unit else ""
    return f"{figure(found.cell['mean'], found.metric, True)}{unit} ({span(found.cell, found.metric, True)})"


def _render(template: str, values: Values, **others: Any) -> str:
    filters: Filters = {
        "figure": figure,
        "span": span,
        "head": head,
        "counts": counts,
        "inline": _inline,
        "code": _code,
    }
    return render(
        "evaluation.page",
        template,
        filters,
        report=values,
        question=QUESTION,
        answer=answer(values),
        scales=scales(values),
        summary=summary_table(values),
        asked=asked_lines(values),
        steps_note=steps_note(values),
        tables=part_tables(values),
        notes=list(dict.fromkeys(values["notes"].values())),
        differences={name: difference_rows(values, name) for name in values["differences"]},
        controls=control_rows(values),
        strata={name: stratum_tables(values, name) for name in values["strata"]},
        counted=COUNTS,
        min_clusters=MIN_CLUSTERS,
        max_failures=MAX_FAILURES,
        **others,
    )


def _inline(words: str) -> str:
    """Text escaped so that it stays in its cell of a Markdown table and is not read as markup."""
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


def _code(words: str) -> str:
    """Words as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(words))


def bar(cell: Mapping[str, Any]) -> dict[str, float]:
    """Where an interval lies on a bar with 0 in its middle, in percent of the bar's width."""
    reach = 1.1 * max(abs(cell["low"]), abs(cell["high"]), 1e-12)
    left, right, middle = (50 + 50 * cell[end] / reach for end in ("low", "high", "mean"))
    return {"left": left, "width": max(right - left, 0.8), "middle": middle}
