"""A lock between processes of one machine. Who waits for whom, and what they are told, is the caller's business."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether nobody else holds this file's lock; while inside, nobody else gets it. Never waits.

    The system takes the lock back when a process ends, however it ends: a file that is left means nothing.

    Args:
        path: of the lock's file, made where it is absent; its folder is there.

    Raises:
        OSError: the file cannot be opened or made.
    """
    with path.open("ab") as file:
        yield _taken(file)


def _taken(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
