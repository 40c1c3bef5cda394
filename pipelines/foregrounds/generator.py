"""What a generator of foregrounds is. The generators have their own packages; `generated_stage.py` chooses one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from decoupage.faults import BadItem
from decoupage.fingerprint import Recipe
from decoupage.images.types import Rgba
from pipelines.foregrounds.prompts import Prompt


@dataclass(frozen=True)
class Request:
    """One picture to generate: the `index`-th of its prompt."""

    id: str
    prompt: Prompt
    index: int
    seed: int


class ForegroundGenerator(Protocol):
    """Gives one complete object on a transparent canvas. Picklable; may load its weights on first use."""

    @property
    def name(self) -> str:
        """Source of its foregrounds in the catalogue, e.g. `rendered`; letters, digits and `-`."""
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
        """[height, width, 4] straight alpha; the same prompt and seed give the same bytes.

        Raises:
            BadItem: nothing usable came out of this prompt and seed.
        """
        ...


@runtime_checkable
class BatchGenerator(ForegroundGenerator, Protocol):
    """A generator whose pictures are expensive: it takes several at once, and what it gives is kept."""

    def batch_size(self) -> int:
        """How many pictures it takes at once, here and now."""
        ...

    def check(self) -> None:
        """Look for all it needs, without loading it. Raises BadSetup when something is not here."""
        ...

    def digests(self) -> dict[str, str]:
        """SHA-256 of its weights, by name."""
        ...

    def generate_many(self, requests: Sequence[Request]) -> list[Rgba | BadItem]:
        """One result for each request; a bad one does not spoil the others."""
        ...
