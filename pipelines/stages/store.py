"""The store of a dataset's files: one root, a local folder or an object store, through fsspec.

A path holds either a whole object or nothing: local files are written under a temporary name, synced and renamed, and
object stores only put whole objects. Half-written files of a killed run are removed by the next.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from pipelines.stages.tables import parquet_table
from pipelines.stages.temps import TEMP_SUFFIX, new_temp, remove_abandoned, remove_path

MAX_BYTES = 1 << 30
"""No file that is read as a whole is larger."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that have no hard links."""


@dataclass(frozen=True)
class Store:
    """All of one dataset's files, by paths relative to `root` (a folder or a URL such as `s3://bucket/run`).

    What the system says of a file (no permission, a folder in its place, a full disk) is a BadSetup that names it; only
    an absent file stays a FileNotFoundError.
    """

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
        """The full address of a path in this store: a path of the file system, or `s3://bucket/prefix/path`.

        Raises:
            ValueError: the path would leave the root.
        """
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise ValueError(f"store paths are relative and stay inside the root, got {path!r}")
        fs, base = fsspec.core.url_to_fs(self.root)
        base = (base if self.is_local else fs.unstrip_protocol(base)).rstrip("/")
        return f"{base}/{path}" if path else base

    def version(self, path: str) -> str:
        """A text that changes when the object is replaced. Raises FileNotFoundError."""
        with self._reading(path):
            return str(self._fs.ukey(self.url(path)))

    def exists(self, path: str) -> bool:
        """True when the object exists."""
        with self._reading(path):
            return bool(self._fs.exists(self.url(path)))

    def read(self, path: str) -> bytes:
        """The whole object. Raises FileNotFoundError, and BadSetup for one of more than `MAX_BYTES`."""
        with self._reading(path):
            if (size := self._size_of_file(path)) > MAX_BYTES:
                raise BadSetup(f"{self.url(path)} has {size} bytes, at most {MAX_BYTES} are read at once")
            return bytes(self._fs.cat_file(self.url(path)))

    def read_json(self, path: str) -> Any:
        """The value of a JSON file. Raises FileNotFoundError, and BadSetup that names a damaged file."""
        return parse_json(self.read(path), self.url(path))

    def read_table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """A parquet file. Raises FileNotFoundError, and BadSetup that names a damaged file."""
        data = self.read(path)
        try:
            return parquet_table(data, columns)
        except ValueError as error:
            raise BadSetup(f"{self.url(path)} {error}") from error

    def read_range(self, path: str, offset: int, num_bytes: int) -> bytes:
        """A part of an object. Raises FileNotFoundError."""
        with self._reading(path):
            self._size_of_file(path)
            return bytes(self._fs.cat_file(self.url(path), start=offset, end=offset + num_bytes))

    def open(self, path: str) -> BinaryIO:
        """An object, to be read in pieces. Raises FileNotFoundError."""
        with self._reading(path):
            self._size_of_file(path)
            return cast(BinaryIO, self._fs.open(self.url(path), "rb"))

    def size(self, path: str) -> int:
        """Size of an object in bytes. Raises FileNotFoundError."""
        with self._reading(path):
            return int(self._fs.size(self.url(path)))

    def _size_of_file(self, path: str) -> int:
        """Bytes of a local file, of which a pipe or a device would have no end; 0 in an object store."""
        if not self.is_local:
            return 0
        found = Path(self.url(path)).stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise BadSetup(f"{self.url(path)} is not a regular file; remove it")
        return found.st_size

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the objects directly in a folder; empty when the folder does not exist."""
        with self._reading(folder):
            if not self._fs.isdir(self.url(folder)):
                return []
            found = [str(entry).rsplit("/", 1)[-1] for entry in self._fs.ls(self.url(folder), detail=False)]
        return sorted(name for name in found if name.endswith(suffix) and not name.endswith(TEMP_SUFFIX))

    def tree(self, folder: str = "") -> list[str]:
        """Sorted paths, relative to a folder, of all objects in it and below, without those with hidden parts."""
        base = self.url(folder)
        num_before = len(str(fsspec.core.url_to_fs(base)[1]))
        with self._reading(folder):
            found = [str(path)[num_before:].strip("/") for path in self._fs.find(base)]
        return sorted(path for path in found if path and not any(part.startswith(".") for part in path.split("/")))

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            why = error.strerror or str(error)
            raise BadSetup(f"{self.url(path)} cannot be read ({why}); mend that, and run again") from error

    def write(self, path: str, data: bytes) -> None:
        """Write a whole object, replacing an existing one. Raises as `writing`."""
        with self.writing(path) as file:
            file.write(data)

    def create(self, path: str, data: bytes) -> bool:
        """Write a whole object where there is none; False, and nothing is changed, where there is one.

        Of several processes that do this at the same instant exactly one gets True. Raises as `writing`.
        """
        if not self.is_local:
            try:
                self._fs.pipe_file(self.url(path), data, mode="create")
            except FileExistsError:
                return False
            return True
        with self._temp(path) as (temp, file):
            file.write(data)
            try:
                _sync(file)
                _link(temp, Path(self.url(path)), data)
            except FileExistsError:
                return False
            except OSError as error:
                raise self._unwritten(path, error) from error
        return True

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that appears under `path` only when the block ends without an exception.

        Raises:
            BadSetup: the folder cannot be made or written to, the disk is full, or something else has that name.
        """
        if not self.is_local:
            # fsspec's object stores upload on close and discard on error, so objects are always whole.
            with self._fs.transaction, self._fs.open(self.url(path), "wb") as file:
                yield file
            return
        with self._temp(path) as (temp, file):
            yield file
            try:
                _sync(file)
                temp.replace(self.url(path))
            except OSError as error:
                raise self._unwritten(path, error) from error

    @contextmanager
    def _temp(self, path: str) -> Iterator[tuple[Path, BinaryIO]]:
        """A new temp file beside a path of a local store, locked while it is open, and gone afterwards."""
        target = Path(self.url(path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temp, file = new_temp(target)
        except OSError as error:
            raise BadSetup(
                f"{target.parent} cannot be written to ({error.strerror}); choose another root with DECOUPAGE_ROOT, "
                "or free space and correct its permissions"
            ) from error
        try:
            with file:
                yield temp, file
        except OSError as error:
            if error.errno in _FULL:
                raise self._unwritten(path, error) from error
            raise
        finally:
            temp.unlink(missing_ok=True)

    def _unwritten(self, path: str, error: OSError) -> BadSetup:
        mend = "free space" if error.errno in _FULL else "correct that"
        return BadSetup(f"{self.root}: {error.strerror} while writing {path}; {mend} and run again")

    def remove(self, path: str) -> None:
        """Remove an object or a folder; nothing happens when it is absent, or when others remove it as well.

        Of a symbolic link the link is removed, never what it points at.
        """
        with self._reading(path):
            if self.is_local:
                remove_path(Path(self.url(path)))
            elif self._fs.exists(self.url(path)):
                self._fs.rm(self.url(path), recursive=True)

    def remove_leftovers(self, folder: str) -> int:
        """Remove temp files that ended processes left in a folder; returns how many."""
        if not self.is_local or not Path(self.url(folder)).is_dir():
            return 0
        return sum(remove_abandoned(temp) for temp in sorted(Path(self.url(folder)).glob(f".*{TEMP_SUFFIX}")))


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _link(temp: Path, target: Path, data: bytes) -> None:
    """Let a whole file appear under a name that is free. Raises FileExistsError: it is not."""
    try:
        os.link(temp, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with target.open("xb") as file:
            file.write(data)
            _sync(file)
