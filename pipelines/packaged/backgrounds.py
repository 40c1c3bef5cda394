"""Writes the packaged photographs that can stand behind objects as a folder with attribution: the demo's backgrounds.

Only what has no salient object in the way: textures as they are, and parts of photographs beside their object.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from decoupage.images.codecs import encode_png
from pipelines.packaged.photographs import PHOTOGRAPHS, PackagedPhotograph
from pipelines.stages.store import Store

COLUMNS = ("file", "origin", "licence", "attribution", "caption", "rotation_deg_ccw")


@dataclass(frozen=True)
class PackagedBackgrounds:
    """What was written: the folder, and how many pictures are in it."""

    folder: Path
    num_images: int


def write_photographs(folder: str | Path) -> PackagedBackgrounds:
    """Write whole photographs with their bytes unchanged, crops as `<name>-crop<i>.png`, and `attribution.csv`.

    A crop keeps its photograph's name as origin, so that it never meets an object of the same photograph in
    another split. Files are replaced whole.
    """
    store = Store(str(folder))
    rows: list[dict[str, str]] = []
    for photograph in PHOTOGRAPHS:
        if photograph.role != "foregrounds":
            for name, data in _files(photograph).items():
                store.write(name, data)
                rows.append(_row(photograph, name))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    store.write("attribution.csv", text.getvalue().encode())
    return PackagedBackgrounds(Path(folder), len(rows))


def _files(photograph: PackagedPhotograph) -> dict[str, bytes]:
    if not photograph.crops:
        return {f"{photograph.name}{photograph.path.suffix}": photograph.path.read_bytes()}
    rgb = photograph.read()
    return {
        f"{photograph.name}-crop{i}.png": encode_png(rgb[top:bottom, left:right])
        for i, (left, top, right, bottom) in enumerate(photograph.crops, start=1)
    }


def _row(photograph: PackagedPhotograph, file: str) -> dict[str, str]:
    values = (file, photograph.name, photograph.licence, photograph.attribution, photograph.caption, "0")
    return dict(zip(COLUMNS, values, strict=True))
