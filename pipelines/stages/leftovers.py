"""What dead processes left in a data root, and removal in such a way that no half of anything is taken for whole.

Which finished things are old is for those to say who made them.
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
"""A half-made folder names no process; one that nobody wrote to for so long has no maker any more."""
FOREIGN_AGE_S = 7 * 86_400.0
"""Of a temp file of another host, whose processes cannot be asked after."""
_TEMP = re.compile(r"\..+\.(?P<host>[^.].*)\.(?P<pid>[0-9]+)\.tmp")


@dataclass(frozen=True)
class Removable:
    """Something that may go.

    Attributes:
        path: file or folder.
        kind: `temp file`, `old run`, `checkpoint`, ...
        why: a few words.
        num_bytes: that come free; hard-linked files that stay elsewhere count nothing.
    """

    path: Path
    kind: str
    why: str
    num_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"path": str(self.path)}


def leftovers(store: Store) -> list[Removable]:
    """Temp files and half-made folders below a root that nobody works on any more.

    Partial downloads are none: they go on where they stopped.
    """
    if not store.is_local:
        return []
    now_s = time.time()
    found = []
    for path in sorted(_hidden(Path(store.url("")))):
        try:
            if path.is_dir():
                if now_s - newest_s(path) > PARTIAL_AGE_S:
                    why = "nobody wrote to it for an hour"
                    found.append(Removable(path, "half-made folder", why, freed_bytes(path)))
            elif (dead := _dead(path, now_s)) is not None:
                found.append(Removable(path, "temp file", dead, freed_bytes(path)))
        except FileNotFoundError:  # Its maker lives, and has just finished it.
            continue
    return found


def remove(removable: Removable) -> None:
    """Remove it; a folder is first named as half-made, so that a kill halfway leaves nothing that looks whole."""
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
    """Bytes of files that have no other name."""
    told = (file.lstat() for file in (path, *path.rglob("*")) if not file.is_dir())
    return sum(facts.st_size for facts in told if facts.st_nlink == 1)


def newest_s(path: Path) -> float:
    """Time of the last change in a folder, or of a file, in seconds since 1970."""
    return max(file.lstat().st_mtime for file in (path, *path.rglob("*")))


def _hidden(root: Path) -> Iterator[Path]:
    """Temp files and half-made folders; what is inside such a folder goes with it."""
    for folder, names, files in os.walk(root):
        partial = [name for name in names if name.startswith(".") and name.endswith(".partial") and name != ".partial"]
        names[:] = [name for name in names if name not in partial]
        yield from (Path(folder, name) for name in partial)
        yield from (Path(folder, name) for name in files if _TEMP.fullmatch(name))


def _dead(path: Path, now_s: float) -> str | None:
    """Why a temp file is nobody's; None when somebody may still be writing."""
    match = _TEMP.fullmatch(path.name)
    assert match is not None
    if path.name.endswith(f".{socket.gethostname()}.{match['pid']}.tmp"):
        return None if is_alive(int(match["pid"])) else f"process {match['pid']} is gone"
    return "of another machine, a week old" if now_s - path.lstat().st_mtime > FOREIGN_AGE_S else None
