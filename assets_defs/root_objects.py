"""Files of a root in an object store, as `root_pages.py` serves them: looked up by their keys alone, and streamed.

An object store has no links, so a key that begins with an open folder's is inside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.stages.store import Store

MAX_KEY_BYTES = 1024
"""S3's limit."""
_CHUNK_BYTES = 1 << 20
_AHEAD_BYTES = 4 << 20
"""Read in one request: more would be kept in memory for each page that is open."""


@dataclass(frozen=True)
class StoredFile:
    """An object or a folder of objects.

    Attributes:
        path: in the object store.
        num_bytes: its size; 0 for a folder.
    """

    fs: Any
    path: str
    is_folder: bool
    num_bytes: int

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition("/")[2]

    def read(self) -> bytes:
        """All of it. Raises OSError."""
        return bytes(self.fs.cat_file(self.path))

    def chunks(self) -> Iterator[bytes]:
        """All of it, piece by piece. Raises OSError before the first piece when it is not there any more."""
        with self.fs.open(self.path, "rb", block_size=_AHEAD_BYTES) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def entries(self) -> list["StoredFile"]:
        """What lies directly in a folder, by name. Raises OSError."""
        found = [_stored(self.fs, info) for info in self.fs.ls(self.path, detail=True)]
        return sorted((one for one in found if one.name), key=lambda one: one.name)


def find_object(store: Store, path: str) -> StoredFile | None:
    """What lies at a path of the root; None = there is nothing, or it cannot be a path of one.

    Raises:
        BadSetup: the object store cannot be read.
    """
    if any(part in ("", ".", "..") or not part.isprintable() or "\\" in part for part in path.split("/")):
        return None
    url, fs = store.url(path), store.objects.fs
    if len(url.encode()) > MAX_KEY_BYTES:
        return None
    try:
        with store.objects.told(path, "read"):
            return _stored(fs, fs.info(url))
    except FileNotFoundError:
        return None


def _stored(fs: Any, info: dict[str, Any]) -> StoredFile:
    return StoredFile(fs, str(info["name"]).rstrip("/"), info["type"] == "directory", int(info["size"] or 0))
