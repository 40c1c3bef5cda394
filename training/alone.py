"""One run in a folder at a time. Imports no torch."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.stages.leases import take
from pipelines.stages.locks import alone
from pipelines.stages.object_leases import LEASE_S, LOOK_S, RENEW_S
from pipelines.stages.working import WorkingFolder

LOCK = ".lock"
"""Lock file in a folder; the process that trains there holds it."""
WAIT_S = LEASE_S + RENEW_S
"""A process that was killed holds its lease in an object store for so long."""
_log = logging.getLogger(__name__)
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
    deadline_s, url, told = time.monotonic() + WAIT_S, home.store.url(home.folder), False
    while (lease := take(home.store, f"{home.folder}/{LOCK}")) is None:
        if time.monotonic() >= deadline_s:
            raise BadSetup(f"another machine trains in {url}: {_MEND}")
        if not told:
            _log.info("%s: another process trained here; waiting up to %.0f s, in case it was killed", url, WAIT_S)
            told = True
        time.sleep(LOOK_S)
    try:
        yield
    finally:
        lease.release()
