"""The list of all annotation files: found in one walk, stored in columns, divided into shards by the hash of their ids.

Contents are not read. Columns hold all of MuLAn in a few megabytes, where one object a file would take a hundred; a
shard's files become objects only while that shard is made.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from decoupage.text_files import printable
from pipelines.foregrounds.mulan.files import AnnotationFile, Part, find_annotations, is_utf8

SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("part", pa.string()),  # coco | laion | other
        ("id", pa.string()),
        ("path", pa.string()),  # below the folder
        ("num_bytes", pa.int64()),
        ("first_with_id", pa.string()),  # the file below the folder that already has this part and id; else empty
        ("url", pa.string()),  # of a LAION picture, where a list of links says it; else empty
    ]
)
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Entry:
    """One row of the index: the file, its size, and its picture's address where one is known."""

    file: AnnotationFile
    num_bytes: int
    url: str


class Index:
    """All annotations under a folder, by shard, and within it in the order of folder and name.

    Args:
        folder: what the paths are relative to.
        table: columns of `SCHEMA`, sorted by shard.
    """

    def __init__(self, folder: Path, table: pa.Table) -> None:
        self.folder = folder
        self.table = table
        self._shards = table["shard"].to_numpy()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def num_bytes(self) -> int:
        """Total size of all annotation files."""
        return int(self.table["num_bytes"].to_numpy().sum())

    @cached_property
    def num_by_part(self) -> dict[str, int]:
        """Part -> number of files, without those that repeat an id."""
        rows = zip(self.table["part"], self.table["first_with_id"], strict=True)
        return dict(sorted(Counter(part.as_py() for part, first in rows if not first.as_py()).items()))

    @cached_property
    def num_clashes(self) -> int:
        """Number of files whose part and id an earlier file has: they are refused."""
        return sum(bool(first.as_py()) for first in self.table["first_with_id"])

    def ids(self, part: Part) -> frozenset[str]:
        """Ids of one part of MuLAn."""
        rows = zip(self.table["part"].to_pylist(), self.table["id"].to_pylist(), strict=True)
        return frozenset(id for of, id in rows if of == part)

    def entries(self, shard: int | None = None) -> Iterator[Entry]:
        """The files of one shard, or of all."""
        low, high = (0, len(self)) if shard is None else self._range(shard)
        for start in range(low, high, _ROWS_AT_ONCE):
            for row in self.table.slice(start, min(_ROWS_AT_ONCE, high - start)).to_pylist():
                yield self._entry(row)

    def to_parquet(self) -> bytes:
        """The table as a parquet file with one row group a shard; equal folders give equal bytes."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMA, compression="zstd") as writer:
            for shard in np.unique(self._shards):
                low, high = self._range(int(shard))
                writer.write_table(self.table.slice(low, high - low))
        return buffer.getvalue()

    @cached_property
    def sha256(self) -> str:
        """Hash of the files' names and sizes, independent of the number of shards."""
        columns = ("path", "num_bytes", "url")
        rows = zip(*(self.table[name].to_pylist() for name in columns), strict=True)
        # Adding up hashes would be cheaper, but collisions could be constructed; sorting 40,000 lines is fast enough.
        lines = sorted("\0".join(map(str, row)) for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _range(self, shard: int) -> tuple[int, int]:
        low, high = np.searchsorted(self._shards, [shard, shard + 1])
        return int(low), int(high)

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        first = self.folder / row["first_with_id"] if row["first_with_id"] else None
        file = AnnotationFile(row["id"], self.folder / row["path"], first)
        return Entry(file, row["num_bytes"], row["url"])


def scan(folder: Path, num_shards: int, urls: Mapping[str, str] | None = None) -> Index:
    """Walk a folder once.

    Args:
        folder: searched recursively for `*.p.zl`.
        num_shards: a file's shard is a hash of its id, so a new file changes one shard.
        urls: LAION id -> address.

    Raises:
        BadSetup: the folder does not exist or cannot be listed.
    """
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []
    for file in find_annotations(folder):
        shard = hash64("mulan", file.id) % num_shards
        first = _storable(file.first_with_id, folder) if file.first_with_id else ""
        url = (urls or {}).get(file.id, "") if file.part == "laion" else ""
        rows.append((shard, file.part, file.id, _storable(file.path, folder), _size(file.path), first, url))
        if len(rows) == _ROWS_AT_ONCE:
            batches.append(_batch(rows))
            rows = []
    batches.append(_batch(rows))
    table = pa.Table.from_batches(batches, SCHEMA)
    order = np.argsort(table["shard"].to_numpy(), kind="stable")
    return Index(folder, table.take(pa.array(order)))


def _storable(path: Path, folder: Path) -> str:
    """The path below the folder. One that UTF-8 cannot hold is escaped: its file is refused by its id, and not read."""
    below = os.path.relpath(path, folder)
    return below if is_utf8(below) else printable(below)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise BadSetup(f"{path} cannot be read: {error.strerror}") from error


def _batch(rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
