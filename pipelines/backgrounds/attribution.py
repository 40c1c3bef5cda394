"""`attribution.csv` in a folder of pictures: the origin, licence and rotation of each."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from decoupage.faults import BadSetup
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
        BadSetup: a column is missing or a rotation is not a multiple of 90 degrees.
    """
    if not folder.exists(name):
        return {}
    reader = csv.DictReader(io.StringIO(folder.read(name).decode(), newline=""))
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise BadSetup(f"{folder.url(name)} lacks the columns {sorted(missing)}; it needs {', '.join(COLUMNS)}")
    found = {}
    for row in reader:
        turn = row["rotation_deg_ccw"].strip().lower()
        # OpenImages writes nan for photographs deleted at their source: unknown, which is not 0.
        degrees = -1.0 if turn in ("", "nan") else float(turn)
        if degrees not in (-1.0, 0.0, 90.0, 180.0, 270.0):
            place = f"{folder.url(name)}: rotation_deg_ccw of {row['file']}"
            raise BadSetup(f"{place} must be 0, 90, 180 or 270, got {turn}")
        found[row["file"]] = Attribution(
            row["origin"], row["licence"], row["attribution"], row["caption"], int(degrees)
        )
    return found


def attributions_csv(attributions: Mapping[str, Attribution]) -> bytes:
    """The bytes of `attribution.csv`; an unknown rotation is written as `nan`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, line in attributions.items():
        turn = line.rotation_deg_ccw if line.rotation_deg_ccw >= 0 else "nan"
        writer.writerow((file, line.origin, line.licence, line.attribution, line.caption, turn))
    return text.getvalue().encode()
