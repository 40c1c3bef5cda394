"""One run in a folder at a time. Imports no torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.stages.leases import take_soon
from pipelines.stages.locks import alone
from pipelines.stages.working import WorkingFolder

LOCK = ".lock"
"""Lock file in a folder; the process that trains there holds it."""
_MEND = "wait until it ends, stop it, or choose another folder"


@contextmanager
def alone_in(folder: Path, home: WorkingFolder | None = None) -> Iterator[None]:
    """Hold the lock of a run's folder: two would spoil each other's checkpoints. Of several ranks the first holds it.

    The folder is made where it is absent. The lock is one machine's; a process that ends, however it ends, gives it up.

    Args:
        home: the folder in an object store that `folder` is a copy of: there the lock holds for all machines.

    Raises:
        BadSetup: another process holds it.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / LOCK) as free:
        if not free:
            raise BadSetup(f"another process trains in {folder}: {_MEND}")
        with nullcontext() if home is None else _alone_on_all_machines(home):
            yield


@contextmanager
def _alone_on_all_machines(home: WorkingFolder) -> Iterator[None]:
    lease = take_soon(home.store, f"{home.folder}/{LOCK}")
    if lease is None:
        raise BadSetup(f"another machine trains in {home.store.url(home.folder)}: {_MEND}")
    try:
        yield
    finally:
        lease.release()
