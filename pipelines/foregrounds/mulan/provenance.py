"""Where MuLAn's photographs come from, and under which licences: MuLAn's own, and that of each photograph.

COCO's own files give licence and address of its photographs (`coco_info`). `photographs.json` describes those of a tree
that is not on COCO or LAION; `file_id_url_linking.csv` lists the addresses of LAION's pictures, whose licences nothing
states. The names of that list's columns are published nowhere, so the profile gives them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from decoupage.faults import BadItem, BadSetup
from decoupage.images.reading import read_file
from decoupage.text_files import csv_rows, decoded_lines, is_printable, parse_json
from pipelines.config.foregrounds import LaionConfig
from pipelines.foregrounds.mulan.coco_info import URL_CHARACTERS, CocoPhotograph
from pipelines.foregrounds.mulan.index import Entry
from pipelines.foregrounds.mulan.reader import LICENCE
from pipelines.licences.terms import UNKNOWN

PHOTOGRAPHS = "photographs.json"
"""File beside the annotations that describes each photograph, by image id, when they are not COCO's or LAION's."""
_KEY_DIGITS = 9


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
        BadSetup: the file is damaged, or holds text that cannot be printed; the message names the picture.
    """
    path = annotations / PHOTOGRAPHS
    if not path.is_file():
        return {}
    try:
        entries = parse_json(read_file(path), str(path))
    except BadItem as fault:
        raise BadSetup(f"{path} cannot be read: {fault.detail}") from fault
    if not isinstance(entries, dict):
        raise BadSetup(f"{path} is damaged: it is not an object of photographs by their ids")
    return {id: _provenance(entry, f"{path} is damaged: photograph {id!r}") for id, entry in entries.items()}


def _provenance(entry: Any, where: str) -> Provenance:
    try:
        name, licence, attribution = entry["name"], entry["licence"], entry["attribution"]
        categories = tuple(entry["categories"])
    except (KeyError, TypeError) as error:
        raise BadSetup(f"{where}: {error!r}") from error
    for text in (name, licence, attribution, *categories):
        if not isinstance(text, str) or not is_printable(text):
            raise BadSetup(f"{where}: {str(text)[:40]!r} is not text, or cannot be printed")
    return Provenance(name, licence, licence, attribution, categories)


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
        BadSetup: the file or a column is missing, the file is not UTF-8 CSV, or it gives one key two addresses; the
            message names the line.
    """
    if path.exists() and not path.is_file():
        raise BadSetup(f"mulan.laion.links names {path}, which is not a regular file")
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            where = f"{path} (columns: mulan.laion.id_column, mulan.laion.url_column)"
            rows = csv_rows(decoded_lines(file, str(path)), where, (columns.id_column, columns.url_column))
            for line, row in rows:
                id = row[columns.id_column].removesuffix(".jpg")
                # Untrusted addresses go into attributions: spaces, brackets and control characters are escaped.
                url = quote(row[columns.url_column], safe=URL_CHARACTERS)
                if not (id.isascii() and id.isdecimal() and len(id) <= _KEY_DIGITS and url):
                    continue
                key = id.zfill(_KEY_DIGITS)
                if found.setdefault(key, url) != url:
                    raise BadSetup(f"{path} gives {key} two addresses, the second in line {line}")
    except OSError as error:
        raise BadSetup(f"mulan.laion.links names {path}: {error.strerror}") from error
    return found
