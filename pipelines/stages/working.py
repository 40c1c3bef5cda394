"""Local copies of a store's folders, for programs that only take local files: training, downloads, FiftyOne.

In a local store the folder itself is used and nothing is copied. Of an object store the copy lies in this machine's
cache (`DECOUPAGE_CACHE`, else `$XDG_CACHE_HOME/decoupage` or `~/.cache/decoupage`). It is scratch: what is not `put`
is lost with the machine, and what is there may be removed while nothing runs.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from decoupage.cache import cache_folder
from decoupage.text_files import parse_json
from pipelines.stages.store import Store

_SEEN = ".fetched.json"
"""File of a copy that says which version of each object it holds."""


@dataclass(frozen=True)
class WorkingFolder:
    """A folder of a store, as a local folder.

    One process at a time works in it; `training.alone` and the locks of `pipelines.stages` see to that.
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

        Args:
            within: paths in the folder, of objects or of folders with all that is in them; none = everything.
        """
        if not self.is_copy:
            return
        seen = self._seen()
        for name in self._there(within or ("",)):
            path = f"{self.folder}/{name}"
            version = self.store.version(path)
            target = self.path / name
            if seen.get(name) == version and target.is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            with self.store.open(path) as source, partial.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 22)
            partial.replace(target)
            self._note(seen | {name: version})
            seen[name] = version

    def put(self, *within: str) -> None:
        """Copy local files to the store, in the order that is given: a file that says the others are whole comes last.

        Args:
            within: paths in the folder, of files or of folders with all that is in them, except hidden files.
        """
        if not self.is_copy:
            return
        seen = self._seen()
        for name in within:
            for file in _files(self.path / name):
                path = file.relative_to(self.path).as_posix()
                with self.store.writing(f"{self.folder}/{path}") as target, file.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 22)
                seen[path] = self.store.version(f"{self.folder}/{path}")
        self._note(seen)

    def _there(self, within: Iterable[str]) -> list[str]:
        found = []
        for name in within:
            whole = f"{self.folder}/{name}".rstrip("/")
            below = [f"{name}/{path}".lstrip("/") for path in self.store.tree(whole)]
            found += below or ([name] if self.store.exists(whole) else [])
        return found

    def _seen(self) -> dict[str, str]:
        file = self.path / _SEEN
        return dict(parse_json(file.read_bytes(), str(file))) if file.is_file() else {}

    def _note(self, seen: dict[str, str]) -> None:
        partial = self.path / f"{_SEEN}.partial"
        self.path.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(seen), encoding="utf-8")
        partial.replace(self.path / _SEEN)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (file for file in sorted(path.rglob("*")) if file.is_file())
    return [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
