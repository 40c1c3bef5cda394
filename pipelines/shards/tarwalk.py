"""Walks a shard's tar from front to back and compares every byte of its structure with what it must be.

With the manifest's member table each header, padding and hash is known beforehand; without it the tar's own
headers are followed. What members mean is the business of `content.py`.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from pipelines.scenes.read import MAX_MEMBER_BYTES
from pipelines.shards.faults import Finding
from pipelines.stages.tarfiles import BLOCK, END, Member, header, padding

Walked = tuple[str, bytes | None]
"""A member's name and data; None when the data is not what the manifest says."""


class TarWalk:
    """One pass over a tar; holds one member in memory at a time.

    Args:
        file: at its start.
        num_bytes: its size.

    Attributes:
        findings: filled while walking.
        stopped: True when the rest of the tar could not be checked, so that its last key may be incomplete.
    """

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self.findings: list[Finding] = []
        self.stopped = False
        self._file = file
        self._left = num_bytes
        self._sha = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._sha.hexdigest()

    def known(self, members: Sequence[Member]) -> Iterator[Walked]:
        """The members of the manifest's table, in order."""
        place = 0  # Where the next header must be; in a tar that is cut off, reading stops short of it.
        for i, member in enumerate(members):
            if member.offset != place + BLOCK:
                self._found(member.name, "offset", f"the manifest says {member.offset}, it must be {place + BLOCK}")
                self.stopped = True
                return
            if member.num_bytes > MAX_MEMBER_BYTES:
                self._found(member.name, "too_large", f"has {member.num_bytes} bytes, more than any scene's member")
                self.stopped = True
                return
            place = member.offset + member.num_bytes + len(padding(member.num_bytes))
            head = self._read(BLOCK)
            data = self._read(member.num_bytes)
            if len(data) < member.num_bytes:
                rest = f", and {len(members) - i - 1} members after it are missing" if i + 1 < len(members) else ""
                self._found(member.name, "truncated", f"{len(data)} of {member.num_bytes} bytes are there{rest}")
                self.stopped = True
                return
            try:
                self._compare(head, header(member.name, member.num_bytes), f"header of {member.name}", "header")
            except ValueError:  # A surrogate, too: UnicodeError is one.
                self._found(member.name, "bad_name", "is a name that no header can hold")
            whole = hashlib.sha256(data).hexdigest() == member.sha256
            if not whole:
                self._found(member.name, "sha256", f"its {member.num_bytes} bytes do not hash to {member.sha256}")
            yield member.name, data if whole else None
            self._pad(member.name, member.num_bytes)
        self._end()

    def unknown(self) -> Iterator[Walked]:
        """The members that the tar itself names."""
        place = "first header"
        while self._left > len(END):
            head = self._read(BLOCK)
            try:
                info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
                expected = header(info.name, info.size)
            except (tarfile.HeaderError, ValueError) as error:
                self._found(place, "header", f"is not a tar header ({error}); what follows it was not checked")
                self.stopped = True
                return
            self._compare(head, expected, f"header of {info.name}", "header")
            place = f"header after {info.name}"
            if info.isdir() or info.islnk() or info.issym() or info.isdev():
                self._found(info.name, "not_a_file", "is not a plain file, and not part of a shard")
                continue
            if not info.isfile() or info.issparse():
                self._found(info.name, "not_a_file", "is not a plain file; what follows it was not checked")
                self.stopped = True
                return
            if info.size > self._left:
                self._found(info.name, "truncated", f"{self._left} of {info.size} bytes are there")
                self.stopped = True
                return
            if info.size > MAX_MEMBER_BYTES:
                self._found(info.name, "too_large", f"has {info.size} bytes, more than any scene's member")
                self.stopped = True
                return
            yield info.name, self._read(info.size)
            self._pad(info.name, info.size)
        self._end()

    def _pad(self, name: str, num_bytes: int) -> None:
        zeros = padding(num_bytes)
        self._compare(self._read(len(zeros)), zeros, f"padding of {name}", "padding")

    def _end(self) -> None:
        mark = self._read(len(END))
        if len(mark) < len(END):
            self._found("end of archive", "truncated", f"{len(mark)} of {len(END)} bytes are there")
        self._compare(mark, END, "end of archive", "end_mark")
        if self._left:
            self._found("end of archive", "trailing_bytes", f"{self._left} bytes follow it")

    def _compare(self, found: bytes, expected: bytes, place: str, kind: str) -> None:
        if found == expected[: len(found)]:
            return
        wrong = [i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b]
        self._found(place, kind, f"{len(wrong)} bytes are not what they must be, the first at {wrong[0]}")

    def _read(self, num_bytes: int) -> bytes:
        # Never asks for more than there is: a damaged size must not become a huge buffer.
        data = self._file.read(min(num_bytes, self._left))
        self._left -= len(data)
        self._sha.update(data)
        return data

    def _found(self, member: str, kind: str, detail: str) -> None:
        self.findings.append(Finding(member, kind, detail))
