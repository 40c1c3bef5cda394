"""An object that is read in pieces, each by one request; all pieces are of one version."""

import io
from contextlib import AbstractContextManager
from typing import Protocol


class Readable(Protocol):
    """A bucket and its client."""

    def read_part(self, path: str, offset: int, num_bytes: int, version: str) -> bytes:
        """A part of this version of an object."""
        ...

    def told(self, path: str, doing: str) -> AbstractContextManager[None]:
        """Turns what the server says inside the block into faults."""
        ...


class Reading(io.RawIOBase):
    """A file for reading; its methods raise BadSetup.

    Args:
        objects: the bucket.
        path: of the object.
        size: in bytes.
        version: of the object; when it is replaced meanwhile, the next piece is refused.
    """

    def __init__(self, objects: Readable, path: str, size: int, version: str) -> None:
        self._objects, self._path, self._size, self._version = objects, path, size, version
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; it is returned."""
        self._at = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset)
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as there is something; number of bytes."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        with self._objects.told(self._path, "read"):
            data = self._objects.read_part(self._path, self._at, wanted, self._version)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """The rest, by one request."""
        buffer = bytearray(max(0, self._size - self._at))
        return bytes(buffer[: self.readinto(memoryview(buffer))])
