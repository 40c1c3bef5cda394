"""Scenes of an object store on this machine's disk: bound in bytes, shared by all processes that read here.

A block is what one range request brings: the members of one scene. Its file is named by the members' hashes, so it is
never out of date, whichever root or run it came from. Whole shards would be fewer requests, but samples are drawn over
all shards, so that the first batches would wait for all of them; the two have not been compared by measurement.

A file appears under its name when it is whole, and what is read is compared with the manifest's hashes; a block that is
damaged is removed and fetched again. The sum of sizes is kept in a file that each process changes under its lock before
it writes, so that the bound holds at every moment. When it is reached, blocks make room that no run has used since this
one began, the oldest first. When there are none, a new one is not kept: of data larger than the cache a share stays,
where evicting in turn would evict nearly every block shortly before its next use.
"""

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from decoupage.cache import cache_folder
from decoupage.faults import BadSetup
from pipelines.scenes.read import Span
from pipelines.stages.store import Store

_log = logging.getLogger(__name__)
_SUM = "num_bytes"
"""File with the sum of the blocks' sizes, and of those that are being written."""
_UNFINISHED = ".tmp"
_ABANDONED_S = 600.0
"""An unfinished file of this age is of a process that was killed."""
_LOOK_EVERY_S = 30.0
"""Seconds between two looks for room in a full cache."""
_FREED_SHARE = 0.05
"""How much is made free at once, of the whole."""


class Unreachable(Exception):
    """The store does not answer, or refuses: no scene is at fault, so none is skipped."""


@dataclass
class SceneCache:
    """The blocks of this machine.

    Attributes:
        max_bytes: of all blocks together; 0 = none is kept.
        folder: where they are.
        began_s: blocks that were used since then (seconds since the epoch) stay.
    """

    max_bytes: int
    folder: Path = field(default_factory=lambda: cache_folder() / "scenes")
    began_s: float = field(default_factory=time.time)
    _full_until_s: float = field(default=0.0, repr=False)

    def read(self, span: Span, store: Store) -> dict[str, bytes]:
        """The members of a scene, from here or from the store, and then kept here.

        Raises:
            FileNotFoundError, BadSetup: as `Span.read`.
            Unreachable: the store does not answer.
        """
        path = self._path(span)
        try:
            members = span.split(path.read_bytes(), store)
            os.utime(path)
        except FileNotFoundError:
            pass  # Not here, or evicted between the two.
        except (BadSetup, OSError):
            _remove(path)  # The next look for room corrects the sum.
        else:
            return members
        data = _fetched(span, store)
        try:
            members = span.split(data, store)
        except BadSetup:  # Damaged there, or on the way.
            data = _fetched(span, store)
            members = span.split(data, store)
        self._keep(path, data)
        return members

    def _path(self, span: Span) -> Path:
        sha = hashlib.sha256()
        for member in span.members:
            sha.update(f"{member.offset - span.start} {member.sha256}\n".encode())
        name = sha.hexdigest()
        return self.folder / name[:2] / name

    def _keep(self, path: Path, data: bytes) -> None:
        """Write a block where there is room; a disk that cannot take it costs speed only."""
        if len(data) > self.max_bytes or time.monotonic() < self._full_until_s:
            return
        partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{_UNFINISHED}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._reserved(partial, len(data)):
                with partial.open("r+b") as file:
                    file.write(data)
                partial.replace(path)
        except OSError as error:
            _remove(partial)
            self._full_until_s = time.monotonic() + _LOOK_EVERY_S
            _log.warning("%s cannot be written to (%s): scenes are not kept there", self.folder, error.strerror)

    def _reserved(self, partial: Path, num_bytes: int) -> bool:
        """Whether a block fits beside the others, or room could be made; then it counts, and its file has its size."""
        with self._sum() as file:
            taken = _number(file)
            if taken is None or taken + num_bytes > self.max_bytes:
                taken = self._make_room(num_bytes)
            fits = taken + num_bytes <= self.max_bytes
            if fits:
                with partial.open("wb") as block:
                    block.truncate(num_bytes)
                taken += num_bytes
            else:
                self._full_until_s = time.monotonic() + _LOOK_EVERY_S
            file.truncate(0)
            file.write(str(taken).encode())
        return fits

    @contextmanager
    def _sum(self) -> Iterator[BinaryIO]:
        """The file with the sum, locked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _SUM).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _make_room(self, num_bytes: int) -> int:
        """Count the blocks, and remove the oldest of those that may go; returns the bytes of the others."""
        blocks: list[tuple[float, int, Path]] = []
        taken = 0
        for entry in (entry for folder in os.scandir(self.folder) if folder.is_dir() for entry in os.scandir(folder)):
            try:
                seen = entry.stat()
                if entry.name.endswith(_UNFINISHED) and seen.st_mtime < time.time() - _ABANDONED_S:
                    Path(entry.path).unlink()
                    continue
            except FileNotFoundError:
                continue
            taken += seen.st_size
            if not entry.name.endswith(_UNFINISHED) and seen.st_mtime < self.began_s:
                blocks.append((seen.st_mtime, seen.st_size, Path(entry.path)))
        wanted = self.max_bytes - max(num_bytes, int(_FREED_SHARE * self.max_bytes))
        for _, size, path in sorted(blocks):
            if taken <= wanted:
                break
            path.unlink(missing_ok=True)
            taken -= size
        return taken


def _fetched(span: Span, store: Store) -> bytes:
    try:
        return span.fetch(store)
    except FileNotFoundError:
        raise
    except (BadSetup, OSError) as error:
        raise Unreachable(str(error)) from error


def _remove(path: Path) -> None:
    with suppress(OSError):  # It is gone, or the disk's fault keeps it.
        path.unlink()


def _number(file: BinaryIO) -> int | None:
    """The sum in the file; None where there is none yet."""
    file.seek(0)
    text = file.read(32)
    return int(text) if text.isdigit() else None
