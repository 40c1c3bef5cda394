"""`report.html`: one page that opens from disk, with everything it shows inside it.

The words are in `page.html.jinja`, the looks in `page.css`, the sliders in `page.js`, all beside this module. Without
JavaScript the page has no sliders, and shows the same pictures side by side, as it does on paper.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from evaluation.page.cases import galleries
from evaluation.page.curves import charts
from evaluation.page.figures import COUNTS, counts, figure, head, span
from evaluation.page.tables import (
    Values,
    asked_lines,
    difference_rows,
    headline_differences,
    part_tables,
    steps_note,
    stratum_tables,
    summary_table,
)
from evaluation.statistics import MIN_CLUSTERS

MAX_FAILURES = 20
"""Failures of a method that are named on the page; `report.json` has all of them."""


def render_page(values: Values, gallery: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        values: content of `report.json`.
        gallery: content of `gallery.json`.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation", "page"),
        undefined=jinja2.StrictUndefined,  # A misspelt name is an error, not a gap in the page.
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=figure, span=span, head=head, counts=counts)
    folder = files("evaluation.page")
    return environment.get_template("page.html.jinja").render(
        report=values,
        style=folder.joinpath("page.css").read_text("utf-8"),
        script=folder.joinpath("page.js").read_text("utf-8"),
        tiles=headline_differences(values),
        summary=summary_table(values),
        asked=asked_lines(values),
        steps_note=steps_note(values),
        tables=part_tables(values),
        notes=list(dict.fromkeys(values["notes"].values())),
        differences={name: difference_rows(values, name) for name in values["differences"]},
        strata={name: stratum_tables(values, name) for name in values["strata"]},
        charts=charts(values),
        galleries=galleries(gallery),
        ranked_by=gallery["ranked_by"],
        bar=bar,
        counted=COUNTS,
        min_clusters=MIN_CLUSTERS,
        max_failures=MAX_FAILURES,
    )


def bar(cell: Mapping[str, Any]) -> dict[str, float]:
    """Where an interval lies on a bar with 0 in its middle, in percent of the bar's width."""
    reach = 1.1 * max(abs(cell["low"]), abs(cell["high"]), 1e-12)
    left, right, middle = (50 + 50 * cell[end] / reach for end in ("low", "high", "mean"))
    return {"left": left, "width": max(right - left, 0.8), "middle": middle}
