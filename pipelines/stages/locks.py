"""Locks between processes, by the operating system: they end with their process, however it ends.

On a local file system they hold between containers too, whatever these think their host names and process ids are.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from decoupage.faults import BadSetup
from decoupage.text_files import printable

log = logging.getLogger(__name__)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems say that have no locks."""
_LOOK_EVERY_S, _TELL_EVERY_S = 0.2, 60.0
_MAX_NOTE_BYTES = 4096


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
        yield is_taken(file)


def try_lock(file: BinaryIO) -> Literal["taken", "held", "unknown"]:
    """Try to take an open file's lock: `held` by another, or `unknown` because its file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return "unknown"
    return "taken"


def is_taken(file: BinaryIO) -> bool:
    """True when this open file took its lock, and when the file system has no locks; False while another holds it."""
    state = try_lock(file)
    if state == "unknown":
        log.warning("%s is on a file system without locks: run one process at a time there", file.name)
    return state != "held"


@dataclass(frozen=True)
class Held:
    """A lock that this process holds; its file says so, and goes with it."""

    path: Path
    file: BinaryIO

    def release(self) -> None:
        """Let others have it."""
        self.path.unlink(missing_ok=True)
        self.file.close()


def take(path: Path) -> Held | None:
    """Take a lock whose file exists only while it is held; None while another process holds it.

    Raises:
        BadSetup: the file cannot be made.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise BadSetup(
                f"{path.parent} cannot be written to ({error.strerror}); correct its permissions, or choose another "
                "root with DECOUPAGE_ROOT"
            ) from error
        if not is_taken(file):
            file.close()
            return None
        if _is_at(path, file):
            with suppress(OSError):  # On a full disk it has no note, and holds all the same.
                file.truncate(0)
                os.write(file.fileno(), _note())
            return Held(path, file)
        file.close()  # Whoever held it has just removed it.


def wait_until_free(path: Path, what: str) -> None:
    """Return when no process holds this lock; the wait, and for whom, is logged once a minute.

    Args:
        path: the lock's file.
        what: what it guards, for the log.
    """
    told_s = -_TELL_EVERY_S
    while (held := take(path)) is None:
        if time.monotonic() - told_s >= _TELL_EVERY_S:
            told_s = time.monotonic()
            log.info("%s: waiting for %s, which is working there", what, holder(path))
        time.sleep(_LOOK_EVERY_S)
    held.release()


def holder(path: Path) -> str:
    """Who holds a lock, as far as its file says: process, host and time."""
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_MAX_NOTE_BYTES))
        return printable(f"process {note['pid']} on {note['host']} since {note['since']}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def _note() -> bytes:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode()


def _is_at(path: Path, file: BinaryIO) -> bool:
    """True when an open file is the one that stands at the path."""
    try:
        there, ours = path.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
