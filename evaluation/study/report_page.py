"""The study's report for people, as one page that opens from disk and as Markdown. Only how figures are shown."""

from collections.abc import Mapping
from typing import Any

from evaluation.page.templates import Filters, render

Values = Mapping[str, Any]
_MINUS = "\u2212"
_NONE = "\u2013"


def render_page(values: Values) -> str:
    """The content of `report.html`."""
    return render("evaluation.study", "report.html.jinja", _FILTERS, report=values)


def render_markdown(values: Values) -> str:
    """The content of `report.md`."""
    return render("evaluation.study", "report.md.jinja", _FILTERS, report=values)


def percent(interval: Values | None) -> str:
    """A share with its interval, as `62 % [51, 73]`."""
    if interval is None:
        return _NONE
    mean = f"{100 * interval['mean']:.0f} %"
    return mean if interval["low"] is None else f"{mean} [{100 * interval['low']:.0f}, {100 * interval['high']:.0f}]"


def signed(interval: Values | None) -> str:
    """A difference with its interval, as `+0.42 [+0.10, +0.71]`."""
    if interval is None:
        return _NONE
    ends = [interval["mean"]] if interval["low"] is None else [interval[name] for name in ("mean", "low", "high")]
    mean, *rest = (f"{value + 0.0:+.2f}".replace("-", _MINUS) for value in ends)
    return f"{mean} [{', '.join(rest)}]" if rest else mean


def number(value: float | None, digits: int = 2) -> str:
    """A number as text, or a dash where there is none."""
    return _NONE if value is None else f"{value:.{digits}f}".replace("-", _MINUS)


def verdict(interval: Values | None) -> str:
    """The verdict on a win rate: `better` or `worse` where the whole interval is on one side of a half, else `even`."""
    if interval is None or interval["low"] is None:
        return "even"
    return "better" if interval["low"] > 0.5 else "worse" if interval["high"] < 0.5 else "even"


_FILTERS: Filters = {"percent": percent, "signed": signed, "number": number, "verdict": verdict}
