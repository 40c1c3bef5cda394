"""Rows of the shards' parquet indexes, for checks and figures over many shards at once.

They are held as columns, a fifth of what as many dicts take, and become dicts only while they are looked at.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import pyarrow as pa

from pipelines.stages.manifest import Manifest
from pipelines.stages.store import Store

BATCH_ROWS = 1024
"""Rows that are dicts at the same time."""
SCENES = (
    *("key", "layer", "num_layers", "scale", "size_class", "amodal_area_px", "occluded_fraction", "occlusion_level"),
    *("border_contact", "placement", "sharpness", "sharpness_around", "foreground_id", "foreground_kind"),
    *("foreground_source", "completeness", "background_enlargement"),
)
"""Columns of scenes that checks and metadata look at; of 44, and the longest are not among them."""


class IndexRows(Sequence[dict[str, Any]]):
    """Rows of some tables, one after another.

    Args:
        tables: of the same columns.
    """

    def __init__(self, tables: Iterable[pa.Table] = ()) -> None:
        self._tables = list(tables)

    @classmethod
    def read(cls, store: Store, manifests: Iterable[Manifest], columns: Sequence[str] | None = None) -> "IndexRows":
        """The rows of some shards. `columns`: None = all."""
        paths = [f"{manifest.stage}/{manifest.shard}.parquet" for manifest in manifests]
        return cls(store.read_tables(paths, None if columns is None else list(columns)))

    def __add__(self, other: "IndexRows") -> "IndexRows":
        return IndexRows([*self._tables, *other._tables])

    def __len__(self) -> int:
        return sum(table.num_rows for table in self._tables)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for table in self._tables:
            for batch in table.to_batches(max_chunksize=BATCH_ROWS):
                yield from batch.to_pylist()

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return list(self)[place]
