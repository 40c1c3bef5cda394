"""Finds annotation and photograph files on disk, without reading them.

MuLAn's archive unpacks to `<image id>.p.zl` files in folders of any name. Most annotate COCO 2017, whose photographs
are in `train2017/` and `val2017/`, and both are used; the others annotate LAION-Aesthetics, whose photographs are in
`laion/`. The id shows the part: COCO's have 12 digits, LAION's are img2dataset's keys of 9.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from decoupage.faults import BadItem, BadSetup
from decoupage.text_files import printable

SUFFIX = ".p.zl"
Subset = Literal["train2017", "val2017", "laion"]
COCO_SUBSETS: tuple[Subset, ...] = ("train2017", "val2017")
Part = Literal["coco", "laion", "other"]
"""`other`: an id of neither form; its photograph is searched for among COCO's."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORMS: dict[Part, re.Pattern[str]] = {"coco": re.compile(r"[0-9]{12}"), "laion": re.compile(r"[0-9]{9}")}


def part_of(id: str) -> Part:
    """The part of MuLAn that an id belongs to."""
    return next((part for part, form in _FORMS.items() if form.fullmatch(id)), "other")


def key_of(id: str) -> str:
    """One name for (part, id), unique over all parts: COCO's ids unchanged, others prefixed with the part."""
    part = part_of(id)
    return id if part == "coco" else f"{part}-{id}"


@dataclass(frozen=True)
class AnnotationFile:
    """One annotation on disk.

    Attributes:
        id: its name without the suffix, as it may be printed; with its folder where UTF-8 cannot hold that.
        first_with_id: an earlier file of the same part and id, which is used; this one is then refused.
    """

    id: str
    path: Path
    first_with_id: Path | None = None

    @property
    def part(self) -> Part:
        """The part of MuLAn that it belongs to."""
        return part_of(self.id)

    @property
    def key(self) -> str:
        """Its name that is unique over all parts, as `key_of` gives it."""
        return key_of(self.id)

    def check(self) -> None:
        """Raises BadItem `bad_name` or `duplicate_id`."""
        if not _ID.fullmatch(self.id):
            raise BadItem("bad_name", f"{self.id}: an id has letters, digits, - and _, at most 64; folders are UTF-8")
        if self.first_with_id is not None:
            raise BadItem("duplicate_id", printable(f"{self.path} has the id of {self.first_with_id}"))


@dataclass(frozen=True)
class Photograph:
    """One photograph on disk, and its folder: a half of COCO 2017, or LAION's."""

    path: Path
    subset: Subset


def find_annotations(folder: Path) -> Iterator[AnnotationFile]:
    """All annotation files under a folder, in order of folder and name; only keys are kept in memory.

    Raises:
        BadSetup: the folder does not exist or cannot be listed.
    """
    if not folder.is_dir():
        raise BadSetup(f"there is no folder {folder}; unpack MuLAn's archive (unrar x mulan.part001.rar) and name it")
    seen: dict[str, str] = {}
    for parent, folders, names in os.walk(folder, onerror=_stop):
        folders.sort()
        for name in sorted(names):
            if name.endswith(SUFFIX):
                id = _printable_id(os.path.relpath(parent, folder), name.removesuffix(SUFFIX))
                key = key_of(id)
                first = seen.setdefault(key, parent)
                duplicate = None if first == parent else Path(first, name)
                yield AnnotationFile(id, Path(parent, name), duplicate)


def _printable_id(folder: str, stem: str) -> str:
    """The id of a file as a table can hold it; escaped text has a backslash or a slash, and so is not an id."""
    return printable(stem if is_utf8(folder) else f"{folder}/{stem}")


def is_utf8(text: str) -> bool:
    """False for the name of a file or folder that is in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stop(error: OSError) -> None:
    """Stops, because os.walk skips folders that it cannot list, which would look like a smaller dataset."""
    raise BadSetup(f"{error.filename} cannot be listed: {error.strerror}") from error


def find_photograph(images: Path, id: str) -> Photograph:
    """The photograph of an annotation. Raises BadItem `missing_image`."""
    subsets = subsets_of(id)
    for subset in subsets:
        path = images / subset / f"{id}.jpg"
        if path.is_file():
            return Photograph(path, subset)
    raise BadItem("missing_image", printable(f"{images} holds no {id}.jpg in {' or '.join(subsets)}"))


def subsets_of(id: str) -> tuple[Subset, ...]:
    """The folders that may hold an annotation's photograph."""
    return ("laion",) if part_of(id) == "laion" else COCO_SUBSETS


def check_images(images: Path) -> None:
    """Raises BadSetup when no folder of photographs exists."""
    names = (*COCO_SUBSETS, "laion")
    if not any((images / subset).is_dir() for subset in names):
        raise BadSetup(
            f"{images} holds neither {names[0]}/ nor {names[1]}/, the folders of COCO 2017's pictures, nor {names[2]}/"
        )
