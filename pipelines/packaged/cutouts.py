"""The rendered cutouts: those in the package, by their table, and those of a folder with more files of their kind.

A file is named after the code points of its emoji, joined by `-`, as the npm package @lobehub/fluent-emoji-3d names
them: `1f400.webp`. The generator that hands them out is `pipelines.foregrounds.rendered`.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgba
from decoupage.images.types import Rgba
from decoupage.text_files import csv_rows, text_lines

FOLDER = Path(__file__).with_name("pictures") / "cutouts"
TABLE = "cutouts.csv"
COLUMNS = ("file", "name", "category", "sha256")
OTHER_CATEGORY = "common object"
"""Category of pictures that the table does not name."""
_CODE_POINTS = re.compile(r"[0-9a-f]{4,6}(-[0-9a-f]{4,6})*")
_UNSPOKEN = ("200d", "fe0f")
"""The joiner and the selector of coloured pictures: parts of a sequence without a meaning of their own."""


@dataclass(frozen=True)
class Cutout:
    """One rendered object.

    Attributes:
        path: its file, WebP with alpha.
        name: what it shows, a plain noun; unique.
        category: one of the prompts' categories, or a further one such as `bird`.
        sha256: of the file; empty where the table does not name it.
    """

    path: Path
    name: str
    category: str
    sha256: str = ""

    def read(self) -> Rgba:
        """The picture, [H, W, 4], straight alpha.

        Raises:
            BadItem: the file is damaged, has no alpha, or is another picture than the package holds under its name.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise BadItem("unreadable", f"{self.path}: {error.strerror}") from error
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256:
            raise BadItem("other_picture", f"{self.path} is not the picture that {TABLE} names {self.name!r}")
        return decode_rgba(data, needs_alpha=True)


@cache
def packaged_cutouts() -> tuple[Cutout, ...]:
    """The cutouts in the package, in the order of their table."""
    lines = text_lines((FOLDER / TABLE).read_bytes(), TABLE)
    return tuple(
        Cutout(FOLDER / row["file"], row["name"], row["category"], row["sha256"])
        for _, row in csv_rows(lines, TABLE, COLUMNS)
    )


def cutouts_of(folder: str) -> tuple[Cutout, ...]:
    """The cutouts of `generated.rendered_folder`, by file name; the packaged ones where it is empty.

    Files that the table names have their names from it; the names of others are those of their code points.

    Raises:
        BadSetup: the folder does not exist, or holds no such picture, or one with another kind of name.
    """
    if not folder:
        return packaged_cutouts()
    place = Path(folder)
    if not place.is_dir():
        raise BadSetup(f"generated.rendered_folder names {folder}, which is no folder")
    known = {cutout.path.name: cutout for cutout in packaged_cutouts()}
    found = []
    for path in sorted(place.glob("*.webp")):
        if not _CODE_POINTS.fullmatch(path.stem):
            raise BadSetup(
                f"generated.rendered_folder: {path} is not named after code points, such as 1f400.webp; remove it"
            )
        if (named := known.get(path.name)) is not None:
            found.append(Cutout(path, named.name, named.category, named.sha256))
        else:
            found.append(Cutout(path, name_of(path.stem), OTHER_CATEGORY))
    if not found:
        raise BadSetup(f"generated.rendered_folder: {folder} holds no .webp file; leave it empty for the packaged ones")
    return tuple(found)


def name_of(code_points: str) -> str:
    """The name that Unicode gives a sequence such as `1f3c3-200d-2642-fe0f`, in lower case; its parts are joined."""
    spoken = [code for code in code_points.split("-") if code not in _UNSPOKEN]
    return " ".join(_name(int(code, 16)) for code in spoken)


def _name(code_point: int) -> str:
    named = unicodedata.name(chr(code_point), "") if code_point <= 0x10FFFF else ""
    return named.lower() or f"symbol {code_point:x}"
