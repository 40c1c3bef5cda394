"""`attribution.csv` in a folder of pictures: the origin, licence and rotation of each."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

from decoupage.faults import BadSetup
from decoupage.text_files import csv_rows, printable, text_lines
from pipelines.stages.store import Store

FILE = "attribution.csv"
COLUMNS = ("file", "origin", "licence", "attribution", "caption", "rotation_deg_ccw")


@dataclass(frozen=True)
class Attribution:
    """One line of `attribution.csv`.

    Attributes:
        origin: the photograph's name; crops of one photograph share it.
        licence: identifier of the licence, e.g. `cc-by-2.0`.
        attribution: the text that names the author.
        rotation_deg_ccw: 0, 90, 180 or 270 counter-clockwise, as OpenImages gives it; -1 = unknown.
    """

    origin: str
    licence: str
    attribution: str
    caption: str
    rotation_deg_ccw: int


def read_attributions(folder: Store, name: str = FILE) -> dict[str, Attribution]:
    """Read `attribution.csv`: path in the folder -> attribution, in the order of the file; empty when it is absent.

    Raises:
        BadSetup: file and line of what is not a UTF-8 table of these columns, of a rotation that is not a multiple of
            90 degrees, or of a second, different line about one file.
    """
    if not folder.exists(name):
        return {}
    where = folder.url(name)
    found: dict[str, Attribution] = {}
    for number, row in csv_rows(text_lines(folder.read(name), where), where, COLUMNS):
        turn = _turn(row["rotation_deg_ccw"], f"{where}, line {number}")
        line = Attribution(row["origin"], row["licence"], row["attribution"], row["caption"], turn)
        if found.setdefault(row["file"], line) != line:
            raise BadSetup(f"{where}, line {number}: another line gives other values for {row['file']}; keep one")
    return found


def _turn(text: str, place: str) -> int:
    # OpenImages writes nan for photographs deleted at their source: unknown, which is not 0.
    try:
        degrees = -1.0 if text.lower() in ("", "nan") else float(text)
    except ValueError:
        degrees = math.nan
    if degrees not in (-1.0, 0.0, 90.0, 180.0, 270.0):
        raise BadSetup(
            f"{place}: rotation_deg_ccw must be 0, 90, 180 or 270, or nan if unknown, got '{printable(text)}'"
        )
    return int(degrees)


def attributions_csv(attributions: Mapping[str, Attribution]) -> bytes:
    """The bytes of `attribution.csv`; an unknown rotation is written as `nan`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, line in attributions.items():
        turn = line.rotation_deg_ccw if line.rotation_deg_ccw >= 0 else "nan"
        writer.writerow((file, line.origin, line.licence, line.attribution, line.caption, turn))
    return text.getvalue().encode()
