"""Animals: four-legged ones, birds, fish."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.foregrounds.procedural.picture import Colour, Material, Parts
from pipelines.foregrounds.procedural.shapes import both, box, ellipse, join, limb, minus, path, polygon

EYE = Material((0.06, 0.05, 0.05), bulge=0.02, gloss=0.9, grain=0.0, shadow=0.1)


@dataclass(frozen=True)
class Build:
    """Proportions of a four-legged animal; lengths in units of half the picture's side."""

    colour: Colour = (0.62, 0.43, 0.26)
    leg: float = 0.36
    length: float = 0.42
    girth: float = 0.21
    neck: float = 0.2
    head: float = 0.15
    snout: float = 0.13
    ears: str = "pointed"
    tail: str = "long"
    pattern: str = ""
    second: Colour = (0.1, 0.09, 0.08)
    fur: float = 0.014


BUILDS = {
    "dog": Build(leg=0.42, ears="flopped", tail="up"),
    "cat": Build((0.55, 0.53, 0.5), leg=0.34, girth=0.18, neck=0.12, snout=0.04, pattern="stripes",
                 second=(0.3, 0.28, 0.27)),
    "cow": Build((0.9, 0.88, 0.84), leg=0.38, length=0.5, girth=0.27, snout=0.17, ears="side",
                 pattern="spots", fur=0.006),
    "zebra": Build((0.93, 0.92, 0.9), leg=0.42, neck=0.36, snout=0.17, pattern="stripes", fur=0.004),
    "horse": Build((0.45, 0.26, 0.14), leg=0.46, neck=0.38, snout=0.2, girth=0.22, tail="brush", fur=0.005),
    "fox": Build((0.82, 0.42, 0.14), leg=0.34, girth=0.17, snout=0.16, tail="brush", neck=0.14),
    "sheep": Build((0.9, 0.87, 0.8), leg=0.36, girth=0.3, neck=0.1, ears="side", tail="short", fur=0.05),
    "rabbit": Build((0.72, 0.64, 0.56), leg=0.15, length=0.3, girth=0.24, neck=0.1, snout=0.05, ears="long",
                    tail="short"),
    "bear": Build((0.33, 0.21, 0.13), leg=0.34, length=0.46, girth=0.3, neck=0.14, head=0.18, ears="round",
                  tail="short", fur=0.03),
}  # fmt: skip


def four_legged(rng: np.random.Generator, text: str) -> Parts:
    """A standing four-legged animal from the side; an unknown name gets the build of a dog with another coat."""
    names = [name for name in BUILDS if name in text]
    b = BUILDS[names[0]] if names else replace(BUILDS["dog"], pattern=str(rng.choice(["", "spots", "folds"])))
    tint = rng.uniform(0.85, 1.1) * rng.uniform(0.94, 1.06, 3)
    r, g, blue = (float(c) for c in np.clip(np.array(b.colour) * tint, 0.0, 1.0))
    coat = Material((r, g, blue), 0.2, 0.05, 0.25, b.fur, pattern=b.pattern, second=b.second, shadow=0.25)
    length, girth, leg = b.length * rng.uniform(0.94, 1.06), b.girth * rng.uniform(0.92, 1.08), b.leg
    back, ground = -0.12 - leg / 4, -0.12 - leg / 4 + girth * 0.75 + leg
    swing = rng.uniform(-0.07, 0.07, 4)
    for i, (x, far) in enumerate([(-length + 0.18, 1), (length - 0.08, 1), (-length + 0.08, 0), (length - 0.18, 0)]):
        knee, foot = (x + swing[i] + 0.02, back + girth * 0.4 + leg / 2), (x + swing[i], ground)
        shape = join(limb((x, back + 0.05), knee, girth * 0.45, 0.062), limb(knee, foot, 0.062, 0.045),
                     ellipse(foot[0] + 0.03, foot[1], 0.075, 0.05), smooth=0.05)  # fmt: skip
        yield shape, replace(coat.darker() if far else coat, bulge=0.07, fur=b.fur / 2)
    yield from _tail(coat, b, (-length - 0.02, back - 0.03), rng)
    chest = (length - 0.08, back - 0.03)
    nod = rng.uniform(-0.08, 0.08)
    head = (length + 0.12 + b.neck * 0.3, back - 0.1 - b.neck + nod)
    nose = (head[0] + b.head * 0.6 + b.snout, head[1] + b.snout * 0.55)
    body = join(ellipse(0, back, length + 0.06, girth), ellipse(*chest, girth * 0.85, girth * 0.95),
                ellipse(-length + 0.1, back, girth * 0.9, girth * 0.95), smooth=0.1)  # fmt: skip
    skull = join(ellipse(*head, b.head, b.head * 0.92), limb(head, nose, b.head * 0.65, b.head * 0.42), smooth=0.05)
    yield join(body, limb(chest, head, girth * 0.62, b.head * 0.72), skull, smooth=0.07), coat
    yield from _ears(coat, b, head)
    yield ellipse(nose[0] + b.head * 0.3, nose[1] - 0.02, 0.035, 0.028), EYE
    yield ellipse(head[0] + b.head * 0.35, head[1] - b.head * 0.2, 0.026, 0.028), EYE


def _tail(coat: Material, b: Build, at: tuple[float, float], rng: np.random.Generator) -> Parts:
    x, y = at
    droop = rng.uniform(0.8, 1.1)
    lines = {
        "up": ([(x + 0.08, y), (x - 0.1, y - 0.1), (x - 0.14, y - 0.26 * droop)], 0.06, 0.03),
        "long": ([(x + 0.08, y), (x - 0.1, y + 0.05), (x - 0.15, y + 0.22), (x - 0.2, y + 0.34 * droop)], 0.045, 0.028),
        "brush": (
            [(x + 0.08, y), (x - 0.08, y + 0.05), (x - 0.15, y + 0.2), (x - 0.16, y + 0.36 * droop)],
            0.05,
            0.085,
        ),
        "short": ([(x + 0.06, y), (x - 0.01, y - 0.02)], 0.06, 0.06),
    }
    points, thick, thin = lines[b.tail]
    yield path(points, thick, thin), replace(coat, bulge=0.06)


def _ears(coat: Material, b: Build, head: tuple[float, float]) -> Parts:
    x, y, r = *head, b.head
    for dx, material in ((0.12, coat.darker(0.8)), (-0.45, coat)):
        cx, top = x + dx * r, y - 0.75 * r
        shapes = {
            "pointed": polygon(
                [(cx - 0.4 * r, top + 0.2 * r), (cx - 0.1 * r, top - 0.75 * r), (cx + 0.4 * r, top)], 0.015
            ),
            "flopped": ellipse(cx - 0.3 * r, y - 0.1 * r, 0.32 * r, 0.75 * r, 18),
            "round": ellipse(cx, top - 0.1 * r, 0.36 * r, 0.36 * r),
            "side": ellipse(cx - 0.35 * r, y - 0.55 * r, 0.55 * r, 0.24 * r, 20),
            "long": ellipse(cx - 0.2 * r, top - 0.8 * r, 0.26 * r, 1.15 * r, -12),
        }
        yield shapes[b.ears], replace(material, bulge=0.05, pattern="")


def bird(rng: np.random.Generator, text: str) -> Parts:
    """A bird from the side: a duck sits low, others stand."""
    duck = "duck" in text
    colour = (0.5, 0.36, 0.22) if duck else tuple(rng.permutation([0.12, 0.45, 0.78]) + rng.uniform(-0.1, 0.15, 3))
    feathers = Material(colour, 0.22, 0.1, 0.35, 0.012, shadow=0.25)
    second = replace(feathers, colour=(0.12, 0.42, 0.25) if duck else (0.92, 0.74, 0.15), bulge=0.12)
    horn = Material((0.93, 0.6, 0.1), 0.04, 0.3)
    for x in (-0.06, 0.1):
        foot = join(path([(x, 0.35), (x + 0.02, 0.68), (x + 0.12, 0.7)], 0.026), limb((x, 0.7), (x - 0.06, 0.7), 0.02))
        yield foot, horn
    tail = polygon([(-0.3, 0.15), (-0.85, 0.42 - 0.35 * duck), (-0.78, 0.55 - 0.3 * duck), (-0.2, 0.38)], 0.03)
    yield tail, feathers.darker(0.8)
    head = (0.42, -0.42)
    body = join(ellipse(0, 0.12, 0.46, 0.3, 20 - 35 * duck), limb((0.25, 0.0), head, 0.16, 0.12), smooth=0.12)
    yield body, feathers
    yield polygon([(0.5, -0.5), (0.78 + 0.06 * duck, -0.4), (0.7, -0.32 + 0.02 * duck), (0.5, -0.34)], 0.02), horn
    yield ellipse(*head, 0.17, 0.16), second
    wing = both(ellipse(-0.1, 0.12, 0.4, 0.2, 25 - 30 * duck), box(-0.1, 0.2, 0.5, 0.4, 0.05))
    yield wing, replace(feathers.darker(0.75), pattern="folds", second=second.colour)
    yield ellipse(0.47, -0.46, 0.032, 0.034), EYE


def fish(rng: np.random.Generator, text: str) -> Parts:
    """A fish with see-through fins."""
    colour = (0.95, rng.uniform(0.35, 0.55), 0.1)
    scales = Material(
        colour, 0.3, 0.6, 0.3, pattern=str(rng.choice(["", "folds", "stripes"])), second=(0.98, 0.85, 0.6)
    )
    fin = Material((0.98, 0.6, 0.25), 0.05, 0.3, 0.4, alpha=0.65, pattern="folds", second=colour, shadow=0.2)
    tail = [(-0.45, 0.0), (-0.88, -0.34), (-0.76, 0.0), (-0.88, 0.36)]
    for points in (tail, [(-0.3, -0.2), (-0.2, -0.55), (0.25, -0.25)], [(-0.2, 0.2), (-0.25, 0.5), (0.1, 0.25)]):
        yield polygon(points, 0.04), fin
    yield join(ellipse(0.08, 0, 0.56, 0.32), limb((-0.2, 0), (-0.55, 0), 0.2, 0.08), smooth=0.15), scales
    yield polygon([(0.2, 0.05), (-0.08, 0.22), (-0.02, 0.0)], 0.03), fin
    yield minus(ellipse(0.28, 0, 0.34, 0.3), ellipse(0.3, 0, 0.34, 0.34)), replace(scales, colour=(0.7, 0.3, 0.1))
    yield ellipse(0.44, -0.08, 0.06, 0.06), replace(scales, colour=(0.97, 0.95, 0.85), pattern="", bulge=0.04)
    yield ellipse(0.45, -0.08, 0.033, 0.033), EYE
