"""A lock between processes of one machine. Callers decide what to do when it is taken."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Try to take this file's lock, without waiting; True when it was taken, and it is then held inside the block.

    The operating system releases the lock when a process ends, however it ends; a file that is left does not lock.

    Args:
        path: the lock's file, created where it is absent; its folder exists.

    Raises:
        OSError: the file cannot be opened or created.
    """
    with path.open("ab") as file:
        yield _taken(file)


def _taken(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
