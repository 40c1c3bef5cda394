"""Takedowns: pictures that must no longer be used, and the finished shards that still hold them.

The library leaves them out (`catalogue.py`); the scenes' staleness then remakes exactly the shards that drew one, and
the few with a scene that draws another asset because of that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from decoupage.faults import BadSetup
from decoupage.text_files import listed_lines
from pipelines.config import LibraryConfig
from pipelines.library.duplicates import hash_array, near_pairs
from pipelines.library.names import former_names
from pipelines.library.records import AnyRecord
from pipelines.stages.manifest import read_manifests
from pipelines.stages.store import Store

FOLDERS = ("scenes", "shards", "held_out/scenes", "held_out/shards", "real_only/scenes", "real_only/shards")
"""Shards that say which assets they show. Maps are remade with the scenes that they were made from."""


@dataclass(frozen=True)
class AffectedShard:
    """A finished shard that a takedown affects.

    Attributes:
        folder, shard: its folder in the store, and its number.
        shown: ids of listed assets that its pictures show.
        drawn: True where its scenes drew one, rejected draws included; False where they only draw otherwise without it.
        planned: False for a shard that the profile no longer makes, so that no run remakes it.
    """

    folder: str
    shard: str
    shown: tuple[str, ...]
    drawn: bool
    planned: bool


def takedowns_path(config: LibraryConfig) -> Path:
    """Path of the takedown file.

    A relative path starts at the checkout; without one at the working folder, where the default that is not there is
    the packaged list.
    """
    path, home = Path(config.takedowns), Path(__file__).parents[2]
    if path.is_absolute() or (home / "pyproject.toml").is_file():
        return home / path
    packaged = home / "profiles" / path  # Where the wheel has `configs`.
    return packaged if packaged.is_file() and not path.exists() else path.absolute()


def read_takedowns(config: LibraryConfig) -> frozenset[str]:
    """Ids and origins that must not be used: the lines of the takedown file, `#` starts a comment.

    Raises:
        BadSetup: the file does not exist, or is not UTF-8.
    """
    path = takedowns_path(config)
    if not path.is_file():
        raise BadSetup(f"library.takedowns names {path}, which does not exist; an empty file is enough")
    return frozenset(listed_lines(path.read_bytes(), str(path)))


def taken_down(records: Sequence[AnyRecord], names: Collection[str], config: LibraryConfig) -> dict[str, str]:
    """The records that a list takes down: id -> reason.

    Copies of a listed picture (same bytes, or hashes as near as a duplicate's) are taken down too, because the library
    would otherwise use a copy instead. A line that is no longer an id or an origin, but was before ids were unique,
    still takes down what it named then.
    """
    listed = f"listed in {config.takedowns}"
    old = set(names) - {name for record in records for name in (record.id, record.origin)}
    found = {
        record.id: listed
        for record in records
        if record.id in names or record.origin in names or not old.isdisjoint(former_names(record))
    }
    return with_copies(records, found, config.duplicate_distance_bits)


def with_copies(records: Sequence[AnyRecord], found: Mapping[str, str], distance_bits: int) -> dict[str, str]:
    """Add the copies of the found records (id -> reason): same bytes, or hashes that differ in few bits."""
    gone = dict(found)
    listed = [record for record in records if record.id in found]
    others = [record for record in records if record.id not in found]
    by_bytes = {record.sha256: record.id for record in listed}
    for record in others:
        if record.sha256 in by_bytes:
            repeated = by_bytes[record.sha256]
            gone[record.id] = f"repeats {repeated}, {found[repeated]}"
    left, right = (hash_array([record.perceptual_hash for record in group]) for group in (listed, others))
    for i, j, _ in near_pairs(left, right, distance_bits):
        gone.setdefault(others[j].id, f"repeats {listed[i].id}, {found[listed[i].id]}")
    return gone


def affected_shards(
    store: Store, ids: Collection[str], planned: Collection[tuple[str, str]], moved: Collection[tuple[str, str]]
) -> list[AffectedShard]:
    """Finished shards that show, or have drawn, one of these assets, or whose draws change without them.

    Args:
        ids: ids of the assets.
        planned: (folder, shard) of all shards that the profile makes.
        moved: (folder, shard) of those whose draws change.
    """
    found = []
    for folder in FOLDERS:
        shards = [name.removesuffix(".parquet") for name in store.names(folder, ".parquet")]
        tables = store.read_tables([f"{folder}/{shard}.parquet" for shard in shards], ["draws"])
        for shard, manifest, table in zip(shards, read_manifests(store, folder, shards), tables, strict=True):
            if manifest is None:
                continue
            shown = tuple(asset for asset in manifest.assets if asset in ids)
            drawn = bool(shown) or not _drawn(table).isdisjoint(ids)
            if drawn or (folder, shard) in moved:
                found.append(AffectedShard(folder, shard, shown, drawn, (folder, shard) in planned))
    return found


def _drawn(table: pa.Table) -> set[str]:
    """Ids of all assets that a shard's scenes drew, rejected draws included."""
    return {token.rpartition("@")[0] for draws in table["draws"].to_pylist() for token in draws}
