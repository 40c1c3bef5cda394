"""Curves as inline SVG: scores over difficulty with intervals, and percentiles of scores.

Lines differ by colour and by dashes, so that they can also be distinguished on paper; colours come from the page's
style.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from evaluation.curves import CURVES, SPREADS
from evaluation.difficulty import DIFFICULTIES
from evaluation.metrics.catalogue import Metric, find_metric
from evaluation.page.figures import MINUS, counts
from evaluation.rivals import SIMPLE, best_rivals

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 6, 12, 40
INSET = 10
"""Room for what stands aside of the first and the last tick."""
MAX_LINES = 8
"""Number of colours in the page's style."""
NUM_TICKS = 5
APART = 2.5
"""Distance between the intervals of neighbouring lines, so that they do not hide each other."""


@dataclass(frozen=True)
class Point:
    """A mean, and its interval's ends; None where there are none."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chart:
    """One drawing with a line for each method.

    Attributes:
        title: what is drawn.
        svg: the drawing.
        methods: name -> number of its line's style.
        counts: of each group of images, from left to right; empty where there are no groups.
    """

    title: str
    svg: str
    methods: Mapping[str, int]
    counts: Sequence[str] = ()


def charts(values: Mapping[str, Any]) -> list[Chart]:
    """All curves of a report that have something to show: over difficulties first, then percentiles."""
    styles = {name: number for number, name in enumerate(_drawn(values["methods"]))}
    found = []
    for part, metric_name in CURVES:
        metric = find_metric(part, metric_name)
        for name, words in DIFFICULTIES.items():
            bins = values["curves"].get(name, [])
            lines = {method: _over_bins(bins, method, part, metric_name) for method in styles}
            chart = _chart(f"{_named(metric)}, over the {words}", words, metric, lines, styles)
            found.append(None if chart is None else replace(chart, counts=[counts(group) for group in bins]))
    spreads = values["spreads"]
    for part, metric_name in SPREADS:
        metric = find_metric(part, metric_name)
        lines = {method: _percentiles(spreads, method, part, metric_name) for method in styles}
        found.append(_chart(f"{_named(metric)}: percentiles", "% of images score this or less", metric, lines, styles))
    return [chart for chart in found if chart is not None]


def _drawn(methods: Mapping[str, Any]) -> list[str]:
    """The methods that get a line: the most informative ones first, so that few are left out."""
    names = [name for name in ("adapter", "base", *best_rivals(methods).values()) if name in methods]
    rest = [name for name in methods if name not in names]
    return [*names, *sorted(rest, key=lambda name: name in ("input", *SIMPLE["background"]))][:MAX_LINES]


def _named(metric: Metric) -> str:
    return f"{metric.part.capitalize()}, {metric.title}"


def _over_bins(bins: Sequence[Mapping[str, Any]], method: str, part: str, metric: str) -> list[Point]:
    cells = [(found["mean"], found["methods"][method][part][metric]) for found in bins]
    return [Point(x, cell["mean"], cell["low"], cell["high"]) for x, cell in cells if cell]


def _percentiles(spreads: Mapping[str, Any], method: str, part: str, metric: str) -> list[Point]:
    found = spreads["methods"][method][part][metric]
    return [Point(x, y) for x, y in zip(spreads["percent"], found, strict=True)] if found else []


def _chart(
    title: str, below: str, metric: Metric, lines: Mapping[str, Sequence[Point]], styles: Mapping[str, int]
) -> Chart | None:
    """None where no line has two points."""
    shown = {name: points for name, points in lines.items() if len(points) > 1}
    if not shown:
        return None
    points = [point for found in shown.values() for point in found]
    x_ticks = ticks(min(point.x for point in points), max(point.x for point in points))
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    y_ticks = ticks(min(ends), max(ends))
    axes = _Axes(x_ticks, y_ticks)
    middle = (len(shown) - 1) / 2
    drawn = "".join(
        axes.line(found, styles[name], name, APART * (place - middle))
        for place, (name, found) in enumerate(shown.items())
    )
    measure = f"{metric.title.partition(',')[0]}, {metric.unit}" if metric.unit else metric.title
    words = (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 6}" class="mid">{escape(below)}</text>'
        f'<text transform="translate(11 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)" class="mid">'
        f"{escape(measure)}</text>"
    )
    label = f"{title}; {', '.join(shown)}"
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{axes.grid()}{drawn}{words}</svg>'
    )
    return Chart(title, svg, {name: styles[name] for name in shown})


@dataclass(frozen=True)
class _Axes:
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]

    def x(self, value: float) -> float:
        return LEFT + INSET + _share(value, self.x_ticks) * (WIDTH - LEFT - RIGHT - 2 * INSET)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - _share(value, self.y_ticks) * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> str:
        across = "".join(
            f'<path class="grid" d="M{LEFT} {self.y(tick):.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 5}" y="{self.y(tick) + 3.5:.1f}" class="end">{_told(tick)}</text>'
            for tick in self.y_ticks
        )
        below = "".join(
            f'<text x="{self.x(tick):.1f}" y="{HEIGHT - BOTTOM + 14}" class="mid">{_told(tick)}</text>'
            for tick in self.x_ticks
        )
        return across + below

    def line(self, points: Sequence[Point], style: int, name: str, aside: float) -> str:
        if all(point.low is None for point in points):
            aside = 0.0
        path = "M" + "L".join(f"{self.x(point.x) + aside:.1f} {self.y(point.y):.1f}" for point in points)
        marks = ""
        for point in points:
            if point.low is not None and point.high is not None:
                x, y = f"{self.x(point.x) + aside:.1f}", f"{self.y(point.y):.1f}"
                marks += f'<path d="M{x} {self.y(point.low):.1f}V{self.y(point.high):.1f}"/>'
                marks += f'<circle cx="{x}" cy="{y}" r="2.6"/>'
        return f'<g class="s{style}"><title>{escape(name)}</title><path class="line" d="{path}"/>{marks}</g>'


def ticks(low: float, high: float, num: int = NUM_TICKS) -> list[float]:
    """About `num` round numbers that span a range: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    raw = (high - low) / (num - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def _share(value: float, over: Sequence[float]) -> float:
    return (value - over[0]) / (over[-1] - over[0])


def _told(tick: float) -> str:
    return f"{tick:g}".replace("-", MINUS)
