"""Finds shards behind a path that a person gives: a tar, a folder of shards, or a dataset's root.

Nothing here reads what a shard holds.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from decoupage.faults import BadSetup
from pipelines.stages.plan import beyond, named, read_plan, shards_there
from pipelines.stages.store import Store
from pipelines.stages.temps import TEMP_SUFFIX


class OnlyBeyond(BadSetup):
    """A folder holds shards, but none of them is planned."""


@dataclass(frozen=True)
class ShardFolder:
    """A folder of shards.

    Attributes:
        store: rooted at the folder itself.
        shards: shard names in order; each has at least one of `.tar`, `.parquet` and `.json`.
        is_whole: False where one `.tar` was named, which is read whatever the folder's plan says.
    """

    store: Store
    shards: tuple[str, ...]
    is_whole: bool = True

    def open(self, name: str) -> BinaryIO:
        """A file of the folder, for reading from front to back. Raises FileNotFoundError."""
        return self.store.open(name)

    def temp_names(self) -> list[str]:
        """Names of files that a run has not finished (or never will)."""
        if not self.store.is_local:
            return []  # What is not whole does not show.
        return sorted(path.name for path in Path(self.store.url("")).iterdir() if path.name.endswith(TEMP_SUFFIX))

    def planned(self) -> "ShardFolder":
        """The folder without the shards beyond its plan.

        Raises:
            BadSetup: the plan is damaged, or none of the shards is in it.
        """
        plan = read_plan(self.store, "") if self.is_whole else None
        if plan is None:
            return self
        more = beyond(self.store, "", plan)
        kept = tuple(shard for shard in self.shards if shard in plan)
        if not kept:
            raise OnlyBeyond(f"{self.store.root} holds no shard of its plan, only shards beyond it ({named(more)})")
        return replace(self, shards=kept)


def find_shards(path: str) -> ShardFolder:
    """The shards behind a path or fsspec URL: one `.tar`, a folder of them, or a root with `shards/` in it.

    Shards beyond the folder's plan are left out.

    Raises:
        BadSetup: there is nothing there, or nothing that looks like a shard, or the plan is damaged.
    """
    return find_all(path).planned()


def find_all(path: str) -> ShardFolder:
    """As `find_shards`, but with the shards beyond the plan. Raises BadSetup: there is nothing like a shard."""
    # A tar that was lost may still have its manifest, so the tar itself need not exist.
    if path.endswith(".tar") and not _is_folder(path):
        name = path.rpartition("/")[2]
        shard = name.removesuffix(".tar")
        folder = path.removesuffix(name).rstrip("/") or ("/" if path.startswith("/") else ".")
        found = ShardFolder(Store(folder), (shard,), is_whole=False)
        if not any(found.store.exists(shard + end) for end in (".tar", ".json")):
            raise BadSetup(f"there is no {path}")
        return found
    if not _is_folder(path):
        raise BadSetup(f"there is no folder {path}")
    for root in (path.rstrip("/") or "/", path.rstrip("/") + "/shards"):
        if shards := tuple(shards_there(Store(root), "")):
            return ShardFolder(Store(root), shards)
    raise BadSetup(f"{path} holds no shards: neither NNNNN.tar files nor a folder shards/ with them")


def _is_folder(path: str) -> bool:
    store = Store(path)
    return Path(store.url("")).is_dir() if store.is_local else bool(store.names(""))
