"""Who works on what in a store, so that two processes do not make the same thing at once.

In a local store a file lock of the operating system, which ends with its process; in an object store an object that its
holder renews (`object_leases.py`). Neither is needed for right results: bytes depend on the recipe alone, objects are
whole, and the manifest comes last. They save double work.
"""

from pathlib import Path
from typing import Protocol

from pipelines.stages import locks, object_leases
from pipelines.stages.store import Store


class Lease(Protocol):
    """What this process works on, until it releases it or ends."""

    def release(self) -> None:
        """Let others have it."""
        ...


def take(store: Store, path: str) -> Lease | None:
    """Take what an object guards, which exists only as long; None while another process has it.

    Raises:
        BadSetup: the store cannot be written to.
    """
    return locks.take(Path(store.url(path))) if store.is_local else object_leases.take(store, path)


def wait_until_free(store: Store, path: str, what: str) -> None:
    """Return when no process has it; the wait, and for whom, is logged once a minute.

    Args:
        path: of the object that guards it.
        what: what it guards, for the log.
    """
    if store.is_local:
        locks.wait_until_free(Path(store.url(path)), what)
    else:
        object_leases.wait_until_free(store, path, what)
