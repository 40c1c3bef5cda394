"""One run in a folder at a time. Imports no torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.stages.locks import alone

LOCK = ".lock"
"""Lock file in a folder; the process that trains there holds it."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder: two would spoil each other's checkpoints. Of several ranks the first holds it.

    The folder is made where it is absent. The lock is one machine's; a process that ends, however it ends, gives it up.

    Raises:
        BadSetup: another process holds it.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / LOCK) as free:
        if not free:
            raise BadSetup(f"another process trains in {folder}: wait until it ends, stop it, or choose another folder")
        yield
