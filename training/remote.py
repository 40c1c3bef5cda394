"""A run's folder in an object store: the run works on this machine's copy, and what is finished goes up.

Here: what is fetched before a run, and uploads. A thread of rank 0 puts a checkpoint's files, and last its
`state.json`, which lists them: without it there is no checkpoint in the store. What `checkpoints.py` no longer keeps
is removed there, too, `state.json` first.
"""

import logging
import shutil
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder
from training.journal import METRICS
from training.licences import FILE as LICENCES

_log = logging.getLogger(__name__)
STATE = "state.json"
"""File of a checkpoint that is written last, and lists the others."""
_BESIDE = ("samples", "tensorboard")
"""What goes up with a checkpoint besides the journal, and is not fetched."""


def is_address(path: str) -> bool:
    """Whether a path names a place in an object store."""
    return "://" in path and not Store(path).is_local


def working_folder(address: str, store: Store | None = None) -> WorkingFolder:
    """The folder at an address.

    Args:
        store: where the address is below its root, the copy is the one that this store's other users have.
    """
    root = "" if store is None else f"{store.root.rstrip('/')}/"
    if root and address.startswith(root):
        return WorkingFolder(Store(root.rstrip("/")), address.removeprefix(root).strip("/"))
    parent, _, name = address.rstrip("/").rpartition("/")
    if parent.endswith("/"):
        raise BadSetup(f"{address} names no folder in a bucket: add one, as in {address.rstrip('/')}/run")
    return WorkingFolder(Store(parent), name)


def fetched(address: str, store: Store | None = None) -> Path:
    """This machine's copy of a folder of an object store. Raises BadSetup: there is no such folder."""
    whole = working_folder(address, store)
    parent, _, name = whole.folder.rpartition("/")
    # As the asset that made it has it, so that its files are not fetched twice.
    folder, within = (WorkingFolder(whole.store, parent), (name,)) if parent else (whole, ())
    folder.fetch(*within)
    if not whole.path.is_dir():
        raise BadSetup(f"there is no {address}")
    return whole.path


def local_name(name: str | None, store: Store | None = None) -> str | None:
    """A name that a folder or a hub id has here: of an address, the path of its copy. Raises as `fetched`."""
    return str(fetched(name, store)) if name and is_address(name) else name


def fetch_if_there(folder: WorkingFolder, *names: str) -> None:
    """Bring files and folders to this machine as the store has them now; what it never had is removed here, too."""
    there = set(folder.store.tree(folder.folder))
    for file in (file for name in names for file in _below(folder.path / name)):
        if file.relative_to(folder.path).as_posix() not in there:
            file.unlink(missing_ok=True)
    folder.fetch(*names)


def begun_elsewhere(home: WorkingFolder) -> None:
    """Make what the store has of a run known here: its licences, and whether there are checkpoints."""
    fetch_if_there(home, LICENCES)
    if home.store.tree(f"{home.folder}/checkpoints"):
        (home.path / "checkpoints").mkdir(parents=True, exist_ok=True)
    elif not (home.path / LICENCES).is_file():  # No run at all: what is here is of one that is gone.
        shutil.rmtree(home.path / "checkpoints", ignore_errors=True)


def put_anew(folder: WorkingFolder, *names: str) -> None:
    """Replace files and folders of the store; the last one, which says that the others are whole, is removed first."""
    for name in reversed(names):
        whole = f"{folder.folder}/{name}"
        if (folder.path / name).is_dir():
            folder.store.remove_tree(whole)
        else:
            folder.store.remove(whole)
    folder.put(*names)


class Remote:
    """A run's folder in an object store.

    Only rank 0 puts and removes; every rank may fetch.
    """

    def __init__(self, home: WorkingFolder) -> None:
        self.home = home
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._upload: Future[None] | None = None
        self._there: dict[int, bytes] = {}
        self._unfinished: set[int] = set()
        self._keep: set[int] = set()
        self.busy: int | None = None
        """Step of the checkpoint that is going up, which must not be removed."""

    def begin(self) -> None:
        """Take up what the store has of the run, apart from checkpoints; scratch of a run that is gone there goes."""
        paths = self.home.store.tree(self.home.folder)
        if not paths:
            for left in self.home.path.glob("[!.]*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        self.home.fetch(METRICS)
        found = {int(parts[1]) for parts in (path.split("/") for path in paths) if _is_in_checkpoint(parts)}
        steps = sorted(step for step in found if f"{_folder(step)}/{STATE}" in paths)
        states = self.home.store.read_many([f"{self.home.folder}/{_folder(step)}/{STATE}" for step in steps])
        self._there = {step: state for step, state in zip(steps, states, strict=True) if state is not None}
        self._unfinished = found - set(steps)

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints that are whole in the store, in order."""
        return sorted(self._there)

    def fetch(self, step: int) -> None:
        """Bring a checkpoint to this machine; its files are not checked."""
        self.home.fetch(_folder(step))

    def mirror(self, keep: Collection[int]) -> None:
        """Begin to make the store's checkpoints those of these steps; after a fault, the next call tries again."""
        self._keep = set(keep)
        self._upload = self._pool.submit(self._try_to_mirror)

    def wait(self) -> None:
        """Return when what has begun to go up is there, or has failed."""
        if self._upload is not None:
            self._upload.result()

    def finish(self) -> None:
        """Return when everything is in the store. Raises BadSetup: it cannot be written to."""
        self.wait()
        try:
            self._mirror()
        except BadSetup as fault:
            raise BadSetup(f"{fault}; until then the newest checkpoints are in {self.home.path} alone") from fault

    def _try_to_mirror(self) -> None:
        try:
            self._mirror()
        except BadSetup as fault:
            _log.warning("%s; the checkpoint stays in %s, and goes up with the next one", fault, self.home.path)

    def _mirror(self) -> None:
        while missing := self._missing():
            self.busy = missing[0]
            try:
                self._put(missing[0])
            except FileNotFoundError:  # Not kept any more.
                self._keep.discard(missing[0])
            finally:
                self.busy = None
        for step in (self._there.keys() | self._unfinished) - self._keep:
            self.remove(step)
        self.home.put(METRICS, *_BESIDE)

    def _missing(self) -> list[int]:
        """Steps whose state is not in the store as it is here, newest first."""
        return [
            step for step in sorted(self._keep, reverse=True) if self._here(step) not in (None, self._there.get(step))
        ]

    def _here(self, step: int) -> bytes | None:
        file = self.home.path / _folder(step) / STATE
        return file.read_bytes() if file.is_file() else None

    def _put(self, step: int) -> None:
        folder = self.home.path / _folder(step)
        state = (folder / STATE).read_bytes()
        self.home.put(METRICS)  # Lines of steps before the checkpoint must be there when it is.
        if step not in self._there or _files(self._there[step]) != _files(state):
            self.remove(step)
            self._unfinished.add(step)
            self.home.put(*sorted(f"{_folder(step)}/{path.name}" for path in folder.iterdir() if path.name != STATE))
        self.home.put(f"{_folder(step)}/{STATE}")
        self._there[step] = state
        self._unfinished.discard(step)

    def remove(self, step: int) -> None:
        """Remove a checkpoint from the store, `state.json` first."""
        self._there.pop(step, None)
        whole = f"{self.home.folder}/{_folder(step)}"
        self.home.store.remove(f"{whole}/{STATE}")
        self.home.store.remove_tree(whole)
        self._unfinished.discard(step)


def _files(state: bytes) -> object:
    return parse_json(state, STATE).get("files")


def _below(path: Path) -> list[Path]:
    """A file, or the files in a folder, except hidden ones."""
    return [file for file in [path, *path.rglob("[!.]*")] if file.is_file()]


def _folder(step: int) -> str:
    return f"checkpoints/{step:07d}"


def _is_in_checkpoint(parts: list[str]) -> bool:
    return len(parts) == 3 and parts[0] == "checkpoints" and parts[1].isdecimal()
