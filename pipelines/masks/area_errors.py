"""The mask errors that have an area rather than a reach: `(view, area_ratio, rng) -> mask`, of the view's shape.

More than the object: a loose `brush`, its `shadow`, its `neighbour`. Less of it: `half`, what a `click` gives. Each
aims at `area_ratio`, the area of the mask / the area where the object shows, and may miss it; one that cannot be made
here (no neighbour, no room, one colour) comes back as the mask itself or far off, and the caller draws again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Gray, Mask, Rgb
from pipelines.masks.errors import distance_to, shrunk, smooth_noise
from pipelines.scenes.parts import VISIBLE_ALPHA, SceneParts
from pipelines.scenes.shadow import CASTING

_SIDE_PX = 128
"""Everything but what has the picture's own outline is computed with the object's longer side at most this."""
_NEAR = 0.1
"""How far a neighbour may be, as a share of the object's longer side."""
_MAX_CANVAS_SHARE = 0.7
"""Largest share of the canvas that a brush paints: no one covers a whole picture to mark something in it."""
_CONTACT = 0.06
"""Gaps between an object and its shadow are closed up to twice this share of its longer side."""
_LEAK = 0.04
"""How far a click's region may run out of the object, as a share of its longer side."""


@dataclass(frozen=True)
class View:
    """A window on a scene around one of its layers, and what can be seen there; nothing is made before it is asked for.

    Attributes:
        mask: [h, w] where the layer shows.
        window: rows and columns of the canvas.
    """

    parts: SceneParts
    layer: int
    mask: Mask
    window: tuple[slice, slice]

    @property
    def rgb(self) -> Rgb:
        """[h, w, 3] of the composite."""
        return self.parts.composite[self.window]

    @property
    def others(self) -> list[Mask]:
        """[h, w] where each of the other layers shows."""
        return [self.parts.visible_mask(i)[self.window] for i in range(len(self.parts.layers)) if i != self.layer]

    @property
    def shadow(self) -> Gray | None:
        """[h, w] opacity of the shadow that the layer casts; None where it casts none."""
        if (shadow := self.parts.layers[self.layer].shadow) is None:
            return None
        opacity = np.zeros(self.parts.size, np.uint8)
        left, top, right, bottom = shadow.box
        opacity[top:bottom, left:right] = shadow.opacity
        return opacity[self.window]

    @property
    def stands(self) -> bool:
        """Whether the layer may throw a shadow on what is below it: not where it hangs, flies or swims."""
        support = self.parts.record["layers"][self.layer].get("support")
        return not support or support in CASTING

    @cached_property
    def side_px(self) -> int:
        """Longer side of the mask's box."""
        return max(cv2.boundingRect(self.mask.view(np.uint8))[2:])

    @cached_property
    def small(self) -> Mask:
        """The mask with its longer side at most `_SIDE_PX`; a thin one may vanish."""
        return shrunk(self.mask, self.side_px / _SIDE_PX)[0]

    @cached_property
    def small_lab(self) -> NDArray[np.float32]:
        """[h, w, 3] of the composite at the size of `small`, CIE L*a*b*, without fine texture."""
        rgb = cv2.resize(self.rgb, self.small.shape[::-1], interpolation=cv2.INTER_AREA)
        # OpenCV's 8-bit L*a*b* has L* times 2.55; from floats it takes twenty times as long.
        lab = cv2.cvtColor(cv2.blur(rgb, (3, 3)), cv2.COLOR_RGB2LAB)
        return np.asarray(lab * np.array([1 / 2.55, 1.0, 1.0]), np.float32)

    def enlarged(self, level: NDArray[np.float32]) -> Mask:
        """[h, w] where a level of the size of `small` is above 0 when it is brought to the view's size."""
        eight_bit = np.clip(64.0 * level + 128.0, 0.0, 255.0).astype(np.uint8)  # Resized five times as fast as floats.
        return cv2.resize(eight_bit, self.mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 128


def brush(view: View, area_ratio: float, rng: np.random.Generator) -> Mask:
    """A round brush of one size, led to and fro across the object and then to what it left out."""
    if not view.small.any():
        return view.mask
    path = _zigzag(view.small, rng)
    canvas = view.parts.size[0] * view.parts.size[1] / view.mask.size * path.size
    wanted = int(min(area_ratio * view.small.sum(), _MAX_CANVAS_SHARE * canvas, path.size)) - 1
    for _ in range(4):
        distance = distance_to(path)
        radius = np.partition(distance, wanted, axis=None)[wanted]
        missed = np.where(view.small, distance, -1.0)
        if missed.max() <= radius:
            break
        row, column = np.unravel_index(missed.argmax(), missed.shape)
        rows, columns = np.nonzero(path)
        nearest = np.hypot(rows - row, columns - column).argmin()
        cv2.line(path.view(np.uint8), (int(column), int(row)), (int(columns[nearest]), int(rows[nearest])), 1)
    return view.enlarged(radius + 0.5 - distance)


def _zigzag(mask: Mask, rng: np.random.Generator) -> Mask:
    """The middle of the brush on its way along the mask's main axis, from side to side where the mask is wide."""
    points = np.argwhere(mask)[:, ::-1].astype(np.float64)
    middle = points.mean(axis=0)
    x, y = (points - middle).T
    angle = 0.5 * np.arctan2(2 * (x * y).mean(), (x * x).mean() - (y * y).mean()) + rng.normal(0.0, 0.2)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    u, v = x * along[0] + y * along[1], x * across[0] + y * across[1]
    pitch = max(2.0, rng.uniform(0.3, 0.6) * 2.0 * v.std())
    inset, jitter = rng.uniform(0.1, 0.35), 0.1 * v.std()
    corners = []
    for k, start in enumerate(np.arange(u.min(), u.max() + 1e-9, pitch)):
        here = v[(u >= start) & (u <= start + pitch)]
        if len(here):
            low, high = here.min(), here.max()
            share = inset if k % 2 else 1.0 - inset
            place = np.array([start + pitch / 2, low + share * (high - low)]) + rng.normal(0.0, jitter, 2)
            corners.append(middle + place[0] * along + place[1] * across)
    path = np.zeros(mask.shape, np.uint8)
    cv2.polylines(path, [np.rint(corners).astype(np.int32)], False, 1)
    if not path.any():  # All of it fell beside the window.
        path[tuple(np.rint(middle[::-1]).astype(int))] = 1
    return path.view(np.bool_)


def shadow(view: View, area_ratio: float, rng: np.random.Generator) -> Mask:
    """The object and its shadow: the one that it casts in the scene, else a soft skewed copy of it on the ground.

    Soft means that the outline has no fine detail, and wobbles.
    """
    if (cast := view.shadow) is not None:
        cost = np.where(cast >= VISIBLE_ALPHA, -cast.astype(np.float32), np.inf)
        return _with_cheapest(view.mask, cost, area_ratio)
    if not view.stands:
        return view.mask
    small = view.small
    foot = int(np.flatnonzero(small.any(axis=1)).max(initial=0))
    angle = rng.uniform(0.15, 0.85) * np.pi * rng.choice([1.0, -1.0])  # To the viewer or away, never along the ground.
    edge = 0.45 + 0.15 * smooth_noise(small.shape, 16.0, rng)
    low, high = 0.0, 3.0
    for _ in range(7):
        length = (low + high) / 2
        fallen = _fallen(small, foot, length * np.cos(angle), 0.4 * length * np.sin(angle))
        both = (cv2.GaussianBlur(fallen, (0, 0), 2.0) > edge) | small
        low, high = (length, high) if both.sum() < area_ratio * small.sum() else (low, length)
    contact = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(_CONTACT * _SIDE_PX) + 1,) * 2)
    closed = cv2.morphologyEx(both.view(np.uint8), cv2.MORPH_CLOSE, contact)
    return view.mask | view.enlarged(cv2.blur(closed.astype(np.float32), (3, 3)) - 0.5)


def _fallen(mask: Mask, foot: int, right: float, down: float) -> NDArray[np.float32]:
    """A mask laid on the ground: what is a pixel above its foot comes `right` beside and `down` below the foot."""
    down = down if abs(down) > 0.02 else 0.02
    matrix = np.array([[1.0, -right, right * foot], [0.0, -down, foot * (1.0 + down)]])
    return np.asarray(cv2.warpAffine(mask.astype(np.float32), matrix, mask.shape[::-1]), np.float32)


def neighbour(view: View, area_ratio: float, rng: np.random.Generator) -> Mask:
    """The object and another layer that touches it or nearly so, of a larger one what lies nearest to the object."""
    away = distance_to(view.mask)
    near = [other for other in view.others if other.any() and away[other].min() <= max(2.0, _NEAR * view.side_px)]
    if not near:
        return view.mask
    return _with_cheapest(view.mask, np.where(near[rng.integers(len(near))], away, np.inf), area_ratio)


def _with_cheapest(mask: Mask, cost: NDArray[np.float32], area_ratio: float) -> Mask:
    """The mask and, until it has `area_ratio` times its area, the pixels outside it with the lowest finite cost."""
    cost = np.where(mask, np.inf, cost)
    wanted = int((area_ratio - 1.0) * mask.sum())
    if wanted < 1:
        return mask
    if np.isfinite(cost).sum() <= wanted:
        return mask | np.isfinite(cost)
    return mask | (cost < np.partition(cost, wanted, axis=None)[wanted])


def half(view: View, area_ratio: float, rng: np.random.Generator) -> Mask:
    """One of the two parts that colour and place divide the object into (2-means, each taken by a plane of both)."""
    rows, columns = np.nonzero(view.small)
    if len(rows) < 2:
        return view.mask
    inside = view.small_lab[rows, columns]
    spread = inside.std(axis=0).mean() + 1.0
    grid = np.moveaxis(np.indices(view.small.shape), 0, -1).astype(np.float32)
    place = rng.uniform(1.0, 6.0) / _SIDE_PX * grid  # Against colours whose spread is 1.
    features = np.concatenate([view.small_lab / spread, place], axis=-1)
    plane = _two_means(features[rows, columns], rng)
    level = cv2.blur(np.asarray((features * plane[:-1]).sum(axis=-1) + plane[-1], np.float32), (5, 5))
    parts = [_largest(view.small & (sign * level > 0.0)) for sign in (1.0, -1.0)]
    part = min(parts, key=lambda part: abs(part.sum() - area_ratio * view.small.sum()))
    # Beyond the object it goes on, so that the object's own outline is not lost where it is made larger.
    part |= cv2.dilate(part.view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_) & ~view.small
    return view.mask & view.enlarged(cv2.blur(part.astype(np.float32), (3, 3)) - 0.5)


def _two_means(features: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """[features + 1]: the plane between two clusters, as weights and offset; found on at most 1,000 of the rows."""
    some = features[:: max(1, len(features) // 1000)]
    first = some[rng.integers(len(some))]
    means = np.stack([first, some[np.square(some - first).sum(axis=1).argmax()]])
    for _ in range(8):
        normal = means[1] - means[0]
        side = (some * normal).sum(axis=1) > (normal * means.mean(axis=0)).sum()
        if side.all() or not side.any():
            break
        means = np.stack([some[~side].mean(axis=0), some[side].mean(axis=0)])
    normal = means[1] - means[0]
    return np.append(normal, -(normal * means.mean(axis=0)).sum())


def _largest(mask: Mask) -> Mask:
    """The largest connected part of a mask."""
    num, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if num > 2 else mask


def click(view: View, area_ratio: float, rng: np.random.Generator) -> Mask:
    """What hangs together with a point inside the object and has its colour, as a click's segmenter gives it."""
    depth = distance_to(~view.small)
    deep = np.argwhere(view.small & (depth >= 0.5 * depth.max()))
    if not len(deep):
        return view.mask
    row, column = deep[rng.integers(len(deep))]
    barrier = np.ones(np.add(view.small.shape, 2), np.uint8)
    barrier[1:-1, 1:-1] = distance_to(view.small) > _LEAK * max(cv2.boundingRect(view.small.view(np.uint8))[2:])
    low, high = 0.0, 150.0
    region = np.zeros(view.small.shape, np.bool_)
    for _ in range(8):
        tolerance = (low + high) / 2
        filled = barrier.copy()
        limits = (tolerance,) * 3
        flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
        cv2.floodFill(view.small_lab, filled, (int(column), int(row)), 0, limits, limits, flags)
        found = filled[1:-1, 1:-1] == 2
        if found.sum() <= area_ratio * view.small.sum():
            region, low = found, tolerance
        else:
            high = tolerance
    contours, _ = cv2.findContours(region.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    whole = cv2.drawContours(np.zeros(region.shape, np.float32), contours, -1, 1.0, cv2.FILLED)
    return view.enlarged(cv2.blur(whole, (3, 3)) - 0.5)


AreaError = Callable[[View, float, np.random.Generator], Mask]
"""(view, area_ratio, rng) -> mask of the view's shape; may be empty."""
AREA_ERRORS: dict[str, AreaError] = {error.__name__: error for error in (brush, shadow, neighbour, half, click)}
"""Each by its name, which is also its field in `MasksConfig`."""
MARGINS = {"brush": 1.0, "shadow": 1.0, "neighbour": 0.5, "half": 0.05, "click": 0.05}
"""How far each may go beyond the mask's box, as a share of its longer side."""
