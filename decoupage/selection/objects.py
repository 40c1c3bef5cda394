"""The objects of a picture that somebody wants, front to back, each with its mask and how it was pointed out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoupage.images.reading import Picture
from decoupage.images.types import Mask
from decoupage.inputs import read_mask
from decoupage.results import text_of
from decoupage.selection.classical import NAME as GRABCUT
from decoupage.selection.classical import cut_box, cut_points
from decoupage.selection.said import Box, Point


@dataclass(frozen=True)
class Wanted:
    """What the options of a command say; exactly one kind of them.

    Attributes:
        masks: files; boxes: as `Box.parse` takes them; each is one object, front to back.
        points: as `Point.parse` takes them, all of one object.
        refine: draw what is in a box to its outline.
    """

    masks: Sequence[Path] = ()
    boxes: Sequence[str] = ()
    points: Sequence[str] = ()
    refine: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError where nothing is said, or more than one thing."""
        said = [
            name for name, values in (("--mask", self.masks), ("--box", self.boxes), ("--point", self.points)) if values
        ]
        if len(said) != 1:
            got = " and ".join(said) or "none of them"
            raise ValueError(f"an object is pointed out by --mask, --box or --point: give one kind, got {got}")
        if self.refine and not self.boxes:
            raise ValueError(f"--refine draws what is in a --box to its outline; it does not go with {said[0]}")


@dataclass(frozen=True)
class Selected:
    """One object.

    Attributes:
        name: of its layer.
        mask: [H, W].
        said: how it was pointed out, for `layers.json`.
        by: what made the mask of that; "" = it was given.
    """

    name: str
    mask: Mask
    said: dict[str, Any]
    by: str = ""


def select(wanted: Wanted, picture: Picture) -> list[Selected]:
    """The objects, front to back.

    Raises:
        ValueError: a mask, box or point cannot be used; the message names it.
    """
    boxes, points = [Box.parse(text) for text in wanted.boxes], tuple(Point.parse(text) for text in wanted.points)
    found = [Selected(path.stem, read_mask(path, picture), {"mask": text_of(path)}) for path in wanted.masks]
    for box in boxes:
        inside = box.within(picture.size)
        mask = cut_box(picture.rgb, inside) if wanted.refine else inside.mask(picture.size)
        found.append(Selected("box", mask, {"box": str(box)}, GRABCUT if wanted.refine else ""))
    if points:
        said = {"points": [str(point) for point in points]}
        found.append(Selected("point", cut_points(picture.rgb, points), said, GRABCUT))
    return found
