"""A catalogue as columns, for workers: a record is built when its row is drawn, so a large library takes little memory.

At 170,000 assets the records as objects take a gigabyte; `catalogue.read_catalogue` gives those, for small work.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from typing import Any, Generic

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.library.catalogue import read_catalogue_bytes
from pipelines.library.records import Record, Split
from pipelines.stages.store import Store

_REPEATED = ("source", "kind", "completeness", "cut_sides", "category", "licence", "attribution", "split", "tar")
"""Text columns that many rows share: held once per value."""


@dataclass(frozen=True)
class RecordTable(Generic[Record]):
    """The assets of one kind and split, in order of their ids.

    Attributes:
        version: hash of the whole catalogue.
    """

    kind: type[Record]
    columns: dict[str, pa.Array]
    version: str

    @classmethod
    def read(
        cls, store: Store, kind: type[Record], split: Split, without: Collection[str] = ()
    ) -> "RecordTable[Record]":
        """Read the part of a catalogue that is in a split, but for the ids in `without`.

        Raises:
            BadSetup: the catalogue has not been made.
        """
        data, version = read_catalogue_bytes(store, kind)
        names = [field.name for field in fields(kind)]
        repeated = [name for name in _REPEATED if name in names]
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=repeated)
        kept = pc.equal(_column(file, "split").cast(pa.string()), split)
        if without:
            listed = pa.array(list(without), pa.string())
            kept = pc.and_(kept, pc.invert(pc.is_in(_column(file, "id"), value_set=listed)))
        # One column at a time: a table of all would be held twice while it is filtered.
        columns = {name: _column(file, name).filter(kept) for name in names}
        pa.default_memory_pool().release_unused()
        return cls(kind, columns, version)

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __getitem__(self, row: int) -> Record:
        """The record of a row."""
        return self.kind(**{name: column[row].as_py() for name, column in self.columns.items()})

    def texts(self, name: str) -> Iterator[str]:
        """A text column."""
        return (text.as_py() for text in self.columns[name])

    def numbers(self, name: str) -> NDArray[Any]:
        """A column of numbers."""
        return np.asarray(self.columns[name].to_numpy(zero_copy_only=False))

    def equals(self, name: str, value: str) -> NDArray[np.bool_]:
        """[num_rows]: where a text column has a value."""
        column = self.columns[name].cast(pa.string())
        return np.asarray(pc.equal(column, value).to_numpy(zero_copy_only=False), bool)


def origin_codes(*tables: "RecordTable[Any]") -> list[NDArray[np.int32]]:
    """A number for each row of each table, equal for rows of one origin, over all tables."""
    together = pa.concat_arrays([table.columns["origin"] for table in tables])
    codes = together.dictionary_encode().indices.to_numpy().astype(np.int32)
    del together
    pa.default_memory_pool().release_unused()
    return np.split(codes, np.cumsum([len(table) for table in tables])[:-1])


def _column(file: pq.ParquetFile, name: str) -> pa.Array:
    column = file.read(columns=[name], use_threads=False).column(0)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined
