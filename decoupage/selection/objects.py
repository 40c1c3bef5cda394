"""The objects of a picture that somebody wants, front to back, each with its mask and how it was pointed out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from decoupage.images.reading import Picture
from decoupage.images.types import Mask, Rgb
from decoupage.inputs import read_mask
from decoupage.results import text_of
from decoupage.selection.classical import NAME as GRABCUT
from decoupage.selection.classical import cut_box, cut_points
from decoupage.selection.nets import DETECTOR, Detector, Segmenter
from decoupage.selection.said import Box, Point


@dataclass(frozen=True)
class Wanted:
    """What the options of a command say; exactly one kind of them.

    Attributes:
        masks: files; boxes: as `Box.parse` takes them; texts: words; each is one object, front to back.
        points: as `Point.parse` takes them, all of one object.
        refine: draw what is in a box to its outline.
        segmenter: folder or Hub repository of a SAM 2, which then makes masks in place of GrabCut.
        detector: folder or Hub repository of a Grounding DINO, which finds words; None = `DETECTOR`.
    """

    masks: Sequence[Path] = ()
    boxes: Sequence[str] = ()
    points: Sequence[str] = ()
    texts: Sequence[str] = ()
    refine: bool = False
    segmenter: str | None = None
    detector: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where nothing is said, or more than one thing, or what does not go together."""
        kinds = {"--mask": self.masks, "--box": self.boxes, "--point": self.points, "--text": self.texts}
        said = [name for name, values in kinds.items() if values]
        if len(said) != 1:
            *most, last = kinds
            got = " and ".join(said) or "none of them"
            raise ValueError(f"an object is pointed out by {', '.join(most)} or {last}: give one kind, got {got}")
        if self.refine and not self.boxes:
            raise ValueError(f"--refine draws what is in a --box to its outline; it does not go with {said[0]}")
        if self.segmenter and self.masks:
            raise ValueError("--segmenter makes masks of a --box, --point or --text; it does not go with --mask")
        if any(not any(letter.isalnum() for letter in text) for text in self.texts):
            raise ValueError("--text must name the object in words")


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


@dataclass(frozen=True)
class Selection:
    """Finds wanted objects in one picture or many; networks are loaded when they are first asked."""

    wanted: Wanted
    device: str = "cpu"

    def __call__(self, picture: Picture) -> list[Selected]:
        """The objects of a picture, front to back.

        Raises:
            ValueError: a mask, box, point or text cannot be used, or weights are not here; the message says which.
            BadSetup: weights of another network.
        """
        wanted, rgb = self.wanted, picture.rgb
        boxes, points = [Box.parse(text) for text in wanted.boxes], tuple(Point.parse(text) for text in wanted.points)
        found = [Selected(path.stem, read_mask(path, picture), {"mask": text_of(path)}) for path in wanted.masks]
        for box in boxes:
            inside, said = box.within(picture.size), {"box": str(box)}
            is_drawn = wanted.refine or wanted.segmenter
            found.append(self._in_box(rgb, inside, "box", said) if is_drawn else _filled(inside, picture, said))
        if points:
            said_points = {"points": [str(point) for point in points]}
            segmenter = self._segmenter
            mask = cut_points(rgb, points) if segmenter is None else segmenter.of_points(rgb, points)
            found.append(Selected("point", mask, said_points, self._by))
        for text in wanted.texts:
            box = self._detector.of_text(rgb, text)
            said_words = {"text": text, "box": str(box), "box_by": self._detector.name}
            found.append(self._in_box(rgb, box, text, said_words))
        return found

    def _in_box(self, rgb: Rgb, box: Box, name: str, said: dict[str, Any]) -> Selected:
        segmenter = self._segmenter
        mask = cut_box(rgb, box) if segmenter is None else segmenter.of_box(rgb, box)
        return Selected(name, mask, said, self._by)

    @property
    def _by(self) -> str:
        return GRABCUT if self._segmenter is None else self._segmenter.name

    @cached_property
    def _segmenter(self) -> Segmenter | None:
        return Segmenter.load(self.wanted.segmenter, self.device) if self.wanted.segmenter else None

    @cached_property
    def _detector(self) -> Detector:
        return Detector.load(self.wanted.detector or DETECTOR, self.device)


def _filled(box: Box, picture: Picture, said: dict[str, Any]) -> Selected:
    return Selected("box", box.mask(picture.size), said)
