"""The facts known about each image of one subset, one array per fact, filled in list by list."""

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
UNKNOWN = -1
INSIDE, DEPICTION, BAD_BOX = 1, 2, 4


def licence_name(address: str | None) -> str:
    """Short name of a licence given as address: `https://creativecommons.org/licenses/by/2.0/` -> `cc-by-2.0`.

    Empty for an unknown address.
    """
    text = (address or "").strip()
    if match := _CREATIVE_COMMONS.fullmatch(text):
        return f"cc-{match[1]}-{match[2]}"
    if match := _PUBLIC_DOMAIN.fullmatch(text):
        return "cc0-1.0" if match[1] == "zero" else "public-domain"
    return ""


@dataclass(frozen=True)
class Candidates:
    """The n images of one subset that are left, in ascending order of their ids.

    Attributes:
        ids: [n] image ids as numbers.
        rotation_deg_ccw: [n] 0, 90, 180 or 270; UNKNOWN where the list gives none, -2 where it gives another number.
        licence: [n] position in `licences`; UNKNOWN = a licence of unknown terms.
        original_bytes: [n] size of the author's file; UNKNOWN where the list gives none.
        scenes: [n] a bit for each scene class that a person confirmed.
        has_object: [n] True where a person confirmed a class of objects.
        box_share: [n] share of the picture that the union of the boxes covers.
        box_flags: [n] the flags INSIDE, DEPICTION, BAD_BOX of all boxes together.
        licences: short names of the licences.
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
        """The images where the mask is True."""
        names = [field.name for field in fields(self) if field.name != "licences"]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def read_candidates(path: Path) -> tuple[Candidates, int]:
    """Read a list of images; also returns how many of its lines have an unusable or repeated id.

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
    # `nan` marks a photograph deleted at its source: unknown, which is not 0.
    known = np.where(np.isin(degrees, (0.0, 90.0, 180.0, 270.0)), degrees, -2)
    return np.where(np.isnan(degrees), UNKNOWN, known).astype(np.int16)


def _place(name: str, known: dict[str, int]) -> int:
    return known.setdefault(name, len(known)) if name else UNKNOWN
