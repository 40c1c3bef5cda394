"""The store of a dataset's files: one root, a local folder or an object store, through fsspec.

A path holds either a whole object or nothing: local files are written under a temporary name, synced and renamed, and
object stores only put whole objects. Half-written files of a killed run are removed by the next.
"""

import errno
import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json

_TEMP_SUFFIX = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Store:
    """All of one dataset's files, by paths relative to `root` (a folder or a URL such as `s3://bucket/run`)."""

    root: str

    @property
    def _fs(self) -> fsspec.AbstractFileSystem:
        # fsspec caches file systems by their arguments, so this opens no new connection.
        return fsspec.core.url_to_fs(self.root)[0]

    @property
    def is_local(self) -> bool:
        """True when files can be reached by ordinary paths."""
        return isinstance(self._fs, LocalFileSystem)

    def url(self, path: str) -> str:
        """The full address of a path in this store.

        Raises:
            ValueError: the path would leave the root.
        """
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise ValueError(f"store paths are relative and stay inside the root, got {path!r}")
        base = fsspec.core.url_to_fs(self.root)[1].rstrip("/")
        return f"{base}/{path}" if path else base

    def exists(self, path: str) -> bool:
        """True when the object exists."""
        return bool(self._fs.exists(self.url(path)))

    def read(self, path: str) -> bytes:
        """The whole object. Raises FileNotFoundError."""
        return bytes(self._fs.cat_file(self.url(path)))

    def read_json(self, path: str) -> Any:
        """The value of a JSON file. Raises FileNotFoundError, and BadSetup that names a damaged file."""
        return parse_json(self.read(path), self.url(path))

    def read_table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """A parquet file. Raises FileNotFoundError, and BadSetup that names a damaged file."""
        data = self.read(path)
        try:
            return pq.read_table(io.BytesIO(data), columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise BadSetup(f"{self.url(path)} is no readable parquet file: {error}") from error

    def read_range(self, path: str, offset: int, num_bytes: int) -> bytes:
        """A part of an object. Raises FileNotFoundError."""
        return bytes(self._fs.cat_file(self.url(path), start=offset, end=offset + num_bytes))

    def size(self, path: str) -> int:
        """Size of an object in bytes. Raises FileNotFoundError."""
        return int(self._fs.size(self.url(path)))

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the objects directly in a folder; empty when the folder does not exist."""
        if not self._fs.isdir(self.url(folder)):
            return []
        found = (str(entry).rsplit("/", 1)[-1] for entry in self._fs.ls(self.url(folder), detail=False))
        return sorted(name for name in found if name.endswith(suffix) and not name.endswith(_TEMP_SUFFIX))

    def tree(self, folder: str = "") -> list[str]:
        """Sorted paths, relative to a folder, of all objects in it and below, without those with hidden parts."""
        base = self.url(folder)
        found = (str(path)[len(base) :].strip("/") for path in self._fs.find(base))
        return sorted(path for path in found if path and not any(part.startswith(".") for part in path.split("/")))

    def write(self, path: str, data: bytes) -> None:
        """Write a whole object, replacing an existing one."""
        with self.writing(path) as file:
            file.write(data)

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that appears under `path` only when the block ends without an exception.

        Raises:
            BadSetup: the folder cannot be made or written to, or the disk is full.
        """
        if not self.is_local:
            # fsspec's object stores upload on close and discard on error, so objects are always whole.
            with self._fs.transaction, self._fs.open(self.url(path), "wb") as file:
                yield file
            return
        target = Path(self.url(path))
        temp = target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}{_TEMP_SUFFIX}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            opened = temp.open("wb")
        except OSError as error:
            raise BadSetup(
                f"{target.parent} cannot be written to ({error.strerror}); choose another root with DECOUPAGE_ROOT, "
                "or free space and correct its permissions"
            ) from error
        try:
            with opened as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temp.replace(target)
        except OSError as error:
            temp.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise BadSetup(
                    f"{self.root}: {error.strerror} while writing {path}; free space and run again"
                ) from error
            raise
        except BaseException:
            temp.unlink(missing_ok=True)
            raise

    def remove(self, path: str) -> None:
        """Remove an object or a folder; nothing happens when it is absent."""
        if self._fs.exists(self.url(path)):
            self._fs.rm(self.url(path), recursive=True)

    def remove_leftovers(self, folder: str) -> int:
        """Remove temp files that dead processes of this host left in a folder; returns how many."""
        if not self.is_local or not Path(self.url(folder)).is_dir():
            return 0
        temps = Path(self.url(folder)).glob(f".*.{socket.gethostname()}.*{_TEMP_SUFFIX}")
        dead = [temp for temp in temps if not is_alive(int(temp.name.split(".")[-2]))]
        for temp in dead:
            temp.unlink(missing_ok=True)
        return len(dead)


def is_alive(pid: int) -> bool:
    """True when a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It exists and belongs to another user.
        return True
    return True
