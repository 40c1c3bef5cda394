"""Renders shapes with shading, texture and soft edges, one over the other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from decoupage.images.types import Rgba
from pipelines.foregrounds.procedural.shapes import Field, Values

Colour = tuple[float, float, float]
"""sRGB, 0..1."""


@dataclass(frozen=True)
class Material:
    """The appearance of a part.

    Attributes:
        colour: colour in full light.
        bulge: depth to which the edge is rounded; more than half the part's width makes it fully round.
        gloss: strength of the highlight, 0..1.
        grain: contrast of the texture, 0..1.
        fur: distance that hairs stick out of the edge.
        alpha: alpha of a flat piece; edges of see-through parts are denser, as glass is.
        pattern: `stripes`, `spots`, `folds`, or empty.
        second: the pattern's other colour.
        shadow: strength of the soft shadow on the parts behind.
        glow: emitted light, 0..1.
    """

    colour: Colour
    bulge: float = 0.15
    gloss: float = 0.15
    grain: float = 0.12
    fur: float = 0.0
    alpha: float = 1.0
    pattern: str = ""
    second: Colour = (0.1, 0.1, 0.1)
    shadow: float = 0.4
    glow: float = 0.0

    def darker(self, factor: float = 0.7) -> "Material":
        """The same material in less light, for parts on the far side."""
        return replace(self, colour=dimmed(self.colour, factor), second=dimmed(self.second, factor))


Parts = Iterator[tuple[Field, Material]]
"""The parts of an object from back to front: each a shape, and what it is made of."""


def dimmed(colour: Colour, factor: float) -> Colour:
    """A colour in less light."""
    return factor * colour[0], factor * colour[1], factor * colour[2]


class Picture:
    """A canvas that parts are painted on, from back to front.

    Args:
        size_px: side in pixels.
        rng: decides light, rotation, size, side and texture of the whole picture.
        alpha: factor on every part's alpha; below 1 the whole object is see-through.
        turn_deg: largest rotation to either side.
    """

    def __init__(self, size_px: int, rng: np.random.Generator, alpha: float = 1.0, turn_deg: float = 5.0) -> None:
        self.alpha = alpha
        zoom, angle = rng.uniform(1.08, 1.22), np.deg2rad(rng.uniform(-turn_deg, turn_deg))
        side = rng.choice([-1.0, 1.0])
        steps = (np.arange(size_px, dtype=np.float32) + 0.5) * (2.0 / size_px) - 1.0
        across, down = np.meshgrid(steps * zoom * side, steps * zoom)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        self.x, self.y = cos * across + sin * down, cos * down - sin * across
        self._pixel = 2.0 * zoom / size_px
        azimuth = rng.uniform(-2.6, -0.5)  # from above, left or right
        light = np.array([0.75 * np.cos(azimuth), 0.75 * np.sin(azimuth), 0.8])
        self._light = light / np.linalg.norm(light)
        self._fine, self._streaks, self._wide = (
            _noise(size_px, cells, rng)
            for cells in ((size_px // 2, size_px // 2), (size_px // 3, size_px // 12), (14, 14))
        )
        self._premultiplied = np.zeros((size_px, size_px, 4), np.float32)

    def paint(self, shape: Field, material: Material) -> None:
        """Paint one part over the picture so far."""
        window = self._window(shape, 0.12 + material.fur)
        if window is None:
            return
        distance = np.asarray(shape(self.x[window], self.y[window]), np.float32)
        if material.fur:
            distance = distance - material.fur * (0.5 + self._streaks[window])
        normal = self._normal(distance, material.bulge)
        colour = self._lit(self._textured(material, window), normal, material)
        cover = np.clip(0.5 - distance / (1.5 * self._pixel), 0.0, 1.0)
        see_through = material.alpha * self.alpha
        # Glass is denser where its surface is seen at a flat angle.
        opacity = see_through + (1.0 - see_through) * 0.75 * (1.0 - normal[2]) ** 1.5 if see_through < 1.0 else 1.0
        alpha = (cover * opacity)[..., None]
        below = self._premultiplied[window]
        if material.shadow:
            below[..., :3] *= (1.0 - material.shadow * np.exp(-np.maximum(distance, 0.0) / 0.035))[..., None]
        below *= 1.0 - alpha
        below[..., :3] += colour * alpha
        below[..., 3:] += alpha

    def rgba(self) -> Rgba:
        """The picture, [size, size, 4], straight alpha."""
        alpha = self._premultiplied[..., 3:]
        straight = np.clip(self._premultiplied[..., :3] / np.maximum(alpha, 1e-4), 0.0, 1.0)
        return (np.concatenate([straight, alpha], axis=-1) * 255.0 + 0.5).astype(np.uint8)

    def _window(self, shape: Field, margin: float) -> tuple[slice, slice] | None:
        """Rows and columns that the part can touch, found on a coarse grid; None when it touches none."""
        near = shape(self.x[4::8, 4::8], self.y[4::8, 4::8]) < margin + 8 * self._pixel
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not len(rows):
            return None
        return slice(8 * rows[0], 8 * rows[-1] + 8), slice(8 * columns[0], 8 * columns[-1] + 8)

    def _normal(self, distance: Values, bulge: float) -> tuple[Values, Values, Values]:
        """Surface normals, as if the outline were inflated like a cushion."""
        depth = np.clip(-distance, 0.0, bulge)
        # Rounding can leave a small negative number, which has no root.
        height = np.sqrt(np.clip(bulge**2 - (bulge - depth) ** 2, 0.0, None))
        # Distances have ridges along the middle; an inflated shape has none.
        height = cv2.GaussianBlur(height, (0, 0), max(0.8, 0.22 * bulge / self._pixel))
        dy, dx = np.gradient(height, self._pixel)
        z = 1.0 / np.sqrt(dx**2 + dy**2 + 1.0)
        return -dx * z, -dy * z, z

    def _lit(self, colour: Values, normal: tuple[Values, Values, Values], material: Material) -> Values:
        x, y, z = (float(c) for c in self._light)
        facing = normal[0] * x + normal[1] * y + normal[2] * z
        half = np.array([x, y, z + 1.0]) / np.linalg.norm([x, y, z + 1.0])
        shine = np.clip(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 0.0, 1.0) ** 40
        diffuse = 0.38 + 0.78 * np.clip(facing, 0.0, 1.0)
        diffuse = diffuse + material.glow * (1.15 - diffuse)
        return np.clip(colour * diffuse[..., None] + material.gloss * shine[..., None], 0.0, 1.0).astype(np.float32)

    def _textured(self, material: Material, window: tuple[slice, slice]) -> Values:
        texture = 0.6 * (self._streaks if material.fur else self._fine)[window] + 0.5 * self._wide[window]
        colour = np.array(material.colour, np.float32) * (1.0 + material.grain * texture)[..., None]
        if not material.pattern:
            return colour
        second = np.array(material.second, np.float32) * (1.0 + material.grain * texture)[..., None]
        share = _PATTERNS[material.pattern](self.x[window], self.y[window], self._wide[window], self._streaks[window])
        return colour + (second - colour) * share[..., None]


def _stripes(x: Values, y: Values, wide: Values, streaks: Values) -> Values:
    return _step(np.sin(36.0 * x + 5.0 * y + 2.5 * wide) + 0.3 * streaks)


def _spots(x: Values, y: Values, wide: Values, streaks: Values) -> Values:
    return _step(1.5 * np.sin(30.0 * x + 4.0 * wide) * np.sin(32.0 * y + 9.0 * x + 4.0 * wide) - 0.45)


def _folds(x: Values, y: Values, wide: Values, streaks: Values) -> Values:
    return 0.5 + 0.5 * np.sin(15.0 * x + 2.0 * y + 3.0 * wide)


_PATTERNS = {"stripes": _stripes, "spots": _spots, "folds": _folds}


def _step(values: Values) -> Values:
    return np.clip(0.5 + 2.5 * values, 0.0, 1.0)


def _noise(size_px: int, cells: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise, [size, size], mostly in [-1, 1]; `cells` = number of bumps (across, down)."""
    coarse = rng.uniform(-1.0, 1.0, (max(4, cells[1]), max(4, cells[0]))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC), np.float32)
