"""Drops photographs in which a network sees too many things: objects that nobody labelled may still be in the way.

`ade20k.csv` divides the 150 classes of the scene parsing benchmark as its panoptic task does: 100 kinds of things, 50
of stuff (sky, wall, water, ...). Names are those of the published SegFormer configurations; the division is that of
https://github.com/facebookresearch/Mask2Former, mask2former/data/datasets/register_ade20k_panoptic.py.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadItem, BadSetup
from decoupage.images.types import Gray, Rgb
from decoupage.maps.segformer import Segformer
from pipelines.backgrounds.reader import Item, PhotographReader
from pipelines.config import SegmentationConfig
from pipelines.library.records import BackgroundRecord
from pipelines.stages.run import Outcome


def make_labeller(max_share: float, config: SegmentationConfig) -> Segformer | None:
    """The segmentation network of the profile's maps; None where a picture may show things only.

    Raises:
        BadSetup: the profile's segmentation has no classes.
    """
    if max_share >= 1:
        return None
    if config.model != "segformer":
        raise BadSetup(
            f'backgrounds.max_thing_share = {max_share:g} needs maps.segmentation.model = "segformer", got '
            f'"{config.model}"; set one of them'
        )
    return Segformer(config)


@cache
def kinds() -> dict[str, str]:
    """Name of a class -> `thing` or `stuff`."""
    return {row["name"]: row["kind"] for row in _table()}


@cache
def supports() -> dict[str, str]:
    """Name of a class -> what it can carry, one of `pipelines.library.layout.SUPPORTS`; empty for nothing (ours)."""
    return {row["name"]: row["support"] for row in _table()}


def _table() -> list[dict[str, str]]:
    lines = (files(__package__) / "ade20k.csv").read_text().splitlines()
    return list(csv.DictReader(lines))


def is_thing(id2label: Mapping[int, str]) -> NDArray[np.bool_]:
    """[256] booleans: True where a label stands for a thing.

    Raises:
        BadSetup: a class is not one of ADE20K's.
    """
    table = np.zeros(256, np.bool_)
    for label, name in id2label.items():
        kind = kinds().get(name.strip().lower())
        if kind is None:
            raise BadSetup(
                f"backgrounds.max_thing_share needs a network with ADE20K's classes, which do not include {name!r}"
            )
        table[label] = kind == "thing"
    return table


def thing_share(labels_HW: Gray, things: NDArray[np.bool_]) -> float:
    """Share of a picture's pixels that are labelled as things, in [0, 1]."""
    return float(things[labels_HW].mean())


@dataclass(frozen=True)
class ThingFilter:
    """A `BatchTask` that reads photographs and drops those with too many things. The network sees them upright."""

    reader: PhotographReader
    labeller: Segformer
    max_share: float
    in_process: bool = True

    @property
    def batch_size(self) -> int:
        """The labeller's batch size."""
        return self.labeller.batch_size

    @cached_property
    def _things(self) -> NDArray[np.bool_]:
        return is_thing(self.labeller.id2label)

    def many(self, items: Sequence[Item]) -> list[Outcome | BadItem]:
        """One result for each item; a photograph with too many things is a BadItem `things`."""
        read = [self._read(item) for item in items]
        good = [found for found in read if not isinstance(found, BadItem)]
        upright = [np.ascontiguousarray(np.rot90(rgb, record.rotation_deg_ccw // 90)) for record, rgb in good]
        labels = iter(self.labeller.labels(upright) if upright else [])
        return [found if isinstance(found, BadItem) else self._judged(found[0], next(labels)) for found in read]

    def _read(self, item: Item) -> tuple[BackgroundRecord, Rgb] | BadItem:
        try:
            return self.reader.read(item)
        except BadItem as fault:
            return fault

    def _judged(self, record: BackgroundRecord, labels_HW: Gray) -> Outcome | BadItem:
        share = thing_share(labels_HW, self._things)
        if share > self.max_share:
            return BadItem("things", f"{record.path}: things cover {share:.2f} of it, at most {self.max_share}")
        return Outcome(rows=[asdict(record)])
