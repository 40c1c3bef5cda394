"""What a foreign test set gives: its images at their own size, and those that cannot be used with the reason.

Where they come from is the business of `folders` and `mulan`; what becomes of them is `listed`'s.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from decoupage.images.types import Mask, Rgb, Rgba


@dataclass(frozen=True)
class Original:
    """One image of a test set, at its own size.

    Attributes:
        name: once in its set; usable as a file's name.
        key: of the scene, all of whose images have one background.
        origin: what the target was taken from; the image's name where the set does not say.
        source: the set it comes from, or the part of it.
        composite: [H, W, 3].
        mask: [H, W], what methods are given.
        visible: [H, W], truth: where the target shows.
        background: [H, W, 3], truth: the scene without the target.
        foreground: [H, W, 4], truth: the whole target; None = unknown.
        occluded_fraction: share of the target that is hidden, 0..1; None = unknown.
    """

    name: str
    key: str
    origin: str
    source: str
    composite: Rgb
    mask: Mask
    visible: Mask
    background: Rgb
    foreground: Rgba | None
    occluded_fraction: float | None


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

    def read(self, names: Collection[str] | None = None) -> Iterator[Original | Excluded]:
        """The images in a fixed order; of `names` only those so named, without decoding the others.

        Raises:
            BadSetup: the set is not there or holds nothing.
        """
        ...


def printable(name: str) -> bool:
    """Whether a foreign name can be an image's: it becomes the name of files, and stands in reports."""
    return 0 < len(name) <= 128 and name.isprintable() and name[0] not in ".-" and not set(name) & set("/\\")
