"""The champions' weights below `<root>/champion/vNNNN/`: kept complete, checked by hash, and how to go back to one.

A version is renamed into place after its files were compared with their hashes; it counts once the history names it.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from decoupage.faults import BadSetup
from evaluation.gate.history import FOLDER, Event, add_event, current_version, point, promotion_of, read_history
from evaluation.saved_scores import SavedScores, read_scores
from pipelines.stages import locks
from pipelines.stages.store import Store

ADAPTER, SCORES = "adapter", "scores"
"""Of a version's folder: the published adapter, and its raw scores, a folder for each list and protocol."""


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Context in which no other process decides.

    Raises:
        BadSetup: another process does, or the root is not a local folder.
    """
    if not store.is_local:
        raise BadSetup(f"the champion's weights need a local folder, but {store.root} is not local: set DECOUPAGE_ROOT")
    folder = Path(store.url(FOLDER))
    folder.mkdir(parents=True, exist_ok=True)
    with locks.alone(folder / ".lock") as free:
        if not free:
            raise BadSetup(f"another process decides on the champion in {folder}; wait until it ends")
        yield


def adapter_folder(store: Store, version: str) -> Path:
    """Where a version's published adapter lies."""
    return Path(store.url(f"{FOLDER}/{version}/{ADAPTER}"))


def keep(store: Store, adapter: Path, scores: Mapping[str, bytes], terms: str) -> str:
    """Store a published adapter and its scores as the next version, not yet the champion; returns its name.

    Raises:
        ValueError: a file of the adapter is not the one that was published.
    """
    from decoupage.publishing.folder import read_manifest  # Knows diffusers.

    version = f"v{1 + sum(event.kind == 'promoted' for event in read_history(store)):04d}"
    final = Path(store.url(f"{FOLDER}/{version}"))
    partial = final.with_name(f".{version}.partial")
    for leftover in (partial, final):  # The history names neither: a run was killed before it decided.
        shutil.rmtree(leftover, ignore_errors=True)
    # Copied, not linked: a tool that writes a new export over the old one in place would write into the champion.
    shutil.copytree(adapter, partial / ADAPTER)
    read_manifest(partial / ADAPTER)
    inside = Store(str(partial))
    for name, data in scores.items():
        inside.write(f"{SCORES}/{terms}/{name}", data)
    partial.rename(final)
    return version


def kept_scores(store: Store, version: str, terms: str, method: str) -> SavedScores | None:
    """A version's scores under a list and protocol; None = it was not judged under them."""
    folder = f"{FOLDER}/{version}/{SCORES}/{terms}"
    return read_scores(store, folder, method) if store.exists(f"{folder}/report.json") else None


def keep_scores(store: Store, version: str, terms: str, files: Mapping[str, bytes]) -> None:
    """Add scores to a version; the last file completes them."""
    for name, data in files.items():
        store.write(f"{FOLDER}/{version}/{SCORES}/{terms}/{name}", data)


def drop_scores(store: Store, version: str, terms: str) -> None:
    """Remove scores that turned out to be of another list."""
    store.remove(f"{FOLDER}/{version}/{SCORES}/{terms}")


def rollback(store: Store, to: str | None = None, why: str = "") -> Event:
    """Make an earlier version the champion again. The replaced one stays on disk, and the gate refuses it from then on.

    Args:
        to: version; None = the one before the current one.
        why: for the record.

    Raises:
        BadSetup: there is no champion, none before it, or another process decides.
        ValueError: no such version, it is the champion already, or its files are damaged.
    """
    from decoupage.publishing.folder import read_manifest  # Knows diffusers.

    with alone(store):
        point(store)
        history = read_history(store)
        current = current_version(history)
        if current is None:
            raise BadSetup(f"there is no champion in {store.url(FOLDER)}")
        version = to or promotion_of(history, current).before
        if version is None:
            raise BadSetup(f"{current} was the first champion: there is none before it")
        if version == current:
            raise ValueError(f"{version} is already the champion")
        made = promotion_of(history, version)
        read_manifest(adapter_folder(store, version))
        reasons = (why or "no reason was given",)
        return add_event(store, "rolled_back", version, current, reasons, {"candidate": made.details["candidate"]})
