"""The facts known about each image of one subset, one array a fact, filled in list by list."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from pipelines.backgrounds.openimages.table import Ids, parse_ids, stream

_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)/?")
_PUBLIC_DOMAIN = re.compile(r"https?://creativecommons\.org/publicdomain/(zero|mark)/1\.0/?")


def licence_name(address: str | None) -> str:
    """`https://creativecommons.org/licenses/by/2.0/` -> `cc-by-2.0`; empty for what we know nothing of."""
    text = (address or "").strip()
    if match := _CREATIVE_COMMONS.fullmatch(text):
        return f"cc-{match[1]}-{match[2]}"
    if match := _PUBLIC_DOMAIN.fullmatch(text):
        return "cc0-1.0" if match[1] == "zero" else "public-domain"
    return ""


UNKNOWN = -1
INSIDE, DEPICTION, BAD_BOX = 1, 2, 4


@dataclass(frozen=True)
class Candidates:
    """Images in ascending order of their ids, n of them.

    Attributes:
        ids: [n].
        rotation_deg_ccw: [n] quarter turns; UNKNOWN where the list says nothing, -2 where it is none.
        licence: [n] place in `licences`; UNKNOWN = a licence that we know nothing of.
        original_bytes: [n] of the file that the author gave; UNKNOWN where the list says nothing.
        scenes: [n] one bit a scene class that a person saw.
        has_object: [n] whether a person saw a class that stands in the way.
        box_share: [n] share of the picture that boxes cover together.
        box_flags: [n] INSIDE, DEPICTION, BAD_BOX of any box.
        licences: short names.
    """

    ids: Ids
    rotation_deg_ccw: NDArray[np.int16]
    licence: NDArray[np.int16]
    original_bytes: NDArray[np.int64]
    scenes: NDArray[np.uint64]
    has_object: NDArray[np.bool_]
    box_share: NDArray[np.float32]
    box_flags: NDArray[np.uint8]
    licences: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: NDArray[np.bool_]) -> "Candidates":
        """Those where the mask is true."""
        names = [field.name for field in fields(self) if field.name != "licences"]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def read_candidates(path: Path) -> tuple[Candidates, int]:
    """The images of a list, and how many of its lines have no usable id (or one that came before).

    Raises:
        BadSetup: the list cannot be read or has no images.
    """
    columns = {
        "ImageID": pa.string(),
        "License": pa.string(),
        "OriginalSize": pa.int64(),
        "Rotation": pa.float64(),
    }
    known: dict[str, int] = {}
    ids, licences, sizes, turns = [], [], [], []
    num_lines = 0
    for block in stream(path, columns, has_newlines=True):
        numbers, good = parse_ids(block["ImageID"])
        num_lines += len(good)
        ids.append(numbers[good])
        sizes.append(block["OriginalSize"].fill_null(UNKNOWN).to_numpy()[good])
        turns.append(_quarter_turns(block["Rotation"].fill_null(np.nan).to_numpy())[good])
        names = block["License"].dictionary_encode()
        places = np.array([_place(licence_name(name), known) for name in names.dictionary.to_pylist()], np.int16)
        codes = names.indices.fill_null(-1).to_numpy()
        licences.append(np.append(places, np.int16(UNKNOWN))[codes][good])
    if not num_lines:
        raise BadSetup(f"{path} lists no images")
    unique, first = np.unique(np.concatenate(ids), return_index=True)
    n = len(unique)
    found = Candidates(
        ids=unique,
        rotation_deg_ccw=np.concatenate(turns)[first],
        licence=np.concatenate(licences)[first],
        original_bytes=np.concatenate(sizes)[first],
        scenes=np.zeros(n, np.uint64),
        has_object=np.zeros(n, np.bool_),
        box_share=np.zeros(n, np.float32),
        box_flags=np.zeros(n, np.uint8),
        licences=tuple(known),
    )
    return found, num_lines - n


def _quarter_turns(degrees: NDArray[np.float64]) -> NDArray[np.int16]:
    # `nan` is a photograph that is gone from its source: unknown, which is not 0.
    known = np.where(np.isin(degrees, (0.0, 90.0, 180.0, 270.0)), degrees, -2)
    return np.where(np.isnan(degrees), UNKNOWN, known).astype(np.int16)


def _place(name: str, known: dict[str, int]) -> int:
    return known.setdefault(name, len(known)) if name else UNKNOWN
