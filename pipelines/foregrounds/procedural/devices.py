"""Machines: boxes with doors, panels and knobs, gears, and the arms and craft of science fiction."""

from dataclasses import replace

import numpy as np

from pipelines.foregrounds.procedural.picture import Material, Parts
from pipelines.foregrounds.procedural.shapes import both, box, ellipse, join, lathe, limb, minus, path, polygon, ring
from pipelines.foregrounds.procedural.things import STEEL

DARK = Material((0.12, 0.13, 0.15), 0.04, 0.6, 0.06)
CASES = (
    (0.88, 0.88, 0.87),
    (0.66, 0.68, 0.7),
    (0.2, 0.21, 0.24),
    (0.72, 0.2, 0.18),
    (0.34, 0.5, 0.56),
    (0.9, 0.84, 0.7),
)
GLOWS = ((0.3, 0.95, 0.9), (0.95, 0.35, 0.85), (0.45, 1.0, 0.35), (1.0, 0.55, 0.2))
TALL = ("refrigerator", "freezer", "vending", "server", "cash", "coffee")


def appliance(rng: np.random.Generator, text: str) -> Parts:
    """A household appliance: a box on feet, whose height and doors follow from its name."""
    tall = any(word in text for word in TALL)
    square = any(word in text for word in ("washing", "dishwasher", "oven")) and "micro" not in text
    w, h = (0.42, 0.8) if tall else (0.56, 0.66) if square else (0.76, rng.uniform(0.4, 0.48))
    case = Material(CASES[rng.integers(len(CASES))], 0.06, 0.35, 0.05)
    depth = rng.uniform(0.08, 0.14)
    yield polygon([(w - 0.05, -h), (w + depth, -h + 0.06), (w + depth, h - 0.1), (w - 0.05, h)], 0.02), case.darker(0.6)
    for x in (-w + 0.1, w - 0.1):
        yield box(x, h + 0.02, 0.06, 0.05, 0.02), DARK
    yield box(0, 0, w, h, 0.06), case
    yield from _front(rng, text, w, h, case)


def _front(rng: np.random.Generator, text: str, w: float, h: float, case: Material) -> Parts:
    panel, glass = replace(case.darker(0.85), bulge=0.03), replace(DARK, bulge=0.1, gloss=0.8)
    if "refrigerator" in text or "freezer" in text:
        split = -0.2 if "refrigerator" in text else 0.1
        for top, bottom in ((-h, split), (split, h)):
            middle = (top + bottom) / 2
            yield box(0, middle, w - 0.03, (bottom - top) / 2 - 0.025, 0.04), replace(case, bulge=0.04)
            yield limb((-w + 0.1, middle - 0.1), (-w + 0.1, middle + 0.1), 0.02), replace(STEEL, bulge=0.03)
    elif "washing" in text:
        yield ellipse(0, 0.12, 0.4, 0.4), replace(STEEL, bulge=0.03)
        yield ellipse(0, 0.12, 0.32, 0.32), replace(glass, colour=(0.2, 0.27, 0.34))
        yield from _knobs(rng, [(-0.3, -h + 0.14), (0.1, -h + 0.14), (0.32, -h + 0.14)])
    elif "server" in text:
        for y in np.linspace(-h + 0.14, h - 0.14, 7):
            yield box(0, float(y), w - 0.1, 0.03, 0.02), DARK
            yield ellipse(w - 0.16, float(y), 0.014, 0.014), Material(GLOWS[2], glow=1.0, shadow=0.0)
    elif "radio" in text:
        for x in (-0.42, 0.42):
            yield ellipse(x, 0.06, 0.24, 0.24), panel
            yield ellipse(x, 0.06, 0.19, 0.19), replace(DARK, pattern="spots", second=(0.3, 0.3, 0.32))
        yield box(0, -0.22, 0.3, 0.07, 0.02), replace(glass, colour=(0.75, 0.62, 0.3), glow=0.4)
        yield from _knobs(rng, [(-0.08, 0.2), (0.08, 0.2)])
    elif any(word in text for word in ("coffee", "vending", "cash")):
        yield from _counter(rng, w, glass)
    else:
        y = 0.06 if h > 0.5 else 0.0
        yield box(-0.12, y, w - 0.22, h - 0.22, 0.04), panel
        yield box(-0.12, y, w - 0.3, h - 0.3, 0.04), glass
        yield limb((w - 0.28, -h + 0.3), (w - 0.28, h - 0.2), 0.022), replace(STEEL, bulge=0.03)
        yield box(w - 0.13, -h + 0.16, 0.08, 0.05, 0.01), Material(GLOWS[2], 0.02, glow=0.8)
        yield from _knobs(rng, [(w - 0.13, place) for place in (-0.05, 0.12, 0.28)])


def _counter(rng: np.random.Generator, w: float, glass: Material) -> Parts:
    yield box(-0.05, -0.25, w - 0.14, 0.38, 0.03), replace(glass, colour=(0.15, 0.22, 0.3))
    for y in (-0.45, -0.25, -0.05):
        for x in np.linspace(-0.25, 0.15, 4):
            ware = Material(CASES[rng.integers(1, 6)], 0.04, 0.5, shadow=0.1)
            yield box(float(x), y, 0.04, 0.07, 0.02), ware
    yield box(0, 0.45, w - 0.12, 0.16, 0.03), DARK
    yield from _knobs(rng, [(w - 0.1, 0.2), (w - 0.2, 0.2)])


def _knobs(rng: np.random.Generator, places: list[tuple[float, float]]) -> Parts:
    for x, y in places:
        turn = rng.uniform(0.0, 6.28)
        yield ellipse(x, y, 0.055, 0.055), replace(STEEL, bulge=0.05)
        yield limb((x, y), (x + 0.045 * np.cos(turn), y + 0.045 * np.sin(turn)), 0.01), replace(DARK, shadow=0.0)


def gears(rng: np.random.Generator, text: str) -> Parts:
    """Gear wheels in a frame."""
    yield box(0, 0.05, 0.8, 0.3, 0.12, float(rng.uniform(-30, 30))), replace(STEEL.darker(0.5), bulge=0.08)
    for cx, cy, r, num in ((-0.3, 0.12, 0.44, 14), (0.42, -0.2, 0.32, 10), (0.42, 0.48, 0.24, 8)):
        colour = ((0.7, 0.72, 0.75), (0.75, 0.58, 0.3), (0.5, 0.46, 0.44))[rng.integers(3)]
        metal = replace(STEEL, colour=colour, grain=0.25)
        turn = np.arange(num) * 2 * np.pi / num + rng.uniform(0, 1)
        teeth = [box(cx + r * np.cos(a), cy + r * np.sin(a), 0.07, 0.055, 0.02, float(np.rad2deg(a))) for a in turn]
        yield minus(join(ellipse(cx, cy, r, r), *teeth, smooth=0.02), ellipse(cx, cy, 0.07, 0.07)), metal
        yield ring(cx, cy, r * 0.62, 0.07), metal.darker(0.75)


def gun(rng: np.random.Generator, text: str) -> Parts:
    """A ray gun; rifles are longer, and have a stock."""
    rifle = any(word in text for word in ("rifle", "blaster"))
    glow = Material(GLOWS[rng.integers(len(GLOWS))], 0.05, 0.5, 0.0, glow=0.9, shadow=0.2)
    case = Material(CASES[rng.integers(1, 5)], 0.12, 0.6, 0.1)
    thin = 0.7 if rifle else 1.0
    yield polygon([(-0.36, 0.05), (-0.12, 0.05), (-0.22, 0.58), (-0.46, 0.58)], 0.04), DARK
    yield ring(-0.04, 0.2 * thin, 0.13, 0.035), DARK
    if rifle:
        yield polygon([(-0.5, -0.1), (-0.86, -0.02), (-0.86, 0.28), (-0.76, 0.28), (-0.5, 0.1)], 0.03), case.darker(0.7)
        yield box(0.2, 0.16, 0.08, 0.16, 0.03, 12), DARK
    yield limb((0.2, -0.06), (0.8, -0.06), 0.075 * thin), replace(STEEL, bulge=0.08)
    for x in np.linspace(0.36, 0.66, int(rng.integers(2, 5))):
        yield box(float(x), -0.06, 0.028, 0.14 * thin, 0.028), glow
    yield ellipse(0.83, -0.06, 0.05, 0.12 * thin), case
    yield join(box(-0.12, -0.06, 0.42, 0.17 * thin, 0.08), ellipse(-0.42, -0.06, 0.2, 0.2 * thin), smooth=0.08), case
    yield box(-0.1, -0.04, 0.24, 0.045, 0.04), glow
    mounts = (box(x, -0.26 * thin, 0.03, 0.08, 0.01) for x in (-0.22, -0.02))
    yield join(box(-0.12, -0.34 * thin, 0.22, 0.06, 0.05), *mounts), DARK
    yield ellipse(0.1, -0.34 * thin, 0.03, 0.05), glow


def saucer(rng: np.random.Generator, text: str) -> Parts:
    """A flying saucer or drone with lights around its rim."""
    hull = Material(CASES[rng.integers(1, 5)], 0.2, 0.7, 0.12)
    glow = Material(GLOWS[rng.integers(len(GLOWS))], 0.04, glow=1.0, shadow=0.2)
    yield ellipse(0, 0.22, 0.3, 0.14), glow
    yield ellipse(0, -0.12, 0.34, 0.36), Material((0.6, 0.85, 0.9), 0.3, 0.9, 0.05, alpha=0.55)
    yield join(ellipse(0, 0.08, 0.86, 0.17), ellipse(0, 0.02, 0.5, 0.22), smooth=0.12), hull
    for x in np.linspace(-0.66, 0.66, 7):
        yield ellipse(float(x), 0.12 - 0.1 * float(x) ** 2, 0.045, 0.035), glow


def robot(rng: np.random.Generator, text: str) -> Parts:
    """A robot with a lit face."""
    shell = Material(CASES[rng.integers(len(CASES))], 0.1, 0.6, 0.1)
    glow = Material(GLOWS[rng.integers(len(GLOWS))], 0.03, glow=1.0, shadow=0.1)
    joint = replace(STEEL.darker(0.6), bulge=0.05)
    for side in (-1, 1):
        lift = float(rng.uniform(-0.2, 0.1))
        hand = (side * 0.62, 0.3 + lift)
        yield path([(side * 0.36, -0.2), (side * 0.54, 0.05), hand], 0.06), joint
        yield limb((side * 0.54, 0.08), (hand[0], hand[1] - 0.06), 0.1, 0.085), shell
        yield minus(ellipse(*hand, 0.1, 0.1), ellipse(hand[0], hand[1] + 0.09, 0.05, 0.08)), joint
        yield limb((side * 0.17, 0.3), (side * 0.2, 0.72), 0.08), joint
        yield box(side * 0.2, 0.6, 0.11, 0.16, 0.06), shell
        yield join(box(side * 0.22, 0.82, 0.16, 0.07, 0.05), ellipse(side * 0.22, 0.76, 0.11, 0.08)), shell.darker(0.8)
    yield box(0, -0.38, 0.09, 0.08, 0.02), joint
    yield join(box(0, 0.02, 0.36, 0.34, 0.12), box(0, 0.3, 0.22, 0.12, 0.08), smooth=0.05), shell
    yield box(0, -0.04, 0.2, 0.13, 0.04), DARK
    for x in (-0.1, 0.0, 0.1):
        yield ellipse(x, -0.04, 0.032, 0.032), replace(glow, colour=GLOWS[rng.integers(4)])
    yield limb((0, -0.7), (0, -0.84), 0.016), joint
    yield ellipse(0, -0.85, 0.04, 0.04), glow
    yield box(0, -0.58, 0.28, 0.17, 0.1), shell
    yield box(0, -0.58, 0.22, 0.1, 0.06), DARK
    for x in (-0.1, 0.1):
        yield ellipse(x, -0.58, 0.05, 0.05), glow


def rocket(rng: np.random.Generator, text: str) -> Parts:
    """A rocket or capsule with fins and windows."""
    trim = Material(CASES[int(rng.choice([3, 4, 2]))], 0.06, 0.4)
    short = 0.72 if "capsule" in text else 1.0
    for side in (-1, 1):
        yield polygon([(side * x, y) for x, y in ((0.18, 0.2), (0.5, 0.68), (0.46, 0.78), (0.15, 0.58))], 0.025), trim
    yield lathe([(0.55, 0.1), (0.72, 0.18)]), DARK
    hull = lathe([(-0.88 * short, 0.02), (-0.6 * short, 0.17), (-0.1, 0.26 / short), (0.3, 0.25 / short), (0.62, 0.14)])
    yield hull, Material((0.88, 0.88, 0.9), 0.26, 0.6, 0.1)
    yield both(hull, box(0, -0.88 * short, 0.5, 0.34 * short, 0.01)), replace(trim, bulge=0.2, shadow=0.0)
    for y in (-0.22, 0.1):
        yield ellipse(0, y, 0.11, 0.11), STEEL
        yield ellipse(0, y, 0.075, 0.075), replace(DARK, colour=(0.2, 0.4, 0.55), bulge=0.07)


def orb(rng: np.random.Generator, text: str) -> Parts:
    """A force field: a see-through ball with bright rings."""
    colour = GLOWS[rng.integers(len(GLOWS))]
    yield ellipse(0, 0, 0.76, 0.8), Material(colour, 0.7, 0.7, 0.25, pattern="folds", second=(0.9, 0.95, 1.0), glow=0.4)
    for angle in rng.uniform(-60, 60, 3):
        band = minus(ellipse(0, 0, 0.74, 0.24, float(angle)), ellipse(0, 0.03, 0.7, 0.2, float(angle)))
        yield band, Material((0.9, 1.0, 1.0), 0.02, glow=1.0, shadow=0.0)
    yield ellipse(0, 0, 0.14, 0.14), Material((1.0, 1.0, 0.95), 0.14, glow=0.9, shadow=0.0)
