"""Finds shards behind a path that a person gives: a tar, a folder of shards, or a dataset's root.

Nothing here reads what a shard holds.
"""

import re
from dataclasses import dataclass
from typing import BinaryIO, cast

import fsspec

from decoupage.faults import BadSetup
from pipelines.stages.store import Store

_SHARD_FILE = re.compile(r"(\d+)\.(tar|parquet|json)")


@dataclass(frozen=True)
class ShardFolder:
    """A folder of shards.

    Attributes:
        store: rooted at the folder itself.
        shards: shard names in order; each has at least one of `.tar`, `.parquet` and `.json`.
    """

    store: Store
    shards: tuple[str, ...]

    def open(self, name: str) -> BinaryIO:
        """A file of the folder, for reading from front to back. Raises FileNotFoundError."""
        fs, root = fsspec.core.url_to_fs(self.store.root)
        return cast(BinaryIO, fs.open(f"{root.rstrip('/')}/{name}", "rb"))

    def temp_names(self) -> list[str]:
        """Names of files that a run has not finished (or never will)."""
        fs, root = fsspec.core.url_to_fs(self.store.root)
        names = (str(entry).rsplit("/", 1)[-1] for entry in fs.ls(root, detail=False))
        return sorted(name for name in names if name.endswith(".tmp"))


def find_shards(path: str) -> ShardFolder:
    """The shards behind a path or fsspec URL: one `.tar`, a folder of them, or a root with `shards/` in it.

    Raises:
        BadSetup: there is nothing there, or nothing that looks like a shard.
    """
    fs, bare = fsspec.core.url_to_fs(path)
    # A tar that was lost may still have its manifest, so the tar itself need not exist.
    if path.endswith(".tar") and not fs.isdir(bare):
        name = path.rpartition("/")[2]
        shard = name.removesuffix(".tar")
        found = ShardFolder(Store(path.removesuffix(name) or "."), (shard,))
        if not any(found.store.exists(shard + end) for end in (".tar", ".json")):
            raise BadSetup(f"there is no {path}")
        return found
    if not fs.isdir(bare):
        raise BadSetup(f"there is no folder {path}")
    for root in (path.rstrip("/") or "/", path.rstrip("/") + "/shards"):
        matches = [_SHARD_FILE.fullmatch(name) for name in Store(root).names("")]
        shards = tuple(sorted({match[1] for match in matches if match}))
        if shards:
            return ShardFolder(Store(root), shards)
    raise BadSetup(f"{path} holds no shards: neither NNNNN.tar files nor a folder shards/ with them")
