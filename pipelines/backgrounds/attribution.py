"""`attribution.csv` beside a folder's pictures: where each comes from, its licence, and how it must be turned."""

import csv
import io
from dataclasses import dataclass

from pipelines.faults import BadSetup
from pipelines.store import Store

FILE = "attribution.csv"
COLUMNS = ("file", "origin", "licence", "attribution", "caption", "rotation_deg_ccw")


@dataclass(frozen=True)
class Attribution:
    """One line of the file.

    Attributes:
        origin: the photograph's name; crops of one photograph share it.
        rotation_deg_ccw: 0, 90, 180 or 270 counter-clockwise, as OpenImages gives it; -1 = unknown.
    """

    origin: str
    licence: str
    attribution: str
    caption: str
    rotation_deg_ccw: int


def read_attributions(folder: Store) -> dict[str, Attribution]:
    """File name -> attribution; empty when the folder has no such file.

    Raises:
        BadSetup: a column is missing or a rotation is not a quarter turn.
    """
    if not folder.exists(FILE):
        return {}
    reader = csv.DictReader(io.StringIO(folder.read(FILE).decode()))
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise BadSetup(f"{folder.url(FILE)} lacks the columns {sorted(missing)}; it needs {', '.join(COLUMNS)}")
    found = {}
    for row in reader:
        turn = row["rotation_deg_ccw"].strip().lower()
        # OpenImages writes nan where the photograph is gone from its source: unknown, which is not 0.
        degrees = -1.0 if turn in ("", "nan") else float(turn)
        if degrees not in (-1.0, 0.0, 90.0, 180.0, 270.0):
            place = f"{folder.url(FILE)}: rotation_deg_ccw of {row['file']}"
            raise BadSetup(f"{place} must be 0, 90, 180 or 270, got {turn}")
        found[row["file"]] = Attribution(
            row["origin"], row["licence"], row["attribution"], row["caption"], int(degrees)
        )
    return found
