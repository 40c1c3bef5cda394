"""Leftovers of dead processes in a data root, and removal that never leaves a part of something that looks complete.

The packages that make finished files decide which of them are old.
"""

import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.stages.locks import take
from pipelines.stages.plan import PLANS, beyond, read_plan
from pipelines.stages.store import Store
from pipelines.stages.temps import remove_abandoned, remove_path, why_abandoned

TEMP_FILE, HALF_MADE, BEYOND = "temp file", "half-made folder", "shard beyond the plan"
PARTIAL_AGE_S = 3600.0
"""A partial folder names no process; one without a write for so long counts as abandoned."""


@dataclass(frozen=True)
class Removable:
    """A file or folder that may be removed.

    Attributes:
        path: path of the file or folder.
        kind: `temp file`, `old run`, `checkpoint`, ...
        why: the reason in a few words.
        num_bytes: disk space that is freed; files with other hard links do not count.
        first: files that go with it, and before it.
    """

    path: Path
    kind: str
    why: str
    num_bytes: int
    first: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"path": str(self.path), "first": [str(path) for path in self.first]}


def leftovers(store: Store) -> list[Removable]:
    """Temp files and partial folders below a root whose processes have ended; symbolic links are not followed.

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
                    found.append(Removable(path, HALF_MADE, why, freed_bytes(path)))
            elif (dead := why_abandoned(path)) is not None:
                found.append(Removable(path, TEMP_FILE, dead, freed_bytes(path)))
        except FileNotFoundError:  # Its process is alive, and has just finished it.
            continue
    return found


def shards_beyond(store: Store, planned: Mapping[str, Collection[str]]) -> list[Removable]:
    """The shards that the last run of their stage did not plan (`plans/`).

    Args:
        planned: folder of a stage -> the shards that the profile plans; one of those says so, for the last run may have
            been a trial with a lowered number.

    Raises:
        BadSetup: a plan is damaged.
    """
    if not store.is_local:
        return []
    root = Path(store.url(""))
    found = []
    for folder in sorted(_planned_folders(root)):
        told = read_plan(store, folder) or frozenset()
        for shard in beyond(store, folder, told):
            # Without its manifest nothing takes the rest for a shard.
            parts = [root / folder / f"{shard}.{end}" for end in ("json", "parquet", "tar")]
            there = [path for path in parts if path.is_file() or path.is_symlink()]
            why = why_beyond(folder, len(told), shard in planned.get(folder, ()))
            size = sum(freed_bytes(path) for path in there)
            found.append(Removable(there[-1], BEYOND, why, size, tuple(there[:-1])))
    return found


def why_beyond(folder: str, num_planned: int, is_planned: bool) -> str:
    """Why a shard may be removed; a profile that plans it says so."""
    more = "; this profile plans it: `decoupage scenes make` uses it again" if is_planned else ""
    return f"the last run of {folder} planned {num_planned} shards{more}"


def _planned_folders(root: Path) -> Iterator[str]:
    """The folders below a root that have a plan, relative to it."""
    for place, _, files in os.walk(root):
        if Path(place).name == PLANS:
            names = (name.removesuffix(".json") for name in files if name.endswith(".json"))
            yield from (Path(place).parent.joinpath(name).relative_to(root).as_posix() for name in names)


def remove(removable: Removable) -> None:
    """Remove a file or folder, and what goes with it; a folder is first renamed to `.partial`, in case of a kill.

    Others may be removing it as well. Of a symbolic link the link goes, not what it points at.
    """
    path = removable.path
    if removable.kind == BEYOND:
        held = take(path.with_name(f".{path.stem}.lock"))
        if held is None:
            return  # A run with another plan makes it at the moment.
        for part in (*removable.first, path):
            remove_path(part)
        held.release()
    elif removable.kind == TEMP_FILE:
        remove_abandoned(path)
    elif path.is_symlink() or not path.is_dir() or path.name.endswith(".partial"):
        remove_path(path)
    else:
        going = path.with_name(f".{path.name}.partial")
        remove_path(going)
        try:
            path.rename(going)
        except FileNotFoundError:
            return
        remove_path(going)


def freed_bytes(path: Path) -> int:
    """Bytes that removing a path frees: those of files without other hard links. Links are not followed."""
    states = [state for file in _below(path) if (state := _state(file)) and not stat.S_ISDIR(state.st_mode)]
    return sum(state.st_size for state in states if state.st_nlink == 1)


def newest_s(path: Path) -> float:
    """Time of the last change in a folder, or of a file, in seconds since 1970. Links are not followed.

    Raises:
        FileNotFoundError: it is gone.
    """
    return max([path.lstat().st_mtime, *(state.st_mtime for file in _below(path) if (state := _state(file)))])


def _below(path: Path) -> Iterator[Path]:
    """A path, and all that lies in it when it is a folder itself."""
    yield path
    if not path.is_symlink():
        for folder, names, files in os.walk(path):
            yield from (Path(folder, name) for name in (*names, *files))


def _state(path: Path) -> os.stat_result | None:
    """None for a file that has just gone."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _hidden(root: Path) -> Iterator[Path]:
    """Temp files and partial folders, without the contents of the latter."""
    for folder, names, files in os.walk(root):
        partial = [name for name in names if name.startswith(".") and name.endswith(".partial") and name != ".partial"]
        names[:] = [name for name in names if name not in partial]
        yield from (Path(folder, name) for name in partial)
        yield from (Path(folder, name) for name in files if name.startswith(".") and name.endswith(".tmp"))
