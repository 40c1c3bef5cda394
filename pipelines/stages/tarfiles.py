"""Tar files whose bytes depend on their members only, and the table of the members' positions.

Time, owner, mode and order are fixed, so the same members give the same archive. With the member table a reader can
fetch one member by range, and `verify` can name the member that a damaged byte belongs to.
"""

import hashlib
import tarfile
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_NAME_BYTES = 100
"""Longest name that a ustar header holds without a prefix."""
END = b"\0" * (2 * BLOCK)
"""The end-of-archive mark. No padding to 10,240-byte records follows, because the format does not require it."""


class Member(NamedTuple):
    """Position of one member's data in its tar (bytes from the start), its size and hash."""

    name: str
    offset: int
    num_bytes: int
    sha256: str


def header(name: str, num_bytes: int) -> bytes:
    """The 512-byte ustar header of a member.

    Raises:
        ValueError: the name is longer than ustar's 100 bytes.
    """
    info = tarfile.TarInfo(name)
    info.size = num_bytes
    info.mode = 0o644
    data = info.tobuf(tarfile.USTAR_FORMAT)
    assert len(data) == BLOCK
    return data


def padding(num_bytes: int) -> bytes:
    """The zeros that fill a member's last block."""
    return b"\0" * (-num_bytes % BLOCK)


@dataclass
class TarWriter:
    """Writes members in the given order, and records the member table and the archive's hash."""

    file: BinaryIO
    members: list[Member] = field(default_factory=list)
    num_bytes: int = 0

    def __post_init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, name: str, data: bytes) -> None:
        """Append one member. Raises ValueError for a name over 100 bytes."""
        self._write(header(name, len(data)))
        self.members.append(Member(name, self.num_bytes, len(data), hashlib.sha256(data).hexdigest()))
        self._write(data)
        self._write(padding(len(data)))

    def finish(self) -> str:
        """Write the end mark; returns the SHA-256 of the whole archive."""
        self._write(END)
        return self._sha.hexdigest()

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self._sha.update(data)
        self.num_bytes += len(data)
