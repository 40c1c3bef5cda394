"""Picks the family of shapes that a prompt names, and draws it. The other files of this package hold the families."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from decoupage.fingerprint import Recipe
from decoupage.images.types import Rgba
from decoupage.randomness import generator
from pipelines.foregrounds.procedural import animals, clothes, devices, growths, people, things, traffic
from pipelines.foregrounds.procedural.picture import Parts, Picture
from pipelines.foregrounds.prompts import Prompt, categories

Draw = Callable[[np.random.Generator, str], Parts]
"""(rng, prompt text) -> the parts of one complete object."""

FAMILIES: dict[str, list[tuple[str, Draw]]] = {
    "animal": [
        ("parrot duck owl bird hen", animals.bird), ("fish", animals.fish),
        ("", animals.four_legged),
    ],
    "common object": [
        ("robot", devices.robot), ("bottle cup glass", things.vessel), ("banana", things.banana),
        ("ball bubble balloon", things.ball),
        ("", things.fruit),
    ],
    "complex object": [
        ("brain", growths.brain), ("pinecone grape", growths.scaled), ("jellyfish", growths.jellyfish),
        ("flower rose", growths.flower), ("fern feather", growths.frond),
        ("robot", devices.robot), ("", growths.branches),
    ],
    "machine": [("gear engine clockwork", devices.gears), ("", devices.appliance)],
    "human": [("", people.person)],
    "profession": [("", people.person)],
    "household": [
        ("lamp", things.lamp), ("vase teapot bowl", things.vessel), ("armchair sofa loveseat", things.seat),
        ("", things.furniture),
    ],
    "clothes": [
        ("pants shorts trousers jeans", clothes.trousers), ("scarf veil skirt", clothes.drape),
        ("hat cap", clothes.headwear), ("", clothes.top),
    ],
    "sci-fi objects": [
        ("saucer drone", devices.saucer), ("shield orb field", devices.orb), ("robot android", devices.robot),
        ("rocket capsule starship", devices.rocket), ("", devices.gun),
    ],
    "traffic objects": [
        ("bus van truck ambulance", traffic.long_vehicle), ("motorcycle bicycle scooter", traffic.bike),
        ("light", traffic.signal), ("cone", traffic.cone), ("", traffic.car),
    ],
}  # fmt: skip
"""Category -> (words, family that they select); the last family of a category takes all other prompts."""
SEE_THROUGH = "glass crystal bubble ghost sheer veil jellyfish shield orb field hologram"
ALPHA = 0.5
"""Alpha of a flat piece of a see-through object."""
VERSION = 2
"""Raised whenever a drawing changes: it is part of the recipe."""


@dataclass(frozen=True)
class ProceduralGenerator:
    """Draws objects from shapes: a stand-in for a generative model, named as such wherever its pictures appear."""

    size_px: int
    name: str = "procedural"
    licence: str = "cc0-1.0"
    attribution: str = "decoupage procedural generator"

    @property
    def recipe(self) -> Recipe:
        """Everything besides prompt and seed that decides a picture."""
        return {"generator": self.name, "version": VERSION, "size_px": self.size_px}

    def generate(self, prompt: Prompt, seed: int) -> Rgba:
        """Draw the object of a prompt. Raises ValueError for a category that is not built in."""
        if prompt.category not in FAMILIES:
            raise ValueError(f"the procedural generator draws {', '.join(categories())}; got {prompt.category!r}")
        rng = generator(seed, "foregrounds/procedural", f"{prompt.category}/{prompt.text}")
        text = prompt.text.lower()
        clear = any(word in text for word in SEE_THROUGH.split())
        picture = Picture(self.size_px, rng, alpha=ALPHA if clear else 1.0)
        families = FAMILIES[prompt.category]
        draw = next(draw for words, draw in families if not words or any(word in text for word in words.split()))
        for shape, material in draw(rng, text):
            picture.paint(shape, material)
        return picture.rgba()
