"""Where annotations and photographs lie: finds the files, and knows nothing of what is in them.

MuLAn's archive unpacks to `<image id>.p.zl` files in folders of any name; photographs are COCO 2017's, in
`train2017/` and `val2017/`, and both are used.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.faults import BadItem, BadSetup

SUFFIX = ".p.zl"
Subset = Literal["train2017", "val2017"]
SUBSETS: tuple[Subset, ...] = ("train2017", "val2017")

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class AnnotationFile:
    """One annotation on disk.

    Attributes:
        id: its name without the suffix; for COCO 12 digits.
        first_with_id: another file of the same id that came before; that one counts, this one is a fault.
    """

    id: str
    path: Path
    first_with_id: Path | None = None

    def check(self) -> None:
        """Raises BadItem `bad_name` or `duplicate_id`."""
        if not _ID.fullmatch(self.id):
            raise BadItem("bad_name", f"{self.path.name!r}: an id has letters, digits, - and _, at most 64")
        if self.first_with_id is not None:
            raise BadItem("duplicate_id", f"{self.path} has the id of {self.first_with_id}")


@dataclass(frozen=True)
class Photograph:
    """One photograph on disk, and the half of COCO 2017 it belongs to."""

    path: Path
    subset: Subset


def find_annotations(folder: Path) -> Iterator[AnnotationFile]:
    """All annotations under a folder, by folder and name; only ids are kept in memory.

    Raises:
        BadSetup: there is no such folder.
    """
    if not folder.is_dir():
        raise BadSetup(f"there is no folder {folder}; unpack MuLAn's archive (unrar x mulan.part001.rar) and name it")
    seen: dict[str, str] = {}
    for parent, folders, names in os.walk(folder, onerror=_stop):
        folders.sort()
        for name in sorted(names):
            if name.endswith(SUFFIX):
                id = name.removesuffix(SUFFIX)
                first = seen.setdefault(id, parent)
                duplicate = None if first == parent else Path(first, name)
                yield AnnotationFile(id, Path(parent, name), duplicate)


def _stop(error: OSError) -> None:
    """os.walk passes over folders that it cannot list, which would look like a smaller dataset."""
    raise BadSetup(f"{error.filename} cannot be listed: {error.strerror}") from error


def find_photograph(images: Path, id: str) -> Photograph:
    """The photograph of an annotation. Raises BadItem `missing_image`."""
    for subset in SUBSETS:
        path = images / subset / f"{id}.jpg"
        if path.is_file():
            return Photograph(path, subset)
    raise BadItem("missing_image", f"{id}.jpg is neither in {images / SUBSETS[0]} nor in {SUBSETS[1]}")


def check_images(images: Path) -> None:
    """Raises BadSetup when neither half of COCO 2017 is there."""
    if not any((images / subset).is_dir() for subset in SUBSETS):
        raise BadSetup(f"{images} holds neither {SUBSETS[0]}/ nor {SUBSETS[1]}/, the folders of COCO 2017's pictures")
