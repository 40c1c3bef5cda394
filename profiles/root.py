"""Whether a profile's root can hold files at all: checked before any work."""

import os
from pathlib import Path

from decoupage.faults import BadSetup
from pipelines.stages.store import Store

_FIX = "name another with DECOUPAGE_ROOT or --root"


def check_root(root: str) -> None:
    """Refuse a root that no file can be written to. A folder that is there is taken: reading alone needs no more.

    An object store is asked once, whether it answers and knows the credentials; that they may write shows later.

    Args:
        root: a folder, which need not exist yet, or an address of an object store.

    Raises:
        BadSetup: something in its path is a file, it may not be made, or its store cannot be used: an absent package,
            no such bucket, wrong keys, no way to the server.
    """
    if "://" in root:
        Store(root).check()
        return
    place = Path(root).absolute()
    if place.is_dir():
        return
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise BadSetup(f"the root {root} cannot be a folder, because {place} is not a folder; {_FIX}")
    if not is_writable(root):
        raise BadSetup(f"the root {root} cannot be made, because this user cannot write to {place}; {_FIX}")


def is_writable(root: str) -> bool:
    """Whether files can be written below a root as far as this machine knows; an object store is not asked."""
    if "://" in root:
        return True
    place = Path(root).absolute()
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK | os.X_OK)
