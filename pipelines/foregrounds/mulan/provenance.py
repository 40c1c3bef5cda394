"""Where MuLAn's photographs come from, and under which licences: MuLAn's own, and that of each photograph.

COCO's own files give licence and address of its photographs (`coco_info`). `photographs.json` describes those of a tree
that is not on COCO or LAION; `file_id_url_linking.csv` lists the addresses of LAION's pictures, whose licences nothing
states. The names of that list's columns are published nowhere, so the profile gives them.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from decoupage.faults import BadSetup
from pipelines.config.foregrounds import LaionConfig
from pipelines.foregrounds.mulan.coco_info import URL_CHARACTERS, CocoPhotograph
from pipelines.foregrounds.mulan.index import Entry
from pipelines.foregrounds.mulan.reader import LICENCE
from pipelines.licences.terms import UNKNOWN

PHOTOGRAPHS = "photographs.json"
"""File beside the annotations that describes each photograph, by image id, when they are not COCO's or LAION's."""
_KEY_DIGITS = 9
_LONGEST_FIELD = 1 << 16


@dataclass(frozen=True)
class Provenance:
    """Where a photograph comes from.

    Attributes:
        licence: of what is cut out of it; an expression with `AND` where MULAN's and the photograph's hold at once.
        photograph_licence: of the photograph alone.
        categories: of its instances, in the file's order.
    """

    origin: str
    licence: str
    photograph_licence: str
    attribution: str
    categories: tuple[str, ...] = ()


def read_provenance(annotations: Path) -> dict[str, Provenance]:
    """Read `photographs.json`: image id -> `{"name", "licence", "attribution", "categories"}`; empty when absent.

    Raises:
        BadSetup: the file is damaged.
    """
    path = annotations / PHOTOGRAPHS
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_bytes())
        return {
            id: Provenance(
                origin=entry["name"],
                licence=entry["licence"],
                photograph_licence=entry["licence"],
                attribution=entry["attribution"],
                categories=tuple(entry["categories"]),
            )
            for id, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSetup(f"{path} is damaged: {error!r}") from error


def provenance_of(entry: Entry, photograph: CocoPhotograph | None = None) -> Provenance:
    """The provenance of a MuLAn picture that is part of COCO 2017 or of LAION-Aesthetics.

    Args:
        photograph: what COCO says of it; None = its licence is unknown.
    """
    file = entry.file
    place = f"LAION-Aesthetics picture {file.id}" if file.part == "laion" else f"COCO 2017 picture {file.id}"
    url = photograph.url if photograph else entry.url
    licence = photograph.licence if photograph else UNKNOWN
    attribution = f"MuLAn (Tudosiu et al., CVPR 2024), on {place}" + (f", {url}" if url else "")
    return Provenance(f"mulan-{file.key}", f"{LICENCE} AND {licence}", licence, attribution)


def read_links(path: Path, columns: LaionConfig) -> dict[str, str]:
    """Read a list of links: LAION key -> address, for the rows whose id is a key; other rows are skipped.

    Leading zeros that a spreadsheet program removed from a key are restored, and a trailing `.jpg` is removed.

    Raises:
        BadSetup: the file or a column is missing, the file is no CSV, or it gives one key two addresses.
    """
    with _reading(path) as reader:
        missing = {columns.id_column, columns.url_column} - set(reader.fieldnames or ())
        if missing:
            raise BadSetup(
                f"{path} lacks the columns {sorted(missing)}, it has {list(reader.fieldnames or ())[:20]}; set "
                "mulan.laion.id_column and mulan.laion.url_column"
            )
        found: dict[str, str] = {}
        for row in reader:
            id = (row[columns.id_column] or "").strip().removesuffix(".jpg")
            # Untrusted addresses go into attributions: spaces, brackets and control characters are escaped.
            url = quote((row[columns.url_column] or "").strip(), safe=URL_CHARACTERS)
            if not (id.isascii() and id.isdecimal() and len(id) <= _KEY_DIGITS and url):
                continue
            key = id.zfill(_KEY_DIGITS)
            if found.setdefault(key, url) != url:
                raise BadSetup(f"{path} gives {key} two addresses, the second in line {reader.line_num}")
    return found


@contextmanager
def _reading(path: Path) -> Iterator["csv.DictReader[str]"]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(_LONGEST_FIELD)
            # The README writes its own header as `image, annotation`, with a space.
            yield csv.DictReader(file, skipinitialspace=True)
    except OSError as error:
        raise BadSetup(f"mulan.laion.links names {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadSetup(f"{path} is no CSV file in UTF-8: {error}") from error
