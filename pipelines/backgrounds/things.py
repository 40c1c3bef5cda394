"""Drops photographs in which a network sees too many salient objects, which the lists may not label.

`ade20k.csv` has the 150 classes of the scene parsing benchmark, by the names of the published SegFormer configurations.
`kind` divides them as the panoptic task does, into 100 kinds of things and 50 of stuff (sky, wall, water, ...):
https://github.com/facebookresearch/Mask2Former, mask2former/data/datasets/register_ade20k_panoptic.py. Things include
beds, doors and windows, so an empty room would be full of them. `salient` is our own choice of 28 things that people
would ask to have removed: people, animals, vehicles, and what is held, carried, worn, eaten or played with; not parts
of a building, furniture, appliances or what stands in a street (docs/sources.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadItem, BadSetup
from decoupage.images.types import Gray, Rgb
from decoupage.maps.segformer import Segformer
from decoupage.text_files import csv_rows, text_lines
from pipelines.backgrounds.reader import Item, PhotographReader
from pipelines.config import SegmentationConfig
from pipelines.library.records import BackgroundRecord
from pipelines.stages.run import Outcome


def make_labeller(max_share: float, config: SegmentationConfig) -> Segformer | None:
    """The segmentation network of the profile's maps; None where a picture may be covered by objects.

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
def classes() -> dict[str, dict[str, str]]:
    """Name of a class -> its row in `ade20k.csv`."""
    lines = text_lines((files(__package__) / "ade20k.csv").read_bytes(), "ade20k.csv")
    return {row["name"]: row for _, row in csv_rows(lines, "ade20k.csv")}


@cache
def supports() -> dict[str, str]:
    """Name of a class -> what it can carry, one of `pipelines.library.layout.SUPPORTS`; empty for nothing (ours)."""
    return {name: row["support"] for name, row in classes().items()}


def salient_names() -> list[str]:
    """The classes of salient objects."""
    return [name for name, row in classes().items() if row["salient"] == "yes"]


def is_salient(id2label: Mapping[int, str]) -> NDArray[np.bool_]:
    """[256] booleans: True where a label stands for a salient object.

    Raises:
        BadSetup: a class is not one of ADE20K's.
    """
    table = np.zeros(256, np.bool_)
    for label, name in id2label.items():
        row = classes().get(name.strip().lower())
        if row is None:
            raise BadSetup(
                f"backgrounds.max_thing_share needs a network with ADE20K's classes, which do not include {name!r}"
            )
        table[label] = row["salient"] == "yes"
    return table


def salient_share(labels_HW: Gray, salient: NDArray[np.bool_]) -> float:
    """Share of a picture's pixels that are labelled as salient objects, in [0, 1]."""
    return float(salient[labels_HW].mean())


@dataclass(frozen=True)
class ThingFilter:
    """A `BatchTask` that reads photographs and drops those full of salient objects; the network sees them upright."""

    reader: PhotographReader
    labeller: Segformer
    max_share: float
    in_process: bool = True

    @property
    def batch_size(self) -> int:
        """The labeller's batch size."""
        return self.labeller.batch_size

    @cached_property
    def _salient(self) -> NDArray[np.bool_]:
        return is_salient(self.labeller.id2label)

    def many(self, items: Sequence[Item]) -> list[Outcome | BadItem]:
        """One result for each item; a photograph with too much of salient objects is a BadItem `things`."""
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
        share = salient_share(labels_HW, self._salient)
        if share > self.max_share:
            detail = f"{record.path}: salient objects cover {share:.2f} of it, at most {self.max_share}"
            return BadItem("things", detail)
        return Outcome(rows=[asdict(record)])
