"""The objects of a root in an object store, through fsspec; S3 has a protocol of its own (`s3.py`).

Paths are keys relative to the root. An object is whole or absent: writers upload on close, and discard on an error.
"""

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from decoupage.faults import BadSetup

AT_ONCE = 32
"""Number of requests that are under way at once where many objects are read."""
PIECE_BYTES = 1 << 22
SMALL_BYTES = 64 << 20
"""What is written at once, from memory."""
_TAGS, _TIMES = ("ETag", "etag", "md5Hash", "content_md5"), ("created", "mtime", "updated", "last_modified")
"""Where file systems tell an object's hash, else its time."""
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """An object or an upload in a listing.

    Attributes:
        num_bytes: its size.
        version: as `Objects.version`; of an upload its id.
        age_s: seconds since it was written, by the server's clock; None = the file system does not say.
    """

    num_bytes: int
    version: str
    age_s: float | None = None


class Objects:
    """Objects below one prefix.

    Args:
        root: address of the prefix, e.g. `s3://bucket/run`.

    Raises:
        BadSetup: the package that knows the protocol is not installed.
    """

    faults: tuple[type[BaseException], ...] = (OSError,)
    """What its methods raise beside BadSetup, those of `writing` apart; `told` turns it into a sentence."""

    def __init__(self, root: str) -> None:
        self.protocol, _, base = root.partition("://")
        self.base = base.strip("/")
        try:
            self.fs = _file_system(self.protocol, self.options(), os.getpid())
        except (ImportError, ValueError) as error:
            raise BadSetup(
                f"the root {root} cannot be opened: {error}; name another with DECOUPAGE_ROOT or --root"
            ) from error

    def options(self) -> tuple[tuple[str, Any], ...]:
        """Arguments of the file system; they do not hold secrets."""
        return ()

    def url(self, path: str) -> str:
        """The full address of a path."""
        return f"{self.protocol}://{'/'.join(part for part in (self.base, path) if part)}"

    def explain(self, error: BaseException, path: str, doing: str) -> Exception:
        """The fault that a caller is to see: FileNotFoundError of an absent object, or a BadSetup in words."""
        if isinstance(error, FileNotFoundError):
            return error
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return BadSetup(f"{self.url(path)} cannot be {doing} ({why}); mend that, and run again")

    @contextmanager
    def told(self, path: str, doing: str) -> Iterator[None]:
        """Turn what the store says inside the block into faults, by `explain`."""
        try:
            yield
        except self.faults as error:
            raise self.explain(error, path, doing) from error

    def look(self) -> None:
        """One request, to see whether the store answers and knows these credentials."""
        self.fs.exists(self.url(""))

    # ---- reading

    def exists(self, path: str) -> bool:
        """True when the object exists."""
        return bool(self.fs.exists(self.url(path)))

    def version(self, path: str) -> str:
        """A text that changes when the object is replaced. Raises FileNotFoundError."""
        return _version(self.fs.info(self.url(path)))

    def size(self, path: str) -> int:
        """Size in bytes. Raises FileNotFoundError."""
        return int(self.fs.size(self.url(path)))

    def read(self, path: str, max_bytes: int) -> bytes:
        """The whole object. Raises FileNotFoundError; BadSetup: it is larger."""
        if (size := self.size(path)) > max_bytes:
            raise self.too_large(path, size, max_bytes)
        return bytes(self.fs.cat_file(self.url(path)))

    def too_large(self, path: str, size: int, max_bytes: int) -> BadSetup:
        """The fault of an object that is not read as a whole."""
        return BadSetup(f"{self.url(path)} has {size} bytes, at most {max_bytes} are read at once")

    def read_many(self, paths: Sequence[str], max_bytes: int) -> list[bytes | None]:
        """Whole objects, in order, several at once; None for an absent one."""

        def read(path: str) -> bytes | None:
            try:
                return self.read(path, max_bytes)
            except FileNotFoundError:
                return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(read, paths))

    def read_range(self, path: str, offset: int, num_bytes: int) -> bytes:
        """A part of an object. Raises FileNotFoundError."""
        return bytes(self.fs.cat_file(self.url(path), start=offset, end=offset + num_bytes))

    def open(self, path: str) -> BinaryIO:
        """An object, to be read in pieces. Raises FileNotFoundError."""
        return cast(BinaryIO, self.fs.open(self.url(path), "rb", block_size=2 * PIECE_BYTES))

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder, of objects and of folders."""
        try:
            found = self.fs.ls(self.url(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (str(entry["name"]).rstrip("/").rsplit("/", 1)[-1] for entry in found)
        own = self.url(folder).rstrip("/").rsplit("/", 1)[-1]
        # Of an object the listing is the object itself.
        return [name for name in names if not (len(found) == 1 and name == own and self._is_object(found[0], folder))]

    def _is_object(self, entry: dict[str, Any], path: str) -> bool:
        whole = self.url(path).partition("://")[2].strip("/")
        return entry["type"] == "file" and str(entry["name"]).strip("/") == whole

    def tree(self, folder: str) -> list[str]:
        """Paths, relative to a folder, of all objects below it."""
        return list(self.versions(folder))

    def versions(self, folder: str) -> dict[str, str]:
        """Path relative to a folder -> version, of all objects below it."""
        whole = self.url(folder).partition("://")[2].strip("/")
        found = {str(path).strip("/"): info for path, info in self.fs.find(self.url(folder), detail=True).items()}
        return {path[len(whole) :].strip("/"): _version(info) for path, info in found.items() if path != whole}

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """All objects below a folder, by path relative to it, hidden ones too."""
        whole = self.url(folder).partition("://")[2].strip("/")
        found = {str(path).strip("/"): info for path, info in self.fs.find(self.url(folder), detail=True).items()}
        return {path[len(whole) :].strip("/"): Entry(int(info["size"]), _version(info)) for path, info in found.items()}

    def unfinished_uploads(self) -> list[tuple[str, Entry]]:
        """(path, upload) of those below the root that were begun and neither finished nor aborted."""
        return []

    def abort_upload(self, path: str, upload: str) -> None:
        """Forget an unfinished upload; nothing happens when it is gone."""

    # ---- writing

    def create(self, path: str, data: bytes) -> str | None:
        """Write an object where there is none; its version, or None, and nothing is changed, where there is one."""
        with _ALONE:  # memory:// looks before it writes.
            try:
                self.fs.pipe_file(self.url(path), data, mode="create")
            except FileExistsError:
                return None
            return self.version(path)

    def replace(self, path: str, data: bytes, version: str) -> str | None:
        """Write over this version of an object; the new version, or None when it is another one or gone.

        Between the look and the write another process may be faster: fsspec has no condition for it.
        """
        with _ALONE:
            try:
                if self.version(path) != version:
                    return None
            except FileNotFoundError:
                return None
            self.fs.pipe_file(self.url(path), data)
            return self.version(path)

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that appears under `path` only when the block ends without an exception.

        Raises:
            BadSetup: it cannot be opened or finished.
        """
        # fsspec's own files differ in what they show before they are closed, and in what an error leaves.
        with tempfile.NamedTemporaryFile() as file:
            yield cast(BinaryIO, file)
            file.flush()
            with self.told(path, "written"):
                if file.tell() <= SMALL_BYTES:
                    self.fs.pipe_file(self.url(path), Path(file.name).read_bytes())
                else:
                    self.fs.put_file(file.name, self.url(path))

    def remove(self, path: str) -> None:
        """Remove an object; nothing happens when it is absent."""
        try:
            self.fs.rm_file(self.url(path))
        except FileNotFoundError:
            return

    def remove_tree(self, folder: str) -> None:
        """Remove all objects below a folder."""
        for path in self.tree(folder):
            self.remove(f"{folder}/{path}".lstrip("/"))

    def download(self, path: str, target: Path) -> None:
        """Copy an object to a local file. Raises FileNotFoundError."""
        with self.open(path) as source, target.open("wb") as file:
            while piece := source.read(PIECE_BYTES):
                file.write(piece)


@lru_cache(maxsize=16)
def _file_system(protocol: str, options: tuple[tuple[str, Any], ...], process: int) -> Any:
    """One client for all threads of a process: fsspec itself keeps one for each thread."""
    import fsspec

    arguments = {name: _plain(value) for name, value in options}
    return fsspec.filesystem(protocol, skip_instance_cache=True, **arguments)


def _version(info: dict[str, Any]) -> str:
    """What changes in an object's description when it is replaced."""
    tags = [str(info[name]) for name in _TAGS if info.get(name)]
    times = [
        str(value.timestamp() if isinstance(value, datetime) else value)
        for name in _TIMES
        if (value := info.get(name)) is not None
    ]
    return "-".join([str(info["size"]), *(tags or times)])


def _plain(value: Any) -> Any:
    return {name: _plain(inner) for name, inner in value} if isinstance(value, tuple) else value
