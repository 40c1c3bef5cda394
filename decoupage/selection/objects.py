"""The objects of a picture that somebody wants, front to back, each with its mask and how it was pointed out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoupage.images.reading import Picture
from decoupage.images.types import Mask
from decoupage.inputs import read_mask
from decoupage.results import text_of
from decoupage.selection.classical import NAME as GRABCUT
from decoupage.selection.classical import cut_box, cut_points
from decoupage.selection.everything import find_everything
from decoupage.selection.nets import DETECTOR, SEGMENTER, Detector, Segmenter
from decoupage.selection.said import Box, Point


@dataclass(frozen=True)
class Wanted:
    """What the options of a command say of one picture; exactly one kind of them.

    Attributes:
        masks: files; boxes: as `Box.parse` takes them; texts: words; each is one object, front to back.
        points: as `Point.parse` takes them, all of one object.
        everything: all objects that the segmenter finds.
        refine: draw what is in a box to its outline.
    """

    masks: Sequence[Path] = ()
    boxes: Sequence[str] = ()
    points: Sequence[str] = ()
    texts: Sequence[str] = ()
    everything: bool = False
    refine: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError where nothing is said, or more than one thing, or what does not go together."""
        kinds = {
            "--mask": self.masks,
            "--box": self.boxes,
            "--point": self.points,
            "--text": self.texts,
            "--all": self.everything,
        }
        said = [name for name, values in kinds.items() if values]
        if len(said) != 1:
            *most, last = kinds
            got = " and ".join(said) or "none of them"
            raise ValueError(f"an object is pointed out by {', '.join(most)} or {last}: give one kind, got {got}")
        if self.refine and not self.boxes:
            raise ValueError(f"--refine draws what is in a --box to its outline; it does not go with {said[0]}")
        if any(not any(letter.isalnum() for letter in text) for text in self.texts):
            raise ValueError("--text must name the object in words")


@dataclass(frozen=True)
class Networks:
    """The networks that may be asked, each loaded when it is first needed.

    Attributes:
        segmenter: folder or Hub repository of a SAM 2, which then makes masks in place of GrabCut.
        detector: folder or Hub repository of a Grounding DINO, which finds words; None = `DETECTOR`.
        device: of torch.
    """

    segmenter: str | None = None
    detector: str | None = None
    device: str = "cpu"

    def load(self, *, texts: bool) -> None:
        """Load those that will be needed. Raises ValueError, BadSetup: weights are not here, or of another network."""
        _ = self.loaded_segmenter
        if texts:
            _ = self.loaded_detector

    @cached_property
    def loaded_segmenter(self) -> Segmenter | None:
        """None = GrabCut does it."""
        return Segmenter.load(self.segmenter, self.device) if self.segmenter else None

    @cached_property
    def loaded_detector(self) -> Detector:
        """What finds words."""
        return Detector.load(self.detector or DETECTOR, self.device)


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


def select(wanted: Wanted, picture: Picture, networks: Networks) -> list[Selected]:
    """The objects of a picture, front to back as they were said; of `everything`, the largest first.

    Raises:
        ValueError: a mask, box, point or text cannot be used, or weights are not here; the message says which.
        BadSetup: weights of another network.
    """
    if networks.segmenter and wanted.masks:
        raise ValueError("--segmenter makes masks of a --box, --point or --text; it does not go with --mask")
    if wanted.everything and not networks.segmenter:
        raise ValueError(f"--all needs --segmenter, a SAM 2 such as {SEGMENTER}: colours alone find no objects")
    rgb, segmenter = picture.rgb, networks.loaded_segmenter
    by = GRABCUT if segmenter is None else segmenter.name

    def in_box(box: Box, name: str, said: dict[str, Any]) -> Selected:
        return Selected(name, cut_box(rgb, box) if segmenter is None else segmenter.of_box(rgb, box), said, by)

    found = [Selected(path.stem, read_mask(path, picture), {"mask": text_of(path)}) for path in wanted.masks]
    for box in [Box.parse(text) for text in wanted.boxes]:
        inside, said = box.within(picture.size), {"box": str(box)}
        is_drawn = wanted.refine or segmenter is not None
        found.append(in_box(inside, "box", said) if is_drawn else Selected("box", inside.mask(picture.size), said))
    if points := tuple(Point.parse(text) for text in wanted.points):
        mask = cut_points(rgb, points) if segmenter is None else segmenter.of_points(rgb, points)
        found.append(Selected("point", mask, {"points": [str(point) for point in points]}, by))
    if wanted.everything and segmenter is not None:
        found += [Selected("object", mask, {"all": True}, by) for mask in find_everything(segmenter, rgb)]
    for text in wanted.texts:
        detector = networks.loaded_detector
        box = detector.of_text(rgb, text)
        found.append(in_box(box, text, {"text": text, "box": str(box), "box_by": detector.name}))
    return found


def front_to_back(objects: Sequence[Selected], depth_HW: NDArray[np.float32] | None, made_by: str) -> list[Selected]:
    """Order objects that were found all at once: the nearest first.

    Without a map of depth, that is the one whose lowest point is lowest: on level ground it stands nearest.

    Args:
        objects: of one picture.
        depth_HW: [H, W] of the picture's size, 1 = near; an object is as near as its median.
        made_by: what made that, for `layers.json`.
    """

    def nearness(selected: Selected) -> float:
        if depth_HW is not None:
            return float(np.median(depth_HW[selected.mask]))
        return float(np.flatnonzero(selected.mask.any(axis=1))[-1])

    order = f"depth by {made_by}" if depth_HW is not None else "lowest point"
    ordered = sorted(objects, key=nearness, reverse=True)
    return [
        replace(each, name=f"{each.name} {number}", said={**each.said, "ordered_by": order})
        for number, each in enumerate(ordered, 1)
    ]
