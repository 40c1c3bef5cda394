"""The champions' weights below `<root>/champion/vNNNN/`: kept complete, checked by hash, and how to go back to one.

A version counts once the history names it, after its files were compared with their hashes where they lie.
"""

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from decoupage.faults import BadSetup
from evaluation.gate.history import FOLDER, Event, add_event, current_version, point, promotion_of, read_history
from evaluation.saved_scores import SavedScores, read_scores
from pipelines.stages import leases
from pipelines.stages.store import Store

ADAPTER, SCORES = "adapter", "scores"
"""Of a version's folder: the published adapter, and its raw scores, a folder for each list and protocol."""


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Context in which no other process decides. Raises BadSetup: another process does."""
    lease = leases.take_soon(store, f"{FOLDER}/.lock")
    if lease is None:
        raise BadSetup(f"another process decides on the champion in {store.url(FOLDER)}; wait until it ends")
    try:
        yield
    finally:
        lease.release()


def adapter_folder(store: Store, version: str) -> str:
    """Where a version's published adapter lies: a folder, or an address."""
    return store.url(f"{FOLDER}/{version}/{ADAPTER}")


def next_version(history: list[Event]) -> str:
    """Name of the version that a promotion would make: v0001, v0002, ..."""
    return f"v{1 + sum(event.kind == 'promoted' for event in history):04d}"


def keep(store: Store, version: str, adapter: str, scores: Mapping[str, bytes], terms: str) -> None:
    """Store a published adapter and its scores as a version, not yet the champion.

    Args:
        adapter: folder, or address.

    Raises:
        ValueError: a file of the adapter is not the one that was published.
    """
    from decoupage.publishing.finding import find_folder  # Knows diffusers.

    folder = f"{FOLDER}/{version}"
    store.remove_tree(folder)  # The history does not name it: a run was killed before it decided.
    source = find_folder(adapter)
    # Copied, not linked: a tool that writes a new export over the old one in place would write into the champion.
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        with store.writing(f"{folder}/{ADAPTER}/{path.relative_to(source).as_posix()}") as ours, path.open("rb") as new:
            shutil.copyfileobj(new, ours, 1 << 22)
    try:
        check_kept(store, version)
    except ValueError:
        store.remove_tree(folder)
        raise
    keep_scores(store, version, terms, scores)


def check_kept(store: Store, version: str) -> int:
    """Compare every file of a version's adapter, where it is kept, with the hash that it was published with.

    Returns:
        The number of files.

    Raises:
        ValueError: one is missing or damaged, or it is of a layout that this version does not read.
    """
    from decoupage.publishing.folder import MANIFEST, check_format, parse_manifest  # Knows diffusers.

    folder = f"{FOLDER}/{version}/{ADAPTER}"
    where, name = store.url(f"{folder}/{MANIFEST}"), MANIFEST
    try:
        manifest = parse_manifest(store.read(f"{folder}/{MANIFEST}"), where)
        check_format(manifest, where)
        for name, expected in manifest.files.items():
            with store.open(f"{folder}/{name}") as file:
                if hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest() != expected:
                    raise ValueError(f"{store.url(folder)}: {name} is not the published file (its sha256 differs)")
    except FileNotFoundError:
        raise ValueError(f"{store.url(folder)}: {name} is missing") from None
    return len(manifest.files)


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
    store.remove_tree(f"{FOLDER}/{version}/{SCORES}/{terms}")


def rollback(store: Store, to: str | None = None, why: str = "") -> Event:
    """Make an earlier version the champion again. The replaced one stays on disk, and the gate refuses it from then on.

    Args:
        to: version; None = the one before the current one.
        why: for the record.

    Raises:
        BadSetup: there is no champion, none before it, or another process decides.
        ValueError: no such version, it is the champion already, or its files are damaged.
    """
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
        check_kept(store, version)
        reasons = (why or "no reason was given",)
        return add_event(store, "rolled_back", version, current, reasons, {"candidate": made.details["candidate"]})
