"""Jinja templates filled in: pages that are escaped as HTML, and Markdown that is not."""

from collections.abc import Callable, Mapping
from typing import Any

Filters = Mapping[str, Callable[..., str]]
"""Functions that a template applies to its values, by name."""


def render(package: str, template: str, filters: Filters, **values: Any) -> str:
    """The text of a template beside a package's modules; one whose name ends in `.html.jinja` is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        undefined=jinja2.StrictUndefined,  # A misspelt name is an error, not a gap in the page.
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)
