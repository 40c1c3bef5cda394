"""Leftovers of dead processes in a data root, and removal that never leaves a part of something that looks complete.

The rooms that make finished things decide which of them are old.
"""

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.stages.store import Store, is_alive

PARTIAL_AGE_S = 3600.0
"""A partial folder names no process; one without a write for so long counts as abandoned."""
FOREIGN_AGE_S = 7 * 86_400.0
"""Age from which a temp file of another host counts as abandoned, because its process cannot be checked."""
_TEMP = re.compile(r"\..+\.(?P<host>[^.].*)\.(?P<pid>[0-9]+)\.tmp")


@dataclass(frozen=True)
class Removable:
    """A file or folder that may be removed.

    Attributes:
        path: path of the file or folder.
        kind: `temp file`, `old run`, `checkpoint`, ...
        why: the reason in a few words.
        num_bytes: disk space that is freed; files with other hard links do not count.
    """

    path: Path
    kind: str
    why: str
    num_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"path": str(self.path)}


def leftovers(store: Store) -> list[Removable]:
    """Temp files and partial folders below a root whose processes have ended.

    Partial downloads are not among them, because they are resumed.
    """
    if not store.is_local:
        return []
    now_s = time.time()
    found = []
    for path in sorted(_hidden(Path(store.url("")))):
        try:
            if path.is_dir():
                if now_s - newest_s(path) > PARTIAL_AGE_S:
                    why = "no write for an hour"
                    found.append(Removable(path, "half-made folder", why, freed_bytes(path)))
            elif (dead := _dead(path, now_s)) is not None:
                found.append(Removable(path, "temp file", dead, freed_bytes(path)))
        except FileNotFoundError:  # Its process is alive, and has just finished it.
            continue
    return found


def remove(removable: Removable) -> None:
    """Remove a file or folder; a folder is first renamed to `.partial`, in case of a kill."""
    path = removable.path
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    going = path
    if not path.name.endswith(".partial"):
        going = path.with_name(f".{path.name}.partial")
        shutil.rmtree(going, ignore_errors=True)
        path.rename(going)
    shutil.rmtree(going)


def freed_bytes(path: Path) -> int:
    """Bytes that removing a path frees: those of files without other hard links."""
    states = (file.lstat() for file in (path, *path.rglob("*")) if not file.is_dir())
    return sum(state.st_size for state in states if state.st_nlink == 1)


def newest_s(path: Path) -> float:
    """Time of the last change in a folder, or of a file, in seconds since 1970."""
    return max(file.lstat().st_mtime for file in (path, *path.rglob("*")))


def _hidden(root: Path) -> Iterator[Path]:
    """Temp files and partial folders, without the contents of the latter."""
    for folder, names, files in os.walk(root):
        partial = [name for name in names if name.startswith(".") and name.endswith(".partial") and name != ".partial"]
        names[:] = [name for name in names if name not in partial]
        yield from (Path(folder, name) for name in partial)
        yield from (Path(folder, name) for name in files if _TEMP.fullmatch(name))


def _dead(path: Path, now_s: float) -> str | None:
    """The reason why a temp file is abandoned; None when a process may still be writing it."""
    match = _TEMP.fullmatch(path.name)
    assert match is not None
    if path.name.endswith(f".{socket.gethostname()}.{match['pid']}.tmp"):
        return None if is_alive(int(match["pid"])) else f"process {match['pid']} is gone"
    return "from another machine, a week old" if now_s - path.lstat().st_mtime > FOREIGN_AGE_S else None
