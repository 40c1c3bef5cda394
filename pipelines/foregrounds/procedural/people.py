"""People: standing figures with build, hair and clothes; a profession is a set of clothes with a hat."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.foregrounds.procedural.animals import EYE
from pipelines.foregrounds.procedural.picture import Colour, Material, Parts, dimmed
from pipelines.foregrounds.procedural.shapes import Field, box, ellipse, join, limb, minus, path, polygon, symmetric

SKINS: tuple[Colour, ...] = (
    (0.96, 0.8, 0.69),
    (0.88, 0.67, 0.52),
    (0.72, 0.5, 0.36),
    (0.5, 0.33, 0.23),
    (0.36, 0.24, 0.17),
)
HAIRS: tuple[Colour, ...] = (
    (0.1, 0.08, 0.07),
    (0.3, 0.19, 0.11),
    (0.55, 0.36, 0.17),
    (0.82, 0.66, 0.36),
    (0.5, 0.2, 0.1),
)
CLOTHS: tuple[Colour, ...] = (
    (0.7, 0.16, 0.16), (0.16, 0.33, 0.62), (0.2, 0.48, 0.32), (0.86, 0.72, 0.3), (0.44, 0.26, 0.5),
    (0.85, 0.84, 0.8), (0.2, 0.2, 0.24), (0.85, 0.48, 0.35), (0.3, 0.55, 0.62), (0.48, 0.36, 0.26),
)  # fmt: skip
WHITE, BLACK, NAVY, TAN = (0.93, 0.93, 0.92), (0.11, 0.11, 0.13), (0.13, 0.17, 0.34), (0.72, 0.6, 0.38)


@dataclass(frozen=True)
class Dress:
    """The clothes of a profession: (upper, lower) colour, hat kind and its colour, and an extra."""

    upper: Colour
    lower: Colour
    hat: str = ""
    hat_colour: Colour = BLACK
    extra: str = ""


DRESSES = {
    "businessman": Dress((0.2, 0.22, 0.28), (0.2, 0.22, 0.28), extra="tie"),
    "policeman": Dress((0.16, 0.22, 0.42), NAVY, "cap", NAVY, "badge"),
    "fireman": Dress((0.75, 0.58, 0.16), (0.25, 0.22, 0.18), "helmet", (0.75, 0.1, 0.08), "bands"),
    "chef": Dress(WHITE, (0.3, 0.3, 0.33), "toque", WHITE, "buttons"),
    "doctor": Dress(WHITE, (0.3, 0.4, 0.5), extra="coat"),
    "construction": Dress((0.95, 0.48, 0.1), (0.22, 0.27, 0.4), "helmet", (0.96, 0.8, 0.15), "bands"),
    "nurse": Dress((0.35, 0.65, 0.72), (0.35, 0.65, 0.72), "cap", WHITE, "badge"),
    "pilot": Dress(WHITE, NAVY, "cap", NAVY, "tie"),
    "farmer": Dress((0.72, 0.2, 0.16), (0.22, 0.34, 0.56), "straw", (0.86, 0.72, 0.4), "bib"),
    "soldier": Dress((0.33, 0.37, 0.22), (0.33, 0.37, 0.22), "helmet", (0.28, 0.32, 0.2), "badge"),
    "waiter": Dress(BLACK, BLACK, extra="tie"),
    "mechanic": Dress((0.2, 0.33, 0.55), (0.2, 0.33, 0.55), "cap", (0.2, 0.3, 0.5), "bib"),
}


def person(rng: np.random.Generator, text: str) -> Parts:
    """A standing figure from the front."""
    known = [name for name in DRESSES if name in text]
    upper, lower = (CLOTHS[i] for i in rng.choice(len(CLOTHS), 2, replace=False))
    dress = DRESSES[known[0]] if known else Dress(upper, lower)
    woman = any(word in text for word in ("woman", "girl", "nurse"))
    child = any(word in text for word in ("boy", "girl", "toddler"))
    wide = 0.82 if "slim" in text else 1.25 if "stout" in text else 1.1 if "athletic" in text else 1.0
    wide *= rng.uniform(0.95, 1.06) * (0.92 if woman else 1.0)
    skin = Material(SKINS[rng.integers(len(SKINS))], 0.1, 0.1, 0.06, shadow=0.25)
    hair = Material(HAIRS[rng.integers(len(HAIRS))], 0.1, 0.3, 0.35, 0.012, shadow=0.2)
    if "old" in text or "elder" in text:
        hair = replace(hair, colour=(0.78, 0.77, 0.75))
    head = 0.135 * (1.3 if child else 0.95 if "tall" in text else 1.0)
    neck_y = -0.62 + (0.14 if child else 0.0)
    skirt = woman and not known and rng.uniform() < 0.6
    cloth = Material(dress.lower, 0.1, 0.05, 0.12, pattern="folds", second=dimmed(dress.lower, 0.82))
    yield from _legs(rng, wide, skin, cloth, skirt)
    if woman and "girl" not in text:
        mane = join(ellipse(0, neck_y - 0.1, head * 1.15, head * 1.2), box(0, neck_y + 0.08, head * 1.1, 0.16, 0.06))
        yield mane, hair
    cloth = Material(dress.upper, 0.14, 0.05, 0.12, pattern="folds", second=dimmed(dress.upper, 0.82))
    yield limb((0, neck_y - 0.05), (0, neck_y + 0.1), 0.06, 0.075), skin
    yield from _torso(rng, wide, neck_y, skin, cloth, skirt, dress.extra)
    yield from _head(rng, (0.0, neck_y - head * 0.95), head, skin, hair, dress)


def _legs(rng: np.random.Generator, wide: float, skin: Material, cloth: Material, skirt: bool) -> Parts:
    stand = rng.uniform(0.1, 0.2)
    leather = Material((0.16, 0.12, 0.1), 0.05, 0.4)
    for side in (-1, 1):
        hip, knee, foot = (0.095 * side * wide, 0.12), (side * (0.09 + stand) / 2, 0.5), (side * stand, 0.84)
        thick = (0.085, 0.06, 0.045) if skirt else (0.115 * wide, 0.085, 0.07)
        shape = join(limb(hip, knee, *thick[:2]), limb(knee, foot, *thick[1:]), smooth=0.04)
        yield ellipse(foot[0] + 0.03 * side, 0.88, 0.085, 0.05), leather
        yield shape, skin if skirt else cloth
    if skirt:
        hem = 0.24 * wide + rng.uniform(0.0, 0.08)
        yield polygon([(-0.15 * wide, 0.0), (0.15 * wide, 0.0), (hem, 0.45), (-hem, 0.45)], 0.03), cloth


def _torso(rng: np.random.Generator, wide: float, top: float, skin: Material, cloth: Material,
           skirt: bool, extra: str) -> Parts:  # fmt: skip
    shoulder, waist = 0.235 * wide, 0.165 * wide
    hem = (waist + 0.07, 0.42) if extra == "coat" else (waist + 0.02, 0.16)
    outline = symmetric([(0.08, top + 0.06), (shoulder, top + 0.14), (waist, 0.02), hem])
    for side in (-1, 1):
        out, lift = rng.uniform(0.06, 0.17), rng.uniform(-0.05, 0.06)
        joint, elbow = (side * (shoulder - 0.01), top + 0.17), (side * (shoulder + out), -0.14 + lift)
        hand = (side * (shoulder + out + rng.uniform(-0.08, 0.05)), 0.12 + lift)
        yield limb(elbow, hand, 0.05, 0.04), skin
        yield ellipse(hand[0], hand[1] + 0.04, 0.048, 0.07), skin
        ends = 0.35 if skirt else 0.88
        cuff = (elbow[0] + (hand[0] - elbow[0]) * ends, elbow[1] + (hand[1] - elbow[1]) * ends)
        yield path([joint, elbow, cuff], 0.08 * wide, 0.056), replace(cloth, bulge=0.07)
    yield polygon(outline, 0.035), cloth
    trim = Material(WHITE, 0.02, 0.1, 0.05, shadow=0.3)
    if extra in ("tie", "coat"):
        yield polygon([(-0.07, top + 0.06), (0.07, top + 0.06), (0.0, top + 0.36)], 0.01), trim
        tie = Material(CLOTHS[rng.integers(5)], 0.03, 0.2, shadow=0.3)
        yield polygon(symmetric([(0.022, top + 0.07), (0.035, top + 0.3), (0.0, top + 0.36)]), 0.006), tie
    if extra == "bands":
        for y in (top + 0.3, 0.02):
            yield box(0, y, waist + 0.03, 0.022, 0.015), replace(trim, colour=(0.9, 0.92, 0.75), gloss=0.5)
    if extra in ("badge", "buttons", "coat"):
        gold = Material((0.88, 0.72, 0.25), 0.02, 0.8, shadow=0.3)
        yield ellipse(0.09, top + 0.24, 0.026, 0.03), gold
        for y in (top + 0.3, top + 0.42, top + 0.54) if extra != "badge" else ():
            yield ellipse(0, y, 0.016, 0.016), replace(gold, colour=(0.3, 0.3, 0.33))
    if extra == "bib":
        denim = Material((0.22, 0.34, 0.56), 0.05, 0.05, 0.2)
        straps = [path([(s * 0.13, top + 0.09), (s * 0.1, top + 0.36)], 0.024) for s in (-1, 1)]
        yield join(box(0, -0.06, waist - 0.02, 0.2, 0.03), *straps), denim
    if extra in ("", "badge", "buttons", "bands", "bib"):
        yield box(0, 0.14, waist + 0.03, 0.022, 0.015), Material((0.2, 0.14, 0.1), 0.02, 0.4, shadow=0.2)


def _head(rng: np.random.Generator, at: tuple[float, float], r: float, skin: Material, hair: Material,
          dress: Dress) -> Parts:  # fmt: skip
    x, y = at
    for side in (-1, 1):
        yield ellipse(side * 0.82 * r, y + 0.05 * r, 0.16 * r, 0.24 * r), skin
    skull = join(ellipse(x, y, 0.82 * r, r), ellipse(x, y + 0.5 * r, 0.55 * r, 0.58 * r), smooth=0.03)
    yield skull, replace(skin, bulge=0.13)
    face = ellipse(x, y + 0.45 * r, 0.74 * r, rng.uniform(0.85, 1.0) * r)
    yield minus(ellipse(x, y - 0.12 * r, 0.95 * r, 1.02 * r), face), hair
    for side in (-1, 1):
        yield ellipse(side * 0.32 * r, y + 0.05 * r, 0.1 * r, 0.07 * r), EYE
        yield box(side * 0.33 * r, y - 0.14 * r, 0.16 * r, 0.03 * r, 0.02 * r), replace(hair, fur=0.0, shadow=0.0)
    yield limb((0, y + 0.1 * r), (0, y + 0.3 * r), 0.05 * r, 0.1 * r), replace(skin, bulge=0.03, shadow=0.2)
    yield ellipse(0, y + 0.6 * r, 0.24 * r, 0.06 * r), Material((0.66, 0.3, 0.28), 0.02, 0.2, shadow=0.1)
    top = y - 0.45 * r
    hats: dict[str, Field] = {
        "cap": join(box(0, top - 0.25 * r, 0.98 * r, 0.34 * r, 0.2 * r),
                    ellipse(0, top + 0.08 * r, 0.95 * r, 0.17 * r), smooth=0.02),
        "helmet": join(minus(ellipse(0, top + 0.05 * r, 1.08 * r, 0.95 * r), box(0, top + 1.1 * r, 2 * r, r, 0.01)),
                       ellipse(0, top + 0.08 * r, 1.25 * r, 0.15 * r), smooth=0.03),
        "toque": join(box(0, top - 0.25 * r, 0.8 * r, 0.45 * r, 0.1 * r),
                      *(ellipse(dx * r, top - 0.75 * r, 0.5 * r, 0.42 * r) for dx in (-0.5, 0, 0.5)), smooth=0.03),
        "straw": join(ellipse(0, top + 0.05 * r, 1.75 * r, 0.24 * r),
                      box(0, top - 0.35 * r, 0.8 * r, 0.45 * r, 0.25 * r), smooth=0.05),
    }  # fmt: skip
    if dress.hat:
        yield hats[dress.hat], Material(dress.hat_colour, 0.1, 0.3, 0.12)
