"""Numbers as people read them, and what an interval says."""

import math
from collections.abc import Mapping
from typing import Any

from evaluation.metrics.catalogue import Metric

Cell = dict[str, Any] | None
"""An interval as `report.json` holds it; None = not measured."""
COUNTS = "images / photographs / origins"
"""What `counts` counts."""
MAX_DIGITS = 9
MINUS, DASH, ELLIPSIS, UP, DOWN = "\u2212", "\u2013", "\u2026", "\u2191", "\u2193"


def figure(value: float | None, metric: Metric, signed: bool = False) -> str:
    """A number with the decimals that the metric is worth, and a real minus sign; a signed one never as bare 0."""
    if value is None:
        return DASH
    sign = "+" if signed and value else ""
    digits = metric.digits
    if signed and value and not round(value, digits):
        digits = min(MAX_DIGITS, -math.floor(math.log10(abs(value))))  # Only its sign matters.
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}".replace("-", MINUS)  # + 0.0 turns -0.0 into 0.0.


def span(cell: Cell, metric: Metric, signed: bool = False) -> str:
    """An interval's ends."""
    if cell is None:
        return DASH
    if cell["low"] is None:
        return "no interval"
    return f"{figure(cell['low'], metric, signed)} {ELLIPSIS} {figure(cell['high'], metric, signed)}"


def counts(found: Mapping[str, Any]) -> str:
    """N of an interval, or of a part of the list: its images, photographs and origins, as `187 / 3 / 18`."""
    return f"{found['num_images']} / {found['num_photographs']} / {found['num_origins']}"


def head(metric: Metric) -> str:
    """A column's head: title, unit, and which way is better."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.title}{unit} {UP if metric.higher_is_better else DOWN}"
