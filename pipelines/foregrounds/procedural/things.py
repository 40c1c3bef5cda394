"""Everyday objects: fruit, balls, bubbles, vessels, furniture, lamps."""

from dataclasses import replace

import numpy as np

from pipelines.foregrounds.procedural.people import CLOTHS
from pipelines.foregrounds.procedural.picture import Colour, Material, Parts
from pipelines.foregrounds.procedural.shapes import both, box, ellipse, join, lathe, limb, path, polygon, ring

WOOD = Material((0.52, 0.34, 0.2), 0.05, 0.2, 0.35, pattern="folds", second=(0.42, 0.26, 0.14))
STEEL = Material((0.7, 0.72, 0.75), 0.05, 0.7, 0.08)
FRUIT: dict[str, Colour] = {
    "apple": (0.78, 0.12, 0.1), "orange": (0.95, 0.53, 0.08), "lemon": (0.95, 0.85, 0.2), "pear": (0.7, 0.76, 0.25),
}  # fmt: skip


def _any_colour(rng: np.random.Generator) -> Colour:
    return CLOTHS[rng.integers(len(CLOTHS))]


def fruit(rng: np.random.Generator, text: str) -> Parts:
    """Round fruit with a stem; apples dip at the top, pears and lemons are longer."""
    name = next((name for name in FRUIT if name in text), "apple")
    skin = Material(FRUIT[name], 0.5, 0.5, 0.16, shadow=0.2)
    body = ellipse(0, 0.08, 0.62, 0.6)
    if name == "apple":
        other = (0.82, 0.72, 0.2) if rng.uniform() < 0.6 else (0.5, 0.65, 0.15)
        skin = replace(skin, pattern="folds", second=other if rng.uniform() < 0.4 else (0.65, 0.08, 0.08))
        body = join(*(ellipse(dx, 0.05, 0.44, 0.56, angle) for dx, angle in ((-0.22, -8), (0.22, 8))), smooth=0.12)
    elif name == "pear":
        body = join(ellipse(0, 0.28, 0.5, 0.46), ellipse(0, -0.3, 0.26, 0.3), smooth=0.35)
    elif name == "lemon":
        body = join(ellipse(0, 0.05, 0.62, 0.45), ellipse(0.6, 0.05, 0.13, 0.1), smooth=0.15)
    yield body, skin
    if name != "lemon":
        yield path([(0.0, -0.42), (0.02, -0.6), (0.1, -0.76)], 0.028, 0.036), replace(WOOD, colour=(0.3, 0.2, 0.1))
        leaf = both(ellipse(0.22, -0.7, 0.26, 0.2, -20), ellipse(0.26, -0.58, 0.26, 0.16, -20))
        yield leaf, Material((0.28, 0.5, 0.16), 0.06, 0.2, 0.3)


def banana(rng: np.random.Generator, text: str) -> Parts:
    """A banana: a bent fruit that becomes thin at both ends."""
    bend = rng.uniform(0.5, 0.75)
    turn = np.linspace(-1.05, 1.05, 9)
    points = [(float(0.8 * np.sin(a)), float(bend * (np.cos(a) - 0.75))) for a in turn]
    radii = 0.05 + 0.14 * np.cos(turn * 0.95) ** 0.7
    parts = [limb(points[i], points[i + 1], float(radii[i]), float(radii[i + 1])) for i in range(8)]
    yield limb(points[0], (points[0][0] - 0.06, points[0][1] + 0.1), 0.05, 0.035), Material((0.35, 0.28, 0.1), 0.04)
    peel = Material((0.95, 0.8, 0.2), 0.17, 0.3, 0.15, pattern="folds", second=(0.88, 0.74, 0.2))
    yield join(*parts, smooth=0.05), peel
    yield ellipse(*points[-1], 0.05, 0.05), Material((0.3, 0.22, 0.1), 0.04)


def ball(rng: np.random.Generator, text: str) -> Parts:
    """A ball with seams, or a bubble or balloon."""
    if "bubble" in text or "balloon" in text:
        colour = (0.75, 0.88, 0.97) if "bubble" in text else _any_colour(rng)
        rubber = Material(colour, 0.62, 0.8, 0.1, pattern="folds" if "bubble" in text else "", second=(0.95, 0.75, 0.9))
        yield ellipse(0, -0.08, 0.66, 0.66 if "bubble" in text else 0.76), rubber
        if "balloon" in text:
            yield polygon([(0, 0.66), (-0.07, 0.76), (0.07, 0.76)], 0.02), replace(rubber, bulge=0.04)
        return
    leather = Material(
        _any_colour(rng), 0.72, 0.35, 0.14, pattern=str(rng.choice(["", "stripes", "spots"])), second=_any_colour(rng)
    )
    round_ = ellipse(0, 0, 0.74, 0.74)
    yield round_, leather
    for cx in (-0.9, 0.9):
        seam = both(ring(cx, rng.uniform(-0.2, 0.2), 0.72, 0.035), ellipse(0, 0, 0.72, 0.72))
        yield seam, Material((0.1, 0.1, 0.1), 0.02, 0.0, shadow=0.15)


VESSELS = {
    "bottle": [(-0.86, 0.1), (-0.8, 0.1), (-0.35, 0.11), (-0.08, 0.27), (0.1, 0.29), (0.86, 0.27)],
    "vase": [(-0.8, 0.26), (-0.66, 0.15), (-0.4, 0.2), (0.1, 0.44), (0.6, 0.24), (0.82, 0.3)],
    "glass": [(-0.7, 0.34), (0.66, 0.25), (0.72, 0.22)],
    "cup": [(-0.42, 0.46), (0.2, 0.42), (0.5, 0.27), (0.56, 0.28)],
    "bowl": [(-0.3, 0.8), (0.0, 0.7), (0.34, 0.3), (0.4, 0.3)],
    "teapot": [(-0.42, 0.16), (-0.3, 0.32), (0.1, 0.52), (0.48, 0.36), (0.54, 0.36)],
}


def vessel(rng: np.random.Generator, text: str) -> Parts:
    """A round vessel with its rim and handle: the last vessel that the prompt names, also as part of a word."""
    name = max((word for word in VESSELS if word in text), key=text.rindex)
    profile = [(y, w * float(rng.uniform(0.92, 1.08))) for y, w in VESSELS[name]]
    clear = any(word in text for word in ("glass", "crystal"))
    colour = ((0.55, 0.78, 0.66), (0.6, 0.75, 0.85), (0.82, 0.66, 0.4))[rng.integers(3)] if clear else _any_colour(rng)
    pattern = str(rng.choice(["", "", "stripes", "folds"]))
    clay = Material(
        colour, 0.35, 0.75 if clear else 0.45, 0.1, pattern="" if clear else pattern, second=_any_colour(rng)
    )
    if name == "cup":
        yield ring(0.45, -0.02, 0.22, 0.09), replace(clay, bulge=0.045)
    if name == "teapot":
        yield path([(-0.4, 0.2), (-0.62, -0.05), (-0.78, -0.22)], 0.11, 0.05), replace(clay, bulge=0.1)
        yield ring(0.5, 0.02, 0.26, 0.09), replace(clay, bulge=0.045)
        yield ellipse(0, -0.5, 0.08, 0.08), replace(clay, bulge=0.08)
    yield lathe(profile), clay
    y, width = profile[0]
    if name == "bottle":
        yield box(0, y + 0.03, width + 0.025, 0.045, 0.02), replace(clay, colour=(0.75, 0.2, 0.15), bulge=0.05)
        if clear:
            yield lathe([(0.12, 0.25), (0.8, 0.25)]), Material((0.5, 0.25, 0.12), 0.3, 0.3, alpha=0.75, shadow=0.0)
        yield box(0, 0.38, 0.265, 0.17, 0.02), Material((0.92, 0.88, 0.78), 0.2, 0.1, shadow=0.1)
    else:
        inside = replace(clay.darker(0.45), bulge=0.03, gloss=0.1, pattern="")
        yield ellipse(0, y + 0.01, width, 0.13 * width + 0.02), replace(clay, bulge=0.03)
        yield ellipse(0, y + 0.012, width - 0.035, 0.1 * width + 0.005), inside


def seat(rng: np.random.Generator, text: str) -> Parts:
    """A sofa, loveseat or armchair."""
    width = 0.84 if "sofa" in text else 0.66 if "love" in text else 0.48
    cushions = 3 if "sofa" in text else 2 if "love" in text else 1
    stuff = Material(
        _any_colour(rng), 0.12, 0.08, 0.2, pattern=str(rng.choice(["", "", "folds"])), second=_any_colour(rng)
    )
    for x in (-width + 0.1, width - 0.1):
        yield limb((x, 0.5), (x, 0.66), 0.045, 0.03), WOOD
    high = rng.uniform(0.42, 0.55)
    yield box(0, 0.0, width - 0.06, high, 0.14), stuff.darker(0.88)
    each = (width - 0.16) / cushions
    for i in range(cushions):
        x = (2 * i + 1 - cushions) * each
        yield box(x, -0.08, each - 0.01, high - 0.14, 0.1), stuff
        yield box(x, 0.3, each - 0.005, 0.12, 0.08), replace(stuff, bulge=0.1)
    yield box(0, 0.46, width - 0.08, 0.1, 0.05), stuff.darker(0.8)
    for x in (-width + 0.06, width - 0.06):
        yield box(x, 0.26, 0.12, 0.32, 0.11), stuff


def furniture(rng: np.random.Generator, text: str) -> Parts:
    """A chair, stool or table of wood."""
    wood = replace(WOOD, colour=((0.52, 0.34, 0.2), (0.72, 0.52, 0.32), (0.3, 0.18, 0.11))[rng.integers(3)])
    wide, y = (0.78, -0.3) if "table" in text else (0.42, 0.12)
    for x, shade in ((-wide + 0.16, 0.65), (wide - 0.16, 0.65), (-wide + 0.05, 1.0), (wide - 0.05, 1.0)):
        end = 0.84 if shade == 1.0 else 0.68
        yield limb((x * 0.9, y), (x, end), 0.05, 0.034), wood.darker(shade)
    if "chair" in text:
        for x in (-0.36, 0.36):
            yield limb((x, 0.12), (x * 1.08, -0.82), 0.045, 0.036), wood
        for slat in np.linspace(-0.72, -0.2, 4):
            yield box(0, float(slat), 0.38, 0.06, 0.03), wood
    yield polygon([(-wide, y + 0.05), (wide, y + 0.05), (wide - 0.1, y - 0.1), (-wide + 0.1, y - 0.1)], 0.03), wood
    yield box(0, y + 0.08, wide + 0.03, 0.04, 0.03), wood.darker(0.75)


def lamp(rng: np.random.Generator, text: str) -> Parts:
    """A floor or table lamp with a lit shade."""
    floor = "floor" in text
    top, base = (-0.6, 0.86) if floor else (-0.3, 0.74)
    metal = replace(STEEL, colour=((0.7, 0.72, 0.75), (0.78, 0.62, 0.3), (0.15, 0.15, 0.17))[rng.integers(3)])
    yield ellipse(0, base, 0.3, 0.06), metal
    stem = limb((0, top), (0, base), 0.025) if floor else lathe([(top, 0.04), (0.1, 0.1), (0.4, 0.22), (0.7, 0.1)])
    yield stem, metal if floor else replace(metal, colour=_any_colour(rng), bulge=0.2)
    low, high = rng.uniform(0.38, 0.52), rng.uniform(0.16, 0.3)
    shade = polygon([(-high, top - 0.22), (high, top - 0.22), (low, top + 0.24), (-low, top + 0.24)], 0.025)
    yield shade, Material((0.96, 0.85, 0.62), 0.3, 0.1, 0.1, pattern="folds", second=(0.9, 0.74, 0.5), glow=0.55)
