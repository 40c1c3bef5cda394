"""The store of a dataset's files: one root, a local folder or an object store, with the same promises.

A path holds either a whole object or nothing (`local_files.py`, `objects.py`).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from decoupage.text_files import parse_json
from pipelines.stages import local_files
from pipelines.stages.objects import AT_ONCE, PIECE_BYTES, Objects
from pipelines.stages.tables import read_parquet

MAX_BYTES = 1 << 30
"""No file that is read as a whole is larger."""
IN_MEMORY = 64
"""Number of objects that `read_each` has in memory together."""
_LOCAL = ("file", "local")


@dataclass(frozen=True)
class Store:
    """All of one dataset's files, by paths relative to `root` (a folder or a URL such as `s3://bucket/run`).

    What the system says of a file (no permission, a folder in its place, a full disk) is a BadSetup that names it, and
    so is what an object store says (no bucket, wrong keys); only an absent file stays a FileNotFoundError.
    """

    root: str

    @property
    def is_local(self) -> bool:
        """True when files can be reached by ordinary paths."""
        return "://" not in self.root or self.root.partition("://")[0] in _LOCAL

    @property
    def objects(self) -> Objects:
        """What an object store has below the root; of no use to a local store."""
        if self.root.partition("://")[0] not in ("s3", "s3a"):
            return Objects(self.root)
        try:
            import s3fs  # noqa: F401 - holds the client.
        except ImportError as error:
            raise BadSetup(f"the root {self.root} needs the package s3fs. Fix: {install_line('s3')}") from error
        from pipelines.stages.s3 import S3Objects

        return S3Objects(self.root)

    def url(self, path: str) -> str:
        """The full address of a path in this store: a path of the file system, or `s3://bucket/prefix/path`.

        Raises:
            ValueError: the path would leave the root.
        """
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise ValueError(f"store paths are relative and stay inside the root, got {path!r}")
        if self.is_local:
            local = self.root.partition("://")[2] if "://" in self.root else self.root
            base = str(Path(local).expanduser().absolute()).rstrip("/")
        else:
            base = self.root.rstrip("/")
        return f"{base}/{path}" if path else base

    def _path(self, path: str) -> Path:
        return Path(self.url(path) or "/")

    def check(self) -> None:
        """Ask an object store whether it can be used, by one request. Raises BadSetup: it cannot."""
        if not self.is_local:
            with self._doing("opened", ""):
                self.objects.look()

    def version(self, path: str) -> str:
        """A text that changes when the object is replaced. Raises FileNotFoundError."""
        with self._doing("read", path):
            return local_files.version_of_file(self._path(path)) if self.is_local else self.objects.version(path)

    def versions(self, folder: str = "") -> dict[str, str]:
        """Path relative to a folder -> version, of all that `tree` names; of an object store by one listing."""
        if self.is_local:
            return {path: self.version(f"{folder}/{path}".lstrip("/")) for path in self.tree(folder)}
        with self._doing("read", folder):
            found = self.objects.versions(folder)
        return {path: found[path] for path in sorted(found) if not _is_hidden(path)}

    def exists(self, path: str) -> bool:
        """True when the object exists; a folder exists in a local store only."""
        with self._doing("read", path):
            return self._path(path).exists() if self.is_local else self.objects.exists(path)

    def read(self, path: str) -> bytes:
        """The whole object. Raises FileNotFoundError, and BadSetup for one of more than `MAX_BYTES`."""
        with self._doing("read", path):
            if not self.is_local:
                return self.objects.read(path, MAX_BYTES)
            if (size := local_files.size_of_file(self._path(path))) > MAX_BYTES:
                raise BadSetup(f"{self.url(path)} has {size} bytes, at most {MAX_BYTES} are read at once")
            return self._path(path).read_bytes()

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Whole objects, in order, of an object store many at once; None for an absent one.

        All are in memory at the same time: the caller bounds their number. Raises BadSetup as `read`.
        """
        if not self.is_local:
            for path in paths:
                self.url(path)
            with self._doing("read", ""):
                return self.objects.read_many(paths, MAX_BYTES)
        return [self._read_if_there(path) for path in paths]

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """As `read_many`, with no more than `IN_MEMORY` objects in memory."""
        for at in range(0, len(paths), IN_MEMORY):
            yield from self.read_many(paths[at : at + IN_MEMORY])

    def _read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def read_json(self, path: str) -> Any:
        """The value of a JSON file. Raises FileNotFoundError, and BadSetup that names a damaged file."""
        return parse_json(self.read(path), self.url(path))

    def read_table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """A parquet file. Raises FileNotFoundError, and BadSetup that names a damaged file."""
        return read_parquet(self.read(path), self.url(path), columns)

    def read_tables(self, paths: Sequence[str], columns: list[str] | None = None) -> Iterator[pa.Table]:
        """As `read_table`, one table after another, of an object store many at once."""
        for path, data in zip(paths, self.read_each(paths), strict=True):
            if data is None:
                raise FileNotFoundError(self.url(path))
            yield read_parquet(data, self.url(path), columns)

    def read_range(self, path: str, offset: int, num_bytes: int) -> bytes:
        """A part of an object. Raises FileNotFoundError."""
        with self._doing("read", path):
            if self.is_local:
                return local_files.read_range(self._path(path), offset, num_bytes)
            return self.objects.read_range(path, offset, num_bytes)

    def open(self, path: str) -> BinaryIO:
        """An object, to be read in pieces. Raises FileNotFoundError."""
        with self._doing("read", path):
            if not self.is_local:
                return self.objects.open(path)
            local_files.size_of_file(self._path(path))
            return self._path(path).open("rb")

    def size(self, path: str) -> int:
        """Size of an object in bytes. Raises FileNotFoundError."""
        with self._doing("read", path):
            return self._path(path).stat().st_size if self.is_local else self.objects.size(path)

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """Sizes in bytes, in order, of an object store many at once; None for an absent object."""
        if self.is_local:
            return [self._size_if_there(path) for path in paths]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._size_if_there, paths))

    def _size_if_there(self, path: str) -> int | None:
        try:
            return self.size(path)
        except FileNotFoundError:
            return None

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted names of the objects and folders directly in a folder; empty when the folder does not exist."""
        with self._doing("read", folder):
            found = local_files.names(self._path(folder)) if self.is_local else self.objects.names(folder)
        return sorted(name for name in found if name.endswith(suffix))

    def tree(self, folder: str = "") -> list[str]:
        """Sorted paths, relative to a folder, of all objects in it and below, without those with hidden parts."""
        with self._doing("read", folder):
            found = local_files.tree(self._path(folder)) if self.is_local else self.objects.tree(folder)
            return sorted(path for path in found if not _is_hidden(path))

    @contextmanager
    def _doing(self, doing: str, path: str) -> Iterator[None]:
        """Turn what the system or the object store says into faults. Raises ValueError as `url`."""
        url = self.url(path)
        if not self.is_local:
            with self.objects.told(path, doing):
                yield
            return
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            why = error.strerror or str(error)
            raise BadSetup(f"{url} cannot be {doing} ({why}); mend that, and run again") from error

    def write(self, path: str, data: bytes) -> None:
        """Write a whole object, replacing an existing one. Raises as `writing`."""
        with self.writing(path) as file:
            file.write(data)

    def create(self, path: str, data: bytes) -> bool:
        """Write a whole object where there is none; False, and nothing is changed, where there is one.

        Of several processes that do this at the same instant exactly one gets True. Raises as `writing`.
        """
        if self.is_local:
            return local_files.create(self._path(path), data)
        with self._doing("written", path):
            return self.objects.create(path, data) is not None

    def replace(self, path: str, data: bytes, version: str) -> str | None:
        """Write a whole object over this version of it; the new version, or None, and nothing is changed, over another.

        S3 compares and writes at once; elsewhere two processes must not do this at the same instant. Raises as
        `writing`.
        """
        if not self.is_local:
            with self._doing("written", path):
                return self.objects.replace(path, data, version)
        if not self.exists(path) or self.version(path) != version:
            return None
        self.write(path, data)
        return self.version(path)

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that appears under `path` only when the block ends without an exception.

        Raises:
            BadSetup: it cannot be written: no permission, a full disk, something else of that name, no bucket.
        """
        if self.is_local:
            with local_files.writing(self._path(path)) as file:
                yield file
        else:
            self.url(path)
            with self.objects.writing(path) as file:
                yield file

    def remove(self, path: str) -> None:
        """Remove an object; nothing happens when it is absent, or when others remove it as well.

        In a local store a folder goes, too, with all that is in it; `remove_tree` does that everywhere. Of a symbolic
        link the link is removed, never what it points at.
        """
        with self._doing("written", path):
            if self.is_local:
                local_files.remove(self._path(path))
            else:
                self.objects.remove(path)

    def remove_tree(self, folder: str) -> None:
        """Remove a folder with all that is in it; nothing happens when it is absent."""
        with self._doing("written", folder):
            if self.is_local:
                local_files.remove(self._path(folder))
            else:
                self.objects.remove_tree(folder)

    def download(self, path: str, target: Path) -> None:
        """Copy an object to a local file. Raises FileNotFoundError."""
        with self._doing("read", path):
            if self.is_local:
                with self.open(path) as source, target.open("wb") as file:
                    file.writelines(iter(lambda: source.read(PIECE_BYTES), b""))
            else:
                self.objects.download(path, target)

    def upload(self, source: Path, path: str) -> str:
        """Copy a local file to an object; its version. Raises as `writing`, and OSError: the file cannot be read."""
        with source.open("rb") as file, self.writing(path) as target:
            while piece := file.read(PIECE_BYTES):
                target.write(piece)
        return getattr(target, "version", "") or self.version(path)

    def remove_leftovers(self, folder: str) -> int:
        """Remove temp files that ended processes left in a folder of a local store; returns how many."""
        return local_files.remove_leftovers(self._path(folder)) if self.is_local else 0


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
