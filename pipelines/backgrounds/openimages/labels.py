"""The image labels that people confirmed: which images show a scene, and which an object in the way."""

import csv
import logging
import zlib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decoupage.faults import BadSetup
from decoupage.text_files import decoded_lines, listed_lines, printable
from pipelines.backgrounds.openimages.candidates import Candidates
from pipelines.backgrounds.openimages.table import parse_ids, places_of, stream

log = logging.getLogger(__name__)
_MAX_SCENES = 64
_LABEL_AND_NAME = 2


@cache
def class_names(file: str) -> tuple[str, ...]:
    """The class names in `scenes.txt` or `objects.txt`, in lower case; `#` starts a comment."""
    names = tuple(line.lower() for line in listed_lines((files(__package__) / file).read_bytes(), file))
    assert len(set(names)) == len(names), f"{file} names a class twice"
    assert file != "scenes.txt" or len(names) <= _MAX_SCENES, "scenes are kept as 64 bits"
    return names


def read_classes(path: Path) -> dict[str, list[str]]:
    """Read the class descriptions: name in lower case -> labels (`/m/...`), with or without a header line.

    Raises:
        BadSetup: the file is not a table of labels and names.
    """
    found: dict[str, list[str]] = {}
    try:
        with fsspec.open(str(path), "rb", compression="infer") as file:
            for number, line in decoded_lines(file, str(path)):
                row = next(csv.reader([line], strict=True), [])
                if row and row[0].startswith("/"):
                    if len(row) < _LABEL_AND_NAME:
                        raise BadSetup(f"{path}, line {number}: the label {printable(row[0])} has no name")
                    found.setdefault(row[1].strip().lower(), []).append(row[0])
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise BadSetup(f"{path} cannot be read ({error})") from error
    if not found:
        raise BadSetup(f"{path} must have lines `/m/...,name`, and has none")
    return found


def with_labels(candidates: Candidates, path: Path, classes: dict[str, list[str]]) -> Candidates:
    """Fill in `scenes` and `has_object` from the human-verified labels (columns ImageID, LabelName, Confidence).

    Raises:
        BadSetup: the list cannot be read, or the class descriptions have none of our scenes or none of our objects.
    """
    of_scenes, of_objects = _labels("scenes.txt", classes), _labels("objects.txt", classes)
    of_interest = pa.array([label for label, _ in of_scenes + of_objects])
    # The bit of each label's scene; labels of objects follow.
    scene_bits = np.uint64(1) << np.array([place for _, place in of_scenes], np.uint64)
    columns = {"ImageID": pa.string(), "LabelName": pa.string(), "Confidence": pa.float32()}
    scenes, has_object = candidates.scenes.copy(), candidates.has_object.copy()
    for block in stream(path, columns):
        known = pc.index_in(block["LabelName"], value_set=of_interest).fill_null(-1).to_numpy()
        # 1 = a person confirmed the class, 0 = a person denied it.
        seen = (known >= 0) & (block["Confidence"].fill_null(0).to_numpy() > 0.5)
        ids, good = parse_ids(block["ImageID"])
        rows = np.flatnonzero(seen & good)
        places = places_of(ids[rows], candidates.ids)
        known, places = known[rows][places >= 0], places[places >= 0]
        is_scene = known < len(scene_bits)
        np.bitwise_or.at(scenes, places[is_scene], scene_bits[known[is_scene]])
        has_object[places[~is_scene]] = True
    return replace(candidates, scenes=scenes, has_object=has_object)


def _labels(file: str, classes: dict[str, list[str]]) -> list[tuple[str, int]]:
    """(label, position of its name in the file) of all names that the descriptions have."""
    names = class_names(file)
    found = [(label, place) for place, name in enumerate(names) for label in classes.get(name, ())]
    absent = [name for name in names if name not in classes]
    if not found:
        raise BadSetup(f"the class descriptions have no class of {file}; they belong to another dataset")
    if absent:
        log.info("the class descriptions lack %d names of %s: %s", len(absent), file, ", ".join(absent))
    return found


def scene_names(bits: int) -> list[str]:
    """Names of the scene classes in one image's bits."""
    return [name for i, name in enumerate(class_names("scenes.txt")) if int(bits) >> i & 1]
