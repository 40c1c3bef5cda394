"""What a foreign test set gives: its images at their own size, and those that cannot be used with the reason.

`folders` and `mulan` read them; `listed` makes cases of them.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.cases import Case


@dataclass(frozen=True)
class Excluded:
    """An image of the set that cannot be judged on: its reason in one word of snake_case, and a sentence."""

    name: str
    reason: str
    detail: str


class Originals(Protocol):
    """The images of a test set."""

    @property
    def name(self) -> str:
        """In reports and folder names; snake_case."""
        ...

    @property
    def about(self) -> dict[str, Any]:
        """What a reader must know of the set; plain JSON values."""
        ...

    def read(self, names: Collection[str] | None = None) -> Iterator[Case | Excluded]:
        """The images in a fixed order, at their own size; of `names` only those so named, without decoding the others.

        A set says only what it knows: of the strata `source` (the set that an image comes from, or the part of it); the
        key is that of the scene, all of whose images have one background, and stands for the photograph too.

        Raises:
            BadSetup: the set is not there or holds nothing.
        """
        ...
