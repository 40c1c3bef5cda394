"""Leftovers of dead processes in an object store: uploads and leases that nobody goes on with, shards beyond the plan.

Ages are those of the server's own clock, which wrote the times as well. fsspec knows no unfinished uploads, and no
times that all protocols share, so of others than S3 only the shards beyond the plan are found. Which finished objects
are old is decided by the packages that make them.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.stages.leases import take
from pipelines.stages.leftovers import BEYOND, why_beyond
from pipelines.stages.objects import Entry
from pipelines.stages.plan import PLANS, read_plan
from pipelines.stages.store import Store

UPLOAD, LEASE, OLD_RUN = "unfinished upload", "abandoned lease", "old run"
UPLOAD_AGE_S = 86_400.0
"""Age from which an upload counts as abandoned: no writer of ours takes so long for one object."""
LEASE_AGE_S = 3600.0
"""Seconds without a renewal from which a lease counts as abandoned; processes that wait for it take it over sooner."""
_LEASE = re.compile(r"(?:.*/)?\.[^/]+\.lock")
_PLAN = re.compile(rf"(.*/)?{PLANS}/([^/]+)\.json")
_SHARD = re.compile(r"(.+)/([0-9]{1,12})\.(?:json|parquet|tar)")


@dataclass(frozen=True)
class RemovableObject:
    """Something in an object store that may be removed.

    Attributes:
        path: its address; of a shard that of its tar.
        kind: `unfinished upload`, `abandoned lease`, `shard beyond the plan` or `old run`.
        why: the reason in a few words.
        num_bytes: space that is freed.
        key: of an object or upload relative to the root, of a shard `folder/number`, of a run its folder.
        version: of a lease, or the id of an upload.
        first: objects of a folder that go before the rest, because they say that it is whole.
    """

    path: str
    kind: str
    why: str
    num_bytes: int
    key: str
    version: str = ""
    first: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def object_leftovers(store: Store, planned: Mapping[str, Collection[str]]) -> list[RemovableObject]:
    """What may be removed below the root of an object store.

    Args:
        planned: as `shards_beyond` takes it.

    Raises:
        BadSetup: the store cannot be read, or a plan is damaged.
    """
    objects = store.objects
    with objects.told("", "read"):
        there, uploads = objects.entries(), objects.unfinished_uploads()
    found = [
        RemovableObject(store.url(path), UPLOAD, _old(entry.age_s), entry.num_bytes, path, entry.version)
        for path, entry in uploads
        if _is_older(entry, UPLOAD_AGE_S)
    ]
    found += [
        RemovableObject(store.url(path), LEASE, _old(entry.age_s), entry.num_bytes, path, entry.version)
        for path, entry in sorted(there.items())
        if _LEASE.fullmatch(path) and _is_older(entry, LEASE_AGE_S)
    ]
    return found + _beyond(store, there, planned)


def _beyond(store: Store, there: Mapping[str, Entry], planned: Mapping[str, Collection[str]]) -> list[RemovableObject]:
    plans = (match for path in sorted(there) if (match := _PLAN.fullmatch(path)))
    told = {folder: read_plan(store, folder) or frozenset() for folder in (f"{m[1] or ''}{m[2]}" for m in plans)}
    sizes: dict[tuple[str, str], int] = {}
    for path, entry in there.items():
        if (match := _SHARD.fullmatch(path)) and match[1] in told and match[2] not in told[match[1]]:
            sizes[match[1], match[2]] = sizes.get((match[1], match[2]), 0) + entry.num_bytes
    return [
        RemovableObject(
            store.url(f"{folder}/{shard}.tar"),
            *(BEYOND, why_beyond(folder, len(told[folder]), shard in planned.get(folder, ()))),
            *(size, f"{folder}/{shard}"),
        )
        for (folder, shard), size in sorted(sizes.items())
    ]


def remove_object(store: Store, removable: RemovableObject) -> None:
    """Remove it, unless somebody works on it; others may be removing it as well. Raises BadSetup: it is forbidden."""
    objects, key = store.objects, removable.key
    if removable.kind == BEYOND:
        folder, _, shard = key.rpartition("/")
        if (held := take(store, f"{folder}/.{shard}.lock")) is None:
            return  # A run with another plan makes it at the moment.
        for end in ("json", "parquet", "tar"):  # Without its manifest nothing takes the rest for a shard.
            store.remove(f"{key}.{end}")
        held.release()
        return
    if removable.kind == OLD_RUN:
        for path in removable.first:
            store.remove(path)
        store.remove_tree(key)
        return
    with objects.told(key, "written"):
        if removable.kind == UPLOAD:
            objects.abort_upload(key, removable.version)
        elif objects.replace(key, b"{}", removable.version) is not None:  # Nobody has it any more.
            objects.remove(key)


def _is_older(entry: Entry, limit_s: float) -> bool:
    return entry.age_s is not None and entry.age_s > limit_s


def _old(age_s: float | None) -> str:
    return f"unchanged for {(age_s or 0.0) / 3600:.0f} hours"
