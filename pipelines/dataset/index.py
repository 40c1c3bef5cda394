"""The tables over all shards: the index, the attributions of all assets, and the hash that identifies the data."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from pipelines.stages.ahead import read_ahead
from pipelines.stages.manifest import Manifest, read_manifests
from pipelines.stages.store import Store
from pipelines.stages.tables import parquet_table

STAGE = "shards"
"""Folder of the finished shards."""
INDEX = "dataset/index.parquet"
SHARD_LIST = "dataset/shards.parquet"
"""Written in place of the index where that would be too large: a row a shard, whose own parquet file is the index."""
MAX_ROWS = 5_000_000
"""Rows (layers) up to which there is an index over all shards, and up to which all are measured."""
_CHUNK = 1 << 23
ATTRIBUTION_COLUMNS = ("id", "role", "source", "licence", "attribution", "sha256", "num_scenes")
_ROLES = {"foreground": "foreground_", "background": "background_"}


def read_shards(store: Store, expected: Sequence[str]) -> dict[str, Manifest]:
    """The manifests of all shards, in order, without their lists: a shard's members alone take a megabyte.

    Raises:
        BadSetup: shards are missing or unfinished, come from different recipes, hold nothing at all, or a
            manifest is damaged.
    """
    read = zip(expected, read_manifests(store, STAGE, expected), strict=True)
    found = {shard: _without_lists(manifest) for shard, manifest in read}
    missing = [shard for shard, manifest in found.items() if manifest is None]
    if missing:
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise BadSetup(f"{store.url(STAGE)} lacks {len(missing)} of {len(expected)} shards ({named}); make them first")
    manifests = {shard: manifest for shard, manifest in found.items() if manifest is not None}
    recipes = sorted({manifest.fingerprint for manifest in manifests.values()})
    if len(recipes) > 1:
        raise BadSetup(f"{store.url(STAGE)} mixes the recipes {', '.join(recipes)}; remove the shards of the wrong one")
    if not any(manifest.num_rows for manifest in manifests.values()):
        raise BadSetup(f"{store.url(STAGE)} holds no scene; the reasons are in quarantine/")
    return manifests


def _without_lists(manifest: Manifest | None) -> Manifest | None:
    return manifest and replace(manifest, members=[], drops=[], counts={}, assets=[])


def data_version(manifests: Mapping[str, Manifest]) -> str:
    """Hash of the shards' tars and indexes, 16 hex digits: equal data have equal versions."""
    content = {shard: [manifest.tar_sha256, manifest.parquet_sha256] for shard, manifest in manifests.items()}
    return hashlib.sha256(canonical_json(content)).hexdigest()[:16]


def shard_tables(
    store: Store, manifests: Mapping[str, Manifest], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The shards' parquet rows, one table per shard, each with the column `shard` in front.

    Raises:
        BadSetup: a file is absent or is not the one that its manifest describes.
    """
    files = read_ahead(store, (f"{STAGE}/{shard}.parquet" for shard in manifests))
    for (shard, manifest), data in zip(manifests.items(), files, strict=True):
        where = store.url(f"{STAGE}/{shard}.parquet")
        if data is None:
            raise BadSetup(f"{where} is missing; remove {shard}.json and run the stage again")
        if hashlib.sha256(data).hexdigest() != manifest.parquet_sha256:
            raise BadSetup(f"{where} differs from its manifest; remove {shard}.json and run the stage again")
        try:
            table = parquet_table(data, columns)
        except ValueError as error:
            raise BadSetup(f"{where} {error}") from error
        yield table.add_column(0, "shard", pa.array([shard] * table.num_rows, pa.string()))


@dataclass(frozen=True)
class FileFacts:
    """Path in the store, size in bytes and SHA-256 of a file."""

    path: str
    num_bytes: int
    sha256: str


def write_index(store: Store, manifests: Mapping[str, Manifest]) -> FileFacts:
    """Write `dataset/index.parquet`, one row group per shard, with no more than one shard in memory.

    Raises:
        BadSetup: as `shard_tables`.
    """
    tables = shard_tables(store, manifests)
    first = next(tables)
    with store.writing(INDEX) as file, pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
    return _facts(store, INDEX)


def write_shard_list(store: Store, manifests: Mapping[str, Manifest]) -> FileFacts:
    """Write `dataset/shards.parquet`: number, size and hashes of every shard."""
    names = ("shard", "num_items", "num_rows", "num_bytes", "tar_sha256", "parquet_sha256")
    columns = {name: [getattr(manifest, name) for manifest in manifests.values()] for name in names}
    with store.writing(SHARD_LIST) as file:
        pq.write_table(pa.table(columns).rename_columns({"num_items": "num_scenes", "num_rows": "num_layers"}), file)
    return _facts(store, SHARD_LIST)


def measured_part(manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """The shards whose rows are measured: all, or every n-th where they have more than `MAX_ROWS` rows."""
    step = max(1, -(-sum(manifest.num_rows for manifest in manifests.values()) // MAX_ROWS))
    return dict(list(manifests.items())[::step])


def _facts(store: Store, path: str) -> FileFacts:
    sha = hashlib.sha256()
    num_bytes = store.size(path)
    for offset in range(0, num_bytes, _CHUNK):
        sha.update(store.read_range(path, offset, min(_CHUNK, num_bytes - offset)))
    return FileFacts(path, num_bytes, sha.hexdigest())


@dataclass(frozen=True, order=True)
class Asset:
    """One foreground or background that the dataset shows; `role` says which of both."""

    role: str
    source: str
    id: str
    licence: str
    attribution: str
    sha256: str


def count_assets(store: Store, manifests: Mapping[str, Manifest]) -> dict[Asset, int]:
    """Asset -> number of scenes that show it, in order of role, source and id."""
    total: Counter[Asset] = Counter()
    parts = ("source", "id", "licence", "attribution", "sha256")
    columns = ["key", *(prefix + part for prefix in _ROLES.values() for part in parts)]
    for table in shard_tables(store, manifests, columns):
        for role, prefix in _ROLES.items():
            names = [prefix + part for part in parts]
            # All rows of a scene are in one shard.
            for row in table.group_by(names).aggregate([("key", "count_distinct")]).to_pylist():
                total[Asset(role, *(row[name] for name in names))] += row["key_count_distinct"]
    return dict(sorted(total.items()))


def attributions_csv(assets: Mapping[Asset, int]) -> bytes:
    """`dataset/attributions.csv`: licence and attribution of every asset, and how often it is shown (UTF-8)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ATTRIBUTION_COLUMNS)
    for asset, num in assets.items():
        writer.writerow([getattr(asset, column) for column in ATTRIBUTION_COLUMNS[:-1]] + [num])
    return text.getvalue().encode()
