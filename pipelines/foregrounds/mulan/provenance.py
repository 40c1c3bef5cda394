"""Where MuLAn's photographs come from, and under which licence: its own by default, or as a file beside it says."""

import json
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.foregrounds.mulan.index import Entry
from pipelines.foregrounds.mulan.reader import LICENCE

PHOTOGRAPHS = "photographs.json"
"""Beside the annotations, when they are not of COCO: what is known of each photograph, by image id."""


@dataclass(frozen=True)
class Provenance:
    """Where a photograph comes from; instances take their category from `categories`, in the file's order."""

    origin: str
    licence: str
    attribution: str
    categories: tuple[str, ...] = ()


def read_provenance(annotations: Path) -> dict[str, Provenance]:
    """`photographs.json`: image id -> `{"name", "licence", "attribution", "categories"}`; empty when not there.

    Raises:
        BadSetup: the file is damaged.
    """
    path = annotations / PHOTOGRAPHS
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_bytes())
        return {
            id: Provenance(entry["name"], entry["licence"], entry["attribution"], tuple(entry["categories"]))
            for id, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSetup(f"{path} is damaged: {error!r}") from error


def provenance_of(entry: Entry) -> Provenance:
    """The provenance of a MuLAn picture that lies in COCO 2017, or in LAION-Aesthetics."""
    file = entry.file
    place = f"LAION-Aesthetics picture {file.id}" if file.part == "laion" else f"COCO 2017 picture {file.id}"
    address = f", {entry.url}" if entry.url else ""
    return Provenance(f"mulan-{file.key}", LICENCE, f"MuLAn (Tudosiu et al., CVPR 2024), on {place}{address}")
