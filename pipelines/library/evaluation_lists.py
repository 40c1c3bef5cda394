"""Lists of evaluation pictures that are excluded from training: files of ids or of hashes, and folders of pictures.

They are only read here; `comparison.py` compares them with the library.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from decoupage.faults import BadItem, BadSetup
from decoupage.images.alpha import alpha_box
from decoupage.images.reading import SUFFIXES, read_file, read_picture
from decoupage.text_files import csv_rows, listed_lines, parse_json, text_lines
from pipelines.library.names import item_key
from pipelines.library.picture_hashes import HashCache, PictureHashes, hash_cutout, hash_picture, parsed_hashes
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.stages.progress import Progress

ID_COLUMNS = ("id", "image_id", "file_id", "ImageID", "origin", "file", "file_name", "filename", "path")
"""Columns of a table that name pictures; all that exist are read."""
_MAX_BYTES = 1 << 30
HASH_LISTS = "library/evaluation_lists"
"""Folder in a root with hash lists, one a test set. The library reads all of them."""
PUBLISHED_ID = re.compile(r"(?:^|[-_/:])(\d{9}|\d{12}|[0-9a-f]{16})$")
"""An id of LAION, COCO or OpenImages, alone or at the end of an asset's id."""


@dataclass(frozen=True)
class EvaluationList:
    """A list of pictures that must not be in training.

    Attributes:
        name: its name in reports.
        names: ids, origins or file names, as `names_of` gives them.
        pictures: name -> hashes, where the list has pictures.
        unreadable: pictures that could not be hashed and are therefore not compared.
        kind: record type of all its pictures, where that is known.
        entries: what the lines of a file of ids say.
    """

    name: str
    names: frozenset[str]
    pictures: dict[str, PictureHashes]
    unreadable: tuple[str, ...] = ()
    kind: type[ForegroundRecord | BackgroundRecord] | None = None
    entries: tuple[str, ...] = ()

    @property
    def num_entries(self) -> int:
        """Number of entries: pictures where the list has some, else names."""
        return len(self.pictures) + len(self.unreadable) if self.pictures or self.unreadable else len(self.names)


def read_evaluation_list(path: str, cache: HashCache) -> EvaluationList:
    """Read a list of evaluation pictures.

    Args:
        path: a folder (searched recursively, its pictures hashed), a `.csv` or `.parquet` with a column of
            `ID_COLUMNS`, a `.json` as `hash_list` writes it, or a text file with one id per line, where `#` starts a
            comment.
        cache: hashes of pictures that were hashed before.

    Raises:
        BadSetup: the list is missing, damaged or empty.
    """
    place = Path(path)
    if place.is_dir():
        return _read_folder(place, cache)
    if not place.is_file():
        raise BadSetup(f"library.evaluation_lists names {path}, which does not exist")
    if place.stat().st_size > _MAX_BYTES:
        raise BadSetup(f"{path} has more than {_MAX_BYTES >> 30} GiB; library.evaluation_lists takes lists of ids")
    if place.suffix.lower() == ".json":
        return read_hash_list(path, parse_json(place.read_bytes(), path))
    entries = tuple(entry for entry in _read_entries(place) if entry.strip())
    names = frozenset(name for entry in entries for name in names_of(entry))
    if not names:
        raise BadSetup(f"{path} of library.evaluation_lists holds no id; fill it, or remove it from the profile")
    return EvaluationList(path, names, {}, entries=entries)


def hash_list(names: Sequence[str], pictures: Mapping[str, PictureHashes]) -> bytes:
    """The bytes of a hash list, which can be compared without its pictures.

    Args:
        names: names of the images; only published ids among them are used, because others are local to their set.
        pictures: name -> hashes.
    """
    hashes = {name: [found.sha256, *found.hashes] for name, found in pictures.items()}
    return (json.dumps({"names": list(names), "pictures": hashes}, indent=1) + "\n").encode()


def read_hash_list(name: str, values: Any) -> EvaluationList:
    """Read a list that `hash_list` wrote.

    Args:
        name: its path.
        values: the value of its JSON.

    Raises:
        BadSetup: it is not such a list, or holds no picture.
    """
    try:
        names = frozenset(str(entry) for entry in values["names"] if PUBLISHED_ID.fullmatch(str(entry)))
        pictures = parsed_hashes(values["pictures"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadSetup(f"{name} is not a list of hashes: {error!r}; write it by `decoupage evaluate` again") from error
    if not pictures:
        raise BadSetup(f"{name} holds no picture; write it again with `decoupage evaluate`")
    return EvaluationList(name, names, pictures)


def names_of(entry: str) -> set[str]:
    """All names of an entry: itself, the last part of a path without suffix, a number padded as COCO and LAION do."""
    entry = entry.strip()
    path = PurePosixPath(entry.replace("\\", "/"))
    names = {entry, path.stem if path.suffix.lower() in SUFFIXES else path.name}
    names |= {entry.zfill(width) for width in (9, 12) if entry.isdecimal()}
    return names - {""}


def _read_entries(path: Path) -> list[str]:
    where = f"{path} of library.evaluation_lists"
    if path.suffix.lower() == ".parquet":
        try:
            columns = _id_columns(path, pq.read_schema(path).names)
            table = pq.read_table(path, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise BadSetup(f"{where} is damaged: {error}") from error
        return [str(value) for column in columns for value in table[column].to_pylist() if value is not None]
    lines = text_lines(path.read_bytes(), where)
    if path.suffix.lower() == ".csv":
        rows = [row for _, row in csv_rows(lines, where)]
        columns = _id_columns(path, rows[0]) if rows else []
        return [row[column] for row in rows for column in columns if row[column]]
    return list(listed_lines(path.read_bytes(), where))


def _id_columns(path: Path, names: Iterable[str]) -> list[str]:
    found = [name for name in names if name in ID_COLUMNS]
    if not found:
        raise BadSetup(f"{path} of library.evaluation_lists has none of the columns {', '.join(ID_COLUMNS)}")
    return found


def _read_folder(folder: Path, cache: HashCache) -> EvaluationList:
    # Hidden ones are what systems leave beside pictures (`._photo.jpg`).
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise BadSetup(f"{folder} of library.evaluation_lists holds no pictures ({', '.join(SUFFIXES)})")
    pictures: dict[str, PictureHashes] = {}
    unreadable = []
    with Progress("evaluation pictures", "pictures", len(files)) as progress:
        for path in progress.counting(files):
            name = item_key(path.relative_to(folder).as_posix())
            try:
                pictures[name] = cache.get(_key(path), lambda path=path: _hash_file(path))  # type: ignore[misc]
            except BadItem as fault:
                unreadable.append(f"{name} ({fault.reason})")
    # Names such as `01` have no meaning outside their folder; published ids have.
    names = frozenset(path.stem for path in files if PUBLISHED_ID.fullmatch(path.stem))
    return EvaluationList(str(folder), names, pictures, tuple(unreadable))


def _key(path: Path) -> str:
    """A cache key that changes when the file is replaced, without reading its contents."""
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def _hash_file(path: Path) -> PictureHashes:
    data = read_file(path)
    picture, sha256 = read_picture(data, upright=False), hashlib.sha256(data).hexdigest()
    if picture.alpha is not None and picture.alpha.any() and not picture.is_opaque:
        left, top, right, bottom = alpha_box(picture.alpha)
        return hash_cutout(sha256, np.ascontiguousarray(picture.rgba[top:bottom, left:right]))
    return hash_picture(sha256, Image.fromarray(picture.rgb))
