"""Clothes laid flat: tops, trousers, skirts, hats, shoes, and veils that light passes through."""

from dataclasses import replace

import numpy as np

from pipelines.foregrounds.procedural.people import CLOTHS
from pipelines.foregrounds.procedural.picture import Material, Parts, dimmed
from pipelines.foregrounds.procedural.shapes import box, ellipse, join, limb, minus, path, polygon, symmetric


def _cloth(rng: np.random.Generator) -> Material:
    first, second = rng.choice(len(CLOTHS), 2, replace=False)
    pattern = str(rng.choice(["folds", "folds", "stripes", "spots"]))
    other = dimmed(CLOTHS[first], 0.8) if pattern == "folds" else CLOTHS[second]
    return Material(CLOTHS[first], 0.1, 0.05, 0.2, pattern=pattern, second=other)


def top(rng: np.random.Generator, text: str) -> Parts:
    """A shirt, sweater, jacket, coat or dress."""
    cloth, length = _cloth(rng), 0.62
    long_sleeves = any(word in text for word in ("sweater", "jacket", "coat"))
    flare = 0.0
    if "dress" in text:
        length, flare = 0.82, rng.uniform(0.14, 0.28)
    elif "coat" in text:
        length, flare = 0.84, 0.06
    for side in (-1, 1):
        reach = [(0.34, -0.5), (0.58, 0.0), (0.66, 0.42)] if long_sleeves else [(0.3, -0.48), (0.62, -0.2)]
        yield path([(side * x, y) for x, y in reach], 0.14, 0.1), replace(cloth, bulge=0.09)
    waist = 0.3 if "dress" in text else 0.36
    outline = symmetric([(0.17, -0.66), (0.4, -0.54), (waist, 0.0), (0.36 + flare, length)])
    yield minus(polygon(outline, 0.03), ellipse(0, -0.72, 0.15, 0.17)), cloth
    trim = replace(cloth.darker(0.6), bulge=0.03, pattern="")
    if "jacket" in text or "coat" in text:
        yield limb((0, -0.52), (0, length - 0.02), 0.012), trim
        for side in (-1, 1):
            lapel = polygon([(side * 0.15, -0.66), (side * 0.22, -0.5), (0.0, -0.2), (side * 0.1, -0.55)], 0.012)
            yield lapel, cloth.darker(0.85)
    if "dress" in text:
        yield box(0, 0.0, waist + 0.02, 0.035, 0.02), trim
    elif long_sleeves or rng.uniform() < 0.6:
        for y in np.linspace(-0.4, length - 0.12, 5):
            yield ellipse(0.04, y, 0.02, 0.02), Material((0.9, 0.88, 0.8), 0.02, 0.5)


def trousers(rng: np.random.Generator, text: str) -> Parts:
    """Trousers or shorts."""
    cloth = _cloth(rng)
    end, foot = (0.25, 0.36) if "short" in text else (0.84, 0.26)
    for side in (-1, 1):
        leg = [(0.02, -0.5), (0.33, -0.5), (foot + 0.13, end), (foot - 0.16, end), (0.02, -0.05)]
        yield polygon([(side * x, y) for x, y in leg], 0.03), cloth
    yield box(0, -0.56, 0.36, 0.075, 0.03), replace(cloth.darker(0.85), bulge=0.04)
    yield path([(0, -0.48), (0.03, -0.25), (0, -0.12)], 0.01), cloth.darker(0.6)
    yield ellipse(0, -0.56, 0.025, 0.025), Material((0.85, 0.7, 0.3), 0.02, 0.8)


def drape(rng: np.random.Generator, text: str) -> Parts:
    """A skirt, scarf or veil: hanging cloth with a wavy hem."""
    cloth = replace(_cloth(rng), pattern="folds", bulge=0.08)
    if "veil" in text:
        cloth = replace(cloth, colour=(0.95, 0.95, 0.97), second=(0.82, 0.84, 0.9))
    narrow, wide, high = (0.22, 0.34, 0.78) if "scarf" in text else (0.28, rng.uniform(0.55, 0.72), 0.62)
    xs = np.linspace(-1.0, 1.0, 15)
    hem = high - 0.05 + 0.045 * np.sin(9.0 * xs + rng.uniform(0.0, 6.0))
    edge = [(float(wide * x), float(y)) for x, y in zip(xs[::-1], hem[::-1], strict=True)]
    yield polygon([(-narrow, -high), (narrow, -high), *edge], 0.04), cloth
    yield box(0, -high, narrow + 0.05, 0.05, 0.04), replace(cloth.darker(0.8), bulge=0.05)


def headwear(rng: np.random.Generator, text: str) -> Parts:
    """A hat with a brim, or a cap with a peak."""
    felt = replace(_cloth(rng), pattern="")
    if "cap" in text:
        yield minus(ellipse(-0.1, 0.15, 0.55, 0.6), box(0, 0.7, 1.0, 0.5, 0.02)), replace(felt, bulge=0.35)
        yield ellipse(0.4, 0.22, 0.5, 0.09, 6), felt.darker(0.85)
        yield ellipse(-0.1, -0.45, 0.05, 0.03), felt.darker(0.7)
        return
    yield ellipse(0, 0.32, 0.84, 0.2), replace(felt, bulge=0.1)
    yield join(box(0, 0.0, 0.42, 0.4, 0.2), ellipse(0, 0.3, 0.44, 0.12), smooth=0.05), replace(felt, bulge=0.3)
    yield join(box(0, 0.2, 0.425, 0.07, 0.02), ellipse(0, 0.27, 0.42, 0.06)), felt.darker(0.4)
