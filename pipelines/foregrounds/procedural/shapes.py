"""Shapes as signed distance fields: distance to the outline, negative inside. No colour, no pixels.

Coordinates: x to the right, y down, the picture about [-1, 1] in both. The formulas are the usual ones
(https://iquilezles.org/articles/distfunctions2d); distances are exact, or nearly so near the outline.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
Field = Callable[[Values, Values], Values]
Point = tuple[float, float]


def ellipse(cx: float, cy: float, rx: float, ry: float, angle_deg: float = 0.0) -> Field:
    """An ellipse with half axes `rx`, `ry`, rotated clockwise."""

    def field(x: Values, y: Values) -> Values:
        # The quotient is undefined at the exact centre, so the centre is shifted slightly.
        u, v = _turned(x - cx + 1e-5, y - cy, angle_deg)
        scaled = np.hypot(u / rx, v / ry)
        return scaled * (scaled - 1.0) / np.maximum(np.hypot(u / rx**2, v / ry**2), 1e-6)

    return field


def box(cx: float, cy: float, half_width: float, half_height: float, radius: float, angle_deg: float = 0.0) -> Field:
    """A box with rounded corners, rotated clockwise."""

    def field(x: Values, y: Values) -> Values:
        u, v = _turned(x - cx, y - cy, angle_deg)
        u, v = np.abs(u) - (half_width - radius), np.abs(v) - (half_height - radius)
        return np.hypot(np.maximum(u, 0), np.maximum(v, 0)) + np.minimum(np.maximum(u, v), 0) - radius

    return field


def limb(start: Point, end: Point, start_radius: float, end_radius: float | None = None) -> Field:
    """A line with round ends whose thickness may change along the way."""
    (x0, y0), (x1, y1) = start, end
    slope = (start_radius if end_radius is None else end_radius) - start_radius
    length2 = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)

    def field(x: Values, y: Values) -> Values:
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length2, 0.0, 1.0)
        away = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
        return away - start_radius - slope * along

    return field


def path(points: Sequence[Point], start_radius: float, end_radius: float | None = None) -> Field:
    """A line through points, with round joints; its thickness may change from start to end."""
    end = start_radius if end_radius is None else end_radius
    radii = np.linspace(start_radius, end, len(points)).tolist()
    return join(*(limb(points[i], points[i + 1], radii[i], radii[i + 1]) for i in range(len(points) - 1)))


def polygon(points: Sequence[Point], radius: float = 0.0) -> Field:
    """A polygon, grown by `radius` so that its corners are round."""

    def field(x: Values, y: Values) -> Values:
        nearest, inside = np.full(x.shape, np.inf, np.float32), np.zeros(x.shape, np.bool_)
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            nearest = np.minimum(nearest, limb((x0, y0), (x1, y1), 0.0)(x, y))
            crosses = ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0 if y1 != y0 else 1.0) + x0)
            inside ^= crosses
        return np.where(inside, -nearest, nearest) - radius

    return field


def symmetric(half: Sequence[Point]) -> list[Point]:
    """A closed outline from its right half, which goes from top to bottom."""
    return [*half, *((-x, y) for x, y in reversed(half))]


def lathe(profile: Sequence[Point]) -> Field:
    """A solid of revolution seen from the side: half widths by height, `(y, half_width)` from top to bottom."""
    from scipy.interpolate import PchipInterpolator

    heights, widths = np.array(profile, np.float64).T
    fine = np.linspace(heights[0], heights[-1], 256)
    outline = PchipInterpolator(heights, widths)(fine)
    slope = np.gradient(outline, fine)

    def field(x: Values, y: Values) -> Values:
        side = (np.abs(x) - np.interp(y, fine, outline)) / np.sqrt(1.0 + np.interp(y, fine, slope) ** 2)
        # Rounded where the side meets top and bottom.
        u, v = side + 0.02, np.abs(y - (fine[0] + fine[-1]) / 2) - (fine[-1] - fine[0]) / 2 + 0.02
        return (np.hypot(np.maximum(u, 0), np.maximum(v, 0)) + np.minimum(np.maximum(u, v), 0) - 0.02).astype(
            np.float32
        )

    return field


def join(*fields: Field, smooth: float = 0.0) -> Field:
    """The union of shapes; `smooth` is the width over which they blend into each other."""

    def pair(a: Values, b: Values) -> Values:
        if smooth == 0.0:
            return np.minimum(a, b)
        share = np.clip(0.5 + 0.5 * (b - a) / smooth, 0.0, 1.0)
        return b + (a - b) * share - smooth * share * (1.0 - share)

    return lambda x, y: reduce(pair, (field(x, y) for field in fields))


def minus(field: Field, hole: Field) -> Field:
    """The first shape without the second."""
    return lambda x, y: np.maximum(field(x, y), -hole(x, y))


def both(field: Field, other: Field) -> Field:
    """The intersection of two shapes."""
    return lambda x, y: np.maximum(field(x, y), other(x, y))


def ring(cx: float, cy: float, radius: float, thickness: float) -> Field:
    """A circle drawn with a line."""
    return lambda x, y: np.abs(np.hypot(x - cx, y - cy) - radius) - thickness / 2


def _turned(x: Values, y: Values, angle_deg: float) -> tuple[Values, Values]:
    cos, sin = float(np.cos(np.deg2rad(angle_deg))), float(np.sin(np.deg2rad(angle_deg)))
    return cos * x + sin * y, cos * y - sin * x
