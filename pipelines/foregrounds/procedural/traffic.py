"""Traffic: cars and other vehicles, bikes, lights, cones."""

from dataclasses import replace

import numpy as np

from pipelines.foregrounds.procedural.devices import DARK
from pipelines.foregrounds.procedural.people import CLOTHS
from pipelines.foregrounds.procedural.picture import Colour, Material, Parts
from pipelines.foregrounds.procedural.shapes import both, box, ellipse, join, lathe, limb, minus, path, polygon, ring
from pipelines.foregrounds.procedural.things import STEEL

GLASS = Material((0.2, 0.28, 0.34), 0.08, 0.7, 0.05, shadow=0.2)


def _wheel(x: float, y: float, r: float) -> Parts:
    yield ellipse(x, y, r, r), replace(DARK, bulge=0.06, gloss=0.15, grain=0.3)
    yield ellipse(x, y, 0.6 * r, 0.6 * r), replace(STEEL, bulge=0.05)
    for k in range(5):
        a = k * 2 * np.pi / 5
        yield ellipse(x + 0.36 * r * np.cos(a), y + 0.36 * r * np.sin(a), 0.1 * r, 0.1 * r), replace(DARK, shadow=0.1)


def _paint_colour(rng: np.random.Generator, text: str) -> Colour:
    named: dict[str, Colour] = {"taxi": (0.95, 0.76, 0.1), "ambulance": (0.94, 0.94, 0.93)}
    return next((colour for name, colour in named.items() if name in text), CLOTHS[rng.integers(len(CLOTHS))])


def car(rng: np.random.Generator, text: str) -> Parts:
    """A passenger car from the side."""
    lack = Material(_paint_colour(rng, text), 0.14, 0.7, 0.05)
    roof, nose = -0.42 + rng.uniform(-0.05, 0.06), rng.uniform(-0.04, 0.05)
    cabin = [(-0.56, -0.05), (-0.34, roof), (0.16, roof), (0.44, -0.05)]
    body = join(
        polygon([(-0.84, 0.24), (-0.83, -0.02), (-0.5, -0.08), (0.45, -0.08), (0.8, 0.02 + nose), (0.86, 0.24)], 0.05),
        polygon(cabin, 0.06),
        smooth=0.06,
    )
    arches = join(ellipse(-0.5, 0.3, 0.22, 0.22), ellipse(0.5, 0.3, 0.22, 0.22))
    yield both(box(0, 0.2, 0.8, 0.12, 0.05), body), DARK
    yield minus(body, arches), lack
    for left, right in ((-0.5, -0.1), (-0.06, 0.37)):
        upper = (left + (0.17 if left < -0.3 else 0.0), right - (0.23 if right > 0.2 else 0.0))
        pane = [(upper[0], roof + 0.03), (upper[1], roof + 0.03), (right, -0.08), (left, -0.08)]
        yield polygon(pane, 0.015), GLASS
    yield limb((-0.08, -0.04), (-0.08, 0.2), 0.006), lack.darker(0.5)
    yield limb((-0.2, 0.0), (-0.14, 0.0), 0.014), STEEL
    yield ellipse(0.8, 0.08 + nose, 0.06, 0.045), Material((0.98, 0.95, 0.8), 0.04, 0.8, glow=0.5)
    yield box(-0.85, 0.06, 0.03, 0.06, 0.02), Material((0.8, 0.08, 0.06), 0.03, 0.7)
    if "taxi" in text:
        yield box(-0.08, roof - 0.1, 0.13, 0.05, 0.03), Material((0.97, 0.95, 0.85), 0.05, glow=0.5)
    for x in (-0.5, 0.5):
        yield from _wheel(x, 0.3, 0.18)


def long_vehicle(rng: np.random.Generator, text: str) -> Parts:
    """A bus, van, ambulance or truck from the side."""
    lack = Material(_paint_colour(rng, text), 0.1, 0.5, 0.06)
    if "truck" in text:
        pickup = "pickup" in text
        load = box(-0.36, 0.02 if pickup else -0.18, 0.5, 0.2 if pickup else 0.42, 0.03)
        yield box(0, 0.3, 0.82, 0.06, 0.03), DARK
        walls = lack
        if not pickup:
            colour, pattern = CLOTHS[rng.integers(len(CLOTHS))], "stripes" if rng.uniform() < 0.3 else ""
            walls = Material(colour, 0.05, 0.15, 0.15, pattern=pattern)
        yield load, walls
        cab = polygon([(0.18, 0.26), (0.18, -0.38), (0.48, -0.38), (0.66, -0.08), (0.84, -0.02), (0.84, 0.26)], 0.04)
        yield cab, lack
        yield polygon([(0.28, -0.32), (0.47, -0.32), (0.61, -0.08), (0.28, -0.08)], 0.015), GLASS
        wheels = (-0.6, 0.56) if pickup else (-0.66, -0.32, 0.56)
    else:
        bus = "bus" in text
        top = -0.46 if bus else -0.4
        front = 0.84 if bus else 0.6
        hull = [(-0.82, 0.28), (-0.82, top), (front - 0.06, top), (front, -0.08), (0.84, 0.0), (0.84, 0.28)]
        yield polygon(hull, 0.04), lack
        panes = np.linspace(-0.7, 0.62, 6) if bus else [-0.58, -0.16, 0.32]
        half = 0.11 if bus else 0.17
        for x in panes:
            yield box(float(x), top + 0.2, half, 0.14, 0.03), GLASS
        colour = (0.8, 0.1, 0.1) if "ambulance" in text else CLOTHS[rng.integers(len(CLOTHS))]
        stripe = Material(colour, 0.02, 0.4, shadow=0.0)
        yield box(0, 0.08, 0.84, 0.035, 0.01), stripe
        if "ambulance" in text:
            yield join(box(-0.37, -0.16, 0.03, 0.09, 0.005), box(-0.37, -0.16, 0.09, 0.03, 0.005)), stripe
            yield box(0.3, top - 0.06, 0.1, 0.04, 0.03), Material((0.2, 0.45, 0.95), 0.04, 0.8, glow=0.6)
        wheels = (-0.52, 0.52)
    yield ellipse(0.84, 0.12, 0.035, 0.05), Material((0.98, 0.95, 0.8), 0.04, 0.8, glow=0.5)
    for x in wheels:
        yield from _wheel(x, 0.36, 0.165)


def bike(rng: np.random.Generator, text: str) -> Parts:
    """A bicycle, scooter or motorcycle from the side."""
    lack = Material(CLOTHS[rng.integers(len(CLOTHS))], 0.05, 0.7, 0.05)
    motor = "motor" in text or "scooter" in text
    r, tyre = (0.27, 0.11) if motor else (0.35, 0.045)
    for x in (-0.53, 0.53):
        yield ring(x, 0.4, r, tyre), replace(DARK, bulge=0.05)
        spokes = [limb((x, 0.4), (x + r * np.cos(a), 0.4 + r * np.sin(a)), 0.008) for a in np.arange(10) * np.pi / 5]
        yield join(*spokes, ellipse(x, 0.4, 0.05, 0.05)), STEEL
    seat, bars, pedals = (-0.25, -0.2), (0.34, -0.3), (-0.08, 0.4)
    frame = [limb(seat, pedals, 0.026), limb((-0.53, 0.4), pedals, 0.022), limb((-0.53, 0.4), (-0.22, -0.05), 0.02),
             limb(pedals, (0.33, -0.1), 0.03), limb((-0.22, -0.08), (0.32, -0.14), 0.028),
             limb(bars, (0.53, 0.4), 0.028)]  # fmt: skip
    yield join(*frame), lack
    if motor:
        yield limb((-0.05, 0.46), (-0.75, 0.46), 0.05, 0.06), STEEL
        engine = join(box(0.0, 0.26, 0.2, 0.16, 0.06), ellipse(0.05, 0.38, 0.14, 0.12))
        yield engine, replace(STEEL.darker(0.6), pattern="stripes", second=(0.2, 0.2, 0.22))
        yield join(ellipse(0.1, -0.08, 0.27, 0.14, 10), limb((-0.2, 0.0), (-0.66, 0.02), 0.09, 0.05), smooth=0.08), lack
        yield ellipse(0.46, -0.16, 0.1, 0.1), Material((0.97, 0.94, 0.8), 0.08, 0.9, glow=0.4)
        if "scooter" in text:
            yield path([(0.34, -0.2), (0.3, 0.4), (-0.1, 0.48)], 0.07), lack
    else:
        yield ring(pedals[0], pedals[1], 0.09, 0.03), STEEL
        yield limb((-0.16, 0.52), (0.0, 0.28), 0.018), DARK
    saddle = limb(
        (-0.42 if motor else -0.36, -0.12 if motor else -0.25), (-0.12, -0.14 if motor else -0.24), 0.055, 0.035
    )
    yield saddle, DARK
    yield path([(0.4, -0.28), bars, (0.26, -0.4), (0.18, -0.42)], 0.025), DARK


def signal(rng: np.random.Generator, text: str) -> Parts:
    """A traffic light on its pole."""
    yield limb((0, 0.2), (0, 0.84), 0.045), replace(STEEL.darker(0.6), bulge=0.05)
    yield box(0, 0.84, 0.16, 0.04, 0.03), DARK
    yield box(0, -0.26, 0.27, 0.6, 0.1), Material((0.16, 0.18, 0.17), 0.1, 0.4)
    lit = int(rng.integers(3))
    for i, colour in enumerate(((0.95, 0.12, 0.1), (0.98, 0.75, 0.1), (0.15, 0.85, 0.35))):
        y = -0.64 + 0.38 * i
        yield ellipse(0, y - 0.02, 0.19, 0.19), DARK
        lamp = Material(colour, 0.15, 0.6, 0.05, glow=0.9 if i == lit else 0.0, shadow=0.2)
        yield ellipse(0, y, 0.15, 0.15), lamp if i == lit else lamp.darker(0.35)


def cone(rng: np.random.Generator, text: str) -> Parts:
    """A traffic cone with white bands."""
    orange = Material((0.96, 0.42, 0.08), 0.3, 0.3, 0.1)
    body = lathe([(-0.8, 0.05), (-0.76, 0.07), (0.66, rng.uniform(0.34, 0.46))])
    yield box(0, 0.74, 0.62, 0.08, 0.06), replace(orange.darker(0.8), bulge=0.06)
    yield body, orange
    for y in (-0.3, 0.22):
        yield both(body, box(0, y, 0.6, 0.12, 0.01)), replace(orange, colour=(0.94, 0.94, 0.92), shadow=0.0)
