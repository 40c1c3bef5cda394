"""Temp files of local folders: who writes one holds its lock, and what no process holds is abandoned."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pipelines.stages.locks import try_lock

_TEMP = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
TEMP_SUFFIX = ".tmp"
UNKNOWN_AGE_S = 7 * 86_400.0
"""Age from which a temp file counts as abandoned when no lock can tell: its file system has none, or its name is that
of an earlier version."""


def new_temp(target: Path) -> tuple[Path, BinaryIO]:
    """A new file, locked as long as it is open: that, not a process id, shows that its writer is alive."""
    while True:
        temp = target.with_name(f".{target.name}.{secrets.token_hex(8)}{TEMP_SUFFIX}")
        file = temp.open("xb")
        if try_lock(file) != "held" and os.fstat(file.fileno()).st_nlink:
            return temp, file
        # Another process looked whether it was abandoned before it was locked.
        file.close()
        temp.unlink(missing_ok=True)


def why_abandoned(temp: Path) -> str | None:
    """The reason why a temp file of any version is abandoned; None when a process may still be writing it."""
    return _judge(temp, lambda: None)


def remove_abandoned(temp: Path) -> bool:
    """Remove a temp file unless a process may still be writing it; True when this call removed it."""
    return _judge(temp, temp.unlink) is not None


def _judge(temp: Path, act: Callable[[], None]) -> str | None:
    """As `why_abandoned`; `act` is called under the file's lock when it is abandoned."""
    try:
        if temp.is_symlink() or not temp.is_file():
            return None
        with temp.open("rb") as file:
            state = try_lock(file) if _TEMP.fullmatch(temp.name) else "unknown"
            is_old = time.time() - temp.stat().st_mtime > UNKNOWN_AGE_S
            if state == "held" or (state == "unknown" and not is_old):
                return None
            act()
        return "its process has ended" if state == "taken" else "a week old"
    except (FileNotFoundError, PermissionError):  # It was finished just now, or is another user's.
        return None


def remove_path(path: Path) -> None:
    """Remove a file, a link or a folder that others may be removing as well. Raises OSError: it is not permitted."""
    while path.is_symlink() or path.exists():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            continue  # Another process was faster with a part of it; look again.
