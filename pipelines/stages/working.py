"""Local copies of a store's folders, for programs that only take local files: training, downloads, FiftyOne.

In a local store the folder itself is used and nothing is copied. Of an object store the copy lies in this machine's
cache (`DECOUPAGE_CACHE`, else `$XDG_CACHE_HOME/decoupage` or `~/.cache/decoupage`). It is scratch: what is not `put`
is lost with the machine, and what is there may be removed while nothing runs.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from decoupage.cache import cache_folder
from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from pipelines.stages import locks
from pipelines.stages.store import Store

_SEEN, _LOCK = ".fetched.json", ".fetched.lock"
"""File of a copy that says which version of each object it holds, and the lock of who changes it."""
_AT_ONCE = 16
_NOTE_EVERY = 64
"""Number of files after which a killed `fetch` would go on from there."""
_LOOK_EVERY_S = 0.1
_Seen = dict[str, list[str | int]]
"""Path of a file -> [version of its object, size and time of the file as it was copied]."""


@dataclass(frozen=True)
class WorkingFolder:
    """A folder of a store, as a local folder.

    Several processes of one machine may fetch at the same time. One at a time writes in it; `training.alone` and the
    locks of `pipelines.stages` see to that.
    """

    store: Store
    folder: str

    @property
    def is_copy(self) -> bool:
        """True when the files are copies of objects."""
        return not self.store.is_local

    @property
    def path(self) -> Path:
        """The local folder; it need not exist yet."""
        if not self.is_copy:
            return Path(self.store.url(self.folder)).absolute()
        name = hashlib.sha256(self.store.root.rstrip("/").encode()).hexdigest()[:16]
        return cache_folder() / "roots" / name / self.folder

    def fetch(self, *within: str) -> None:
        """Copy what the store holds and the local folder lacks or holds in another version.

        A copy whose object is gone is removed where its folder is fetched, unless it was changed here since; files
        that were never in the store stay.

        Args:
            within: paths in the folder, of objects or of folders with all that is in them; none = everything.

        Raises:
            BadSetup: the store cannot be read, or the disk is full.
        """
        if not self.is_copy:
            return
        with self._alone() as seen:
            there = self._there(within or ("",))
            for name in [name for name in seen if name not in there and _is_within(name, within)]:
                gone = seen.pop(name)
                if gone == self._state(name, str(gone[0])):
                    (self.path / name).unlink(missing_ok=True)
            self._note(seen)
            stale = [name for name, version in there.items() if not self._is_current(name, version, seen)]
            for at in range(0, len(stale), _NOTE_EVERY):
                group = stale[at : at + _NOTE_EVERY]
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    for name, state in zip(group, pool.map(lambda n: self._copy(n, there[n]), group), strict=True):
                        seen[name] = state
                self._note(seen)

    def put(self, *within: str) -> None:
        """Copy local files to the store, in the order that is given: a file that says the others are whole comes last.

        Files of a folder that the store has as they are, by what was put and fetched before, are not sent again.

        Args:
            within: paths in the folder, of files or of folders with all that is in them, except hidden files; those of
                one folder go side by side.

        Raises:
            BadSetup: the store cannot be written to.
        """
        if not self.is_copy:
            return
        for name in within:
            files = [file.relative_to(self.path).as_posix() for file in _files(self.path / name)]
            if (self.path / name).is_dir():
                there, seen = self._there([name]), self._seen()
                files = [file for file in files if seen.get(file, 0) != self._state(file, there.get(file, ""))]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                states = list(pool.map(self._send, files))
            with self._alone() as seen:
                seen.update(zip(files, states, strict=True))
                self._note(seen)

    def _copy(self, name: str, version: str) -> list[str | int]:
        target = self.path / name
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.store.download(f"{self.folder}/{name}", partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
        except FileNotFoundError as error:
            raise BadSetup(f"{self.store.url(f'{self.folder}/{name}')} went while it was copied; run again") from error
        except OSError as error:
            raise BadSetup(
                f"{target} cannot be written ({error.strerror}); free space, or name another folder with "
                "DECOUPAGE_CACHE"
            ) from error
        return self._state(name, version)

    def _send(self, name: str) -> list[str | int]:
        version = self.store.upload(self.path / name, f"{self.folder}/{name}")
        return self._state(name, version)

    def _state(self, name: str, version: str) -> list[str | int]:
        """A file's entry in `_Seen`; size and time are 0 where it is gone."""
        try:
            found = (self.path / name).stat()
        except FileNotFoundError:
            return [version, 0, 0]
        return [version, found.st_size, found.st_mtime_ns]

    def _is_current(self, name: str, version: str, seen: _Seen) -> bool:
        return name in seen and seen[name][0] == version and (self.path / name).is_file()

    def _there(self, within: Iterable[str]) -> dict[str, str]:
        """Path in the folder -> version, of the objects that are meant."""
        found: dict[str, str] = {}
        for name in within:
            whole = f"{self.folder}/{name}".rstrip("/")
            below = {f"{name}/{path}".lstrip("/"): version for path, version in self.store.versions(whole).items()}
            if not below and name:
                try:
                    below = {name: self.store.version(whole)}
                except FileNotFoundError:
                    continue
            found |= below
        for path in found:
            if "" in path.split("/"):  # Hidden parts, and so `..`, are not listed.
                raise BadSetup(f"{self.store.url(self.folder)} holds an object that cannot be a file: {path!r}")
        return found

    @contextmanager
    def _alone(self) -> Iterator[_Seen]:
        """What the copy holds; no other process changes it meanwhile."""
        lock = self.path / _LOCK
        while (held := locks.take(lock)) is None:
            time.sleep(_LOOK_EVERY_S)
        try:
            yield self._seen()
        finally:
            held.release()

    def _seen(self) -> _Seen:
        file = self.path / _SEEN
        return dict(parse_json(file.read_bytes(), str(file))) if file.is_file() else {}

    def _note(self, seen: _Seen) -> None:
        partial = self.path / f"{_SEEN}.partial"
        partial.write_text(json.dumps(seen), encoding="utf-8")
        partial.replace(self.path / _SEEN)


def _is_within(name: str, within: Iterable[str]) -> bool:
    return not within or any(name == path or name.startswith(f"{path}/") for path in within)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (file for file in sorted(path.rglob("*")) if file.is_file())
    return [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
