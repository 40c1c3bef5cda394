"""Complex objects of nature, drawn part by part with repeated rules."""

from dataclasses import replace

import numpy as np

from pipelines.foregrounds.procedural.picture import Material, Parts, dimmed
from pipelines.foregrounds.procedural.shapes import Field, both, box, ellipse, join, limb, path, polygon

LEAF = Material((0.25, 0.48, 0.18), 0.06, 0.2, 0.3)


def branches(rng: np.random.Generator, text: str) -> Parts:
    """Coral or a bonsai tree: branches that fork."""
    tree = "tree" in text or "bonsai" in text
    colour = (0.36, 0.25, 0.16) if tree else ((0.92, 0.4, 0.35), (0.95, 0.62, 0.3), (0.8, 0.35, 0.6))[rng.integers(3)]
    bark = Material(colour, 0.08, 0.15, 0.35, pattern="spots", second=dimmed(colour, 1.2), shadow=0.25)
    limbs: list[Field] = []
    tips: list[tuple[float, float]] = []

    def grow(x: float, y: float, angle: float, length: float, radius: float, depth: int) -> None:
        end = (x + length * np.sin(angle), y - length * np.cos(angle))
        limbs.append(limb((x, y), end, radius, radius * 0.78))
        if depth == 0:
            tips.append(end)
            return
        for turn in (-0.5, 0.45) if depth % 2 else (-0.62, 0.02, 0.6):
            bent, shorter = 0.85 * angle + turn + rng.normal(0.0, 0.12), length * rng.uniform(0.68, 0.82)
            grow(*end, bent, shorter, radius * 0.75, depth - 1)

    grow(0.0, 0.72, rng.normal(0.0, 0.1), 0.36, 0.1, 3 if tree else 4)
    for start in range(0, len(limbs), 12):
        yield join(*limbs[start : start + 12], smooth=0.03), bark
    for x, y in tips if tree else ():
        yield ellipse(x, y, rng.uniform(0.12, 0.2), rng.uniform(0.08, 0.13)), replace(LEAF, fur=0.04, bulge=0.1)
    if tree:
        yield polygon([(-0.42, 0.7), (0.42, 0.7), (0.34, 0.88), (-0.34, 0.88)], 0.02), Material((0.5, 0.24, 0.16), 0.1)
    else:
        yield ellipse(0, 0.78, 0.34, 0.12), bark.darker(0.8)


def brain(rng: np.random.Generator, text: str) -> Parts:
    """A brain: two lobes covered with winding folds."""
    pink = Material((0.88, 0.62, 0.6), 0.05, 0.4, 0.15, shadow=0.45)
    yield limb((0.2, 0.3), (0.3, 0.72), 0.14, 0.08), pink.darker(0.85)
    yield ellipse(0.45, 0.38, 0.28, 0.2), replace(pink.darker(0.85), pattern="stripes", second=(0.6, 0.38, 0.38))
    mass = join(ellipse(-0.12, -0.08, 0.64, 0.5), ellipse(0.3, -0.05, 0.46, 0.44), smooth=0.1)
    yield mass, replace(pink.darker(0.7), bulge=0.4)
    for row, y in enumerate(np.linspace(-0.5, 0.34, 7)):
        half = 0.72 * np.sqrt(max(0.05, 1.0 - ((y + 0.08) / 0.5) ** 2))
        steps = np.arange(-half - 0.05, half + 0.12, 0.085) + 0.06
        wave = 0.055 * np.sin(np.arange(len(steps)) * 2.1 + row) + rng.normal(0.0, 0.012, len(steps))
        worm = path([(float(x), float(y + w)) for x, w in zip(steps, wave, strict=True)], 0.055)
        yield both(worm, mass), replace(pink, bulge=0.055)


def scaled(rng: np.random.Generator, text: str) -> Parts:
    """A pinecone, or a bunch of grapes: rows of overlapping parts."""
    grapes = "grape" in text
    colour = ((0.36, 0.16, 0.42), (0.55, 0.68, 0.28))[rng.integers(2)] if grapes else (0.47, 0.3, 0.17)
    part = Material(
        colour, 0.1, 0.6 if grapes else 0.15, 0.25, pattern="" if grapes else "folds", second=(0.62, 0.42, 0.25)
    )
    if grapes:
        yield path([(0, -0.5), (0.03, -0.7), (0.1, -0.84)], 0.035), Material((0.42, 0.34, 0.16), 0.04)
        yield polygon([(0, -0.6), (-0.3, -0.82), (-0.5, -0.62), (-0.42, -0.45), (-0.15, -0.48)], 0.03), LEAF
    wide = 0.56 if grapes else 0.46
    yield ellipse(0, 0.0, 0.8 * wide, 0.56), part.darker(0.5)  # no light between the parts
    for i, y in enumerate(np.linspace(0.72, -0.46, 9)):  # from the tip up: each row lies over the one below
        width = wide * np.sin(np.pi * (0.04 + 0.7 * i / 8)) ** 0.9
        for x in np.linspace(-width, width, max(1, 1 + round(width * (8 if grapes else 9)))) + (i % 2) * 0.03:
            if grapes:
                size = 0.125 * rng.uniform(0.9, 1.1)
                yield ellipse(float(x), float(y), size, size), part
            else:
                tip = (float(1.25 * x), float(y + 0.1 * rng.uniform(0.8, 1.2)))
                yield limb((float(x), float(y) - 0.06), tip, 0.1, 0.045), replace(part, bulge=0.07)
    if not grapes:
        yield limb((0, -0.55), (0.03, -0.74), 0.05), LEAF.darker(0.6)


def jellyfish(rng: np.random.Generator, text: str) -> Parts:
    """A jellyfish: a bell and its tentacles."""
    colour = ((0.75, 0.6, 0.95), (0.55, 0.8, 0.95), (0.97, 0.65, 0.75))[rng.integers(3)]
    gel = Material(colour, 0.1, 0.5, 0.15, shadow=0.0, glow=0.3)
    for x in np.linspace(-0.38, 0.38, 8):
        steps = np.linspace(0.0, 1.0, 8)
        sway = 0.06 * np.sin(steps * 7.0 + rng.uniform(0.0, 6.0)) + x * (1.0 + 0.3 * steps)
        points = [(float(a), float(-0.1 + b * rng.uniform(0.88, 0.96))) for a, b in zip(sway, steps, strict=True)]
        yield path(points, 0.04, 0.012), gel
    bell = both(ellipse(0, -0.15, 0.6, 0.66), box(0, -0.5, 0.8, 0.52, 0.06))
    yield bell, replace(gel, bulge=0.5, pattern="folds", second=(0.95, 0.9, 0.98))


def flower(rng: np.random.Generator, text: str) -> Parts:
    """A sunflower or a rose on its stem."""
    rose = "rose" in text
    yield path([(0, -0.2), (0.03, 0.3), (-0.02, 0.85)], 0.035), replace(LEAF, bulge=0.04)
    for side, y in ((-1, 0.4), (1, 0.55)):
        yield ellipse(side * 0.22, y, 0.22, 0.08, -side * 25), LEAF
    colour = ((0.8, 0.1, 0.18), (0.95, 0.6, 0.7), (0.95, 0.85, 0.5))[rng.integers(3)] if rose else (0.97, 0.76, 0.1)
    petal = Material(colour, 0.1, 0.15, 0.2, shadow=0.45)
    rings: tuple[tuple[float, float, int], ...] = ((0.38, 0.16, 17), (0.34, 0.14, 14))
    if rose:
        rings = ((0.3, 0.2, 7), (0.2, 0.17, 6), (0.1, 0.13, 5), (0.02, 0.09, 2))
    for radius, size, num in rings:
        for a in np.arange(num) * 2 * np.pi / num + rng.uniform(0.0, 1.0):
            at = (float(radius * np.cos(a)), float(-0.35 + radius * np.sin(a)))
            yield ellipse(*at, size, size * (0.85 if rose else 0.42), float(np.rad2deg(a))), petal
    if not rose:
        seeds = Material((0.34, 0.2, 0.09), 0.2, 0.1, 0.4, pattern="spots", second=(0.2, 0.11, 0.05))
        yield ellipse(0, -0.35, 0.25, 0.25), seeds


def frond(rng: np.random.Generator, text: str) -> Parts:
    """A fern or a feather: a bent stem with leaflets to both sides."""
    feather = "feather" in text
    bend = rng.uniform(-0.25, 0.25)
    blade = LEAF
    if feather:
        blade = replace(LEAF, colour=((0.5, 0.5, 0.55), (0.85, 0.3, 0.25), (0.25, 0.45, 0.65))[rng.integers(3)])
    for t in np.linspace(0.06, 0.98, 42 if feather else 24):
        x, y = bend * (1 - t) ** 2, -0.82 + 1.5 * t
        length = 0.3 * np.sin(np.pi * min(1.0, 0.15 + 0.85 * t)) ** 0.6 if feather else 0.56 * np.sin(0.25 + 2.4 * t)
        for side in (-1, 1):
            end = (float(x + side * length), float(y - length * (0.75 if feather else 0.4)))
            yield limb((float(x), float(y)), end, 0.035, 0.016 if feather else 0.02), blade
    stem = [(float(bend * (1 - t) ** 2), float(-0.84 + 1.7 * t)) for t in np.linspace(0.0, 1.0, 7)]
    yield path(stem, 0.012, 0.026), Material((0.9, 0.86, 0.75), 0.02) if feather else LEAF.darker(0.7)
