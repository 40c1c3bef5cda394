"""The files of a root that is a local folder: whole or absent, too.

A file is written under a temporary name, synced and renamed. What a killed run has half written is removed by the next.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from decoupage.faults import BadSetup
from pipelines.stages.temps import TEMP_SUFFIX, new_temp, remove_abandoned, remove_path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What file systems say that take no more."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that have no hard links."""


def size_of_file(path: Path) -> int:
    """Bytes of a file. Raises FileNotFoundError; BadSetup: it is a pipe or a device, of which there is no end."""
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise BadSetup(f"{path} is not a regular file; remove it")
    return found.st_size


def version_of_file(path: Path) -> str:
    """A text that changes when the file is replaced. Raises FileNotFoundError."""
    found = path.stat()
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def read_range(path: Path, offset: int, num_bytes: int) -> bytes:
    """A part of a file. Raises FileNotFoundError."""
    size_of_file(path)
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(num_bytes)


def names(folder: Path) -> list[str]:
    """Names in a folder, without temp files; none where there is no folder."""
    if not folder.is_dir():
        return []
    return [entry.name for entry in os.scandir(folder) if not entry.name.endswith(TEMP_SUFFIX)]


def tree(folder: Path) -> Iterator[str]:
    """Paths of all files in a folder and below, relative to it; links to folders are not followed."""
    for place, _, files in os.walk(folder):
        below = Path(place).relative_to(folder)
        yield from ((below / name).as_posix() for name in files)


def create(path: Path, data: bytes) -> bool:
    """Write a whole file where there is none; False where there is one. Raises as `writing`."""
    with _temp(path) as (temp, file):
        file.write(data)
        try:
            _sync(file)
            _link(temp, path, data)
        except FileExistsError:
            return False
        except OSError as error:
            raise _unwritten(path, error) from error
    return True


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under `path` only when the block ends without an exception.

    Raises:
        BadSetup: the folder cannot be made or written to, the disk is full, or something else has that name.
    """
    with _temp(path) as (temp, file):
        yield file
        try:
            _sync(file)
            temp.replace(path)
        except OSError as error:
            raise _unwritten(path, error) from error


def remove_leftovers(folder: Path) -> int:
    """Remove temp files that ended processes left in a folder; returns how many."""
    return sum(remove_abandoned(temp) for temp in sorted(folder.glob(f".*{TEMP_SUFFIX}"))) if folder.is_dir() else 0


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    remove_path(path)


@contextmanager
def _temp(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new temp file beside a path, locked while it is open, and gone afterwards."""
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
        if error.errno in FULL:
            raise _unwritten(target, error) from error
        raise
    finally:
        temp.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> BadSetup:
    mend = "free space" if error.errno in FULL else "correct that"
    return BadSetup(f"{error.strerror} while writing {path}; {mend} and run again")


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
