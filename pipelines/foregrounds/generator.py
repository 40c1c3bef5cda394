"""What a generator of foregrounds is, and which one a profile asks for. The generators have their own packages."""

from typing import Protocol

from pipelines.config import GeneratedConfig
from pipelines.fingerprint import Recipe
from pipelines.foregrounds.prompts import Prompt
from pipelines.images.types import Rgba


class ForegroundGenerator(Protocol):
    """Draws one complete object on a transparent canvas. Picklable; may load its weights on first use."""

    @property
    def name(self) -> str:
        """Source of its foregrounds in the catalogue, e.g. `procedural`; letters, digits and `-`."""
        ...

    @property
    def licence(self) -> str:
        """SPDX identifier (or the licence's name) of what it makes."""
        ...

    @property
    def attribution(self) -> str:
        """Whom to name."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Everything that decides its pictures, besides prompt and seed."""
        ...

    def generate(self, prompt: Prompt, seed: int) -> Rgba:
        """[size, size, 4] straight alpha; the same prompt and seed give the same bytes.

        Raises:
            BadItem: nothing usable came out of this prompt and seed.
        """
        ...


def make_generator(config: GeneratedConfig) -> ForegroundGenerator:
    """The generator that the profile names in `generated.generator`."""
    from pipelines.foregrounds.procedural.generator import ProceduralGenerator

    return ProceduralGenerator(config.size_px)
