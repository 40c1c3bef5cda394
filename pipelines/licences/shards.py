"""The licences that finished shards carry: the truth about what a build holds, whatever a profile says."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow.parquet as pq

from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store

_COLUMNS = ("foreground_licence", "background_licence")


@dataclass(frozen=True)
class ShardLicences:
    """What one shard holds.

    Attributes:
        recipe: fingerprint that it was made by; empty where it has no manifest.
        layers: licence -> layers whose foreground or background is under it.
    """

    recipe: str
    layers: Mapping[str, int]


def read_licences(store: Store, folder: str) -> Iterator[tuple[str, ShardLicences]]:
    """(shard, licences) of every shard in a folder of a root, also of those that no profile plans any more."""
    for name in store.names(folder, ".parquet"):
        shard = name.removesuffix(".parquet")
        manifest = read_manifest(store, folder, shard)
        layers = count_licences(store.read(f"{folder}/{name}"))
        yield shard, ShardLicences(manifest.fingerprint if manifest else "", layers)


def count_licences(index_parquet: bytes) -> dict[str, int]:
    """Licence -> layers under it, of a shard's parquet index."""
    rows = pq.read_table(io.BytesIO(index_parquet), columns=list(_COLUMNS)).to_pylist()
    return dict(Counter(licence for row in rows for licence in {row[column] or "" for column in _COLUMNS}))
