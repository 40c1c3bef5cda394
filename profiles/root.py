"""Whether a profile's root can hold files at all: checked before any work."""

import os
from pathlib import Path

from decoupage.faults import BadSetup

_FIX = "name another with DECOUPAGE_ROOT or --root"


def check_root(root: str) -> None:
    """Refuse a root that no file can be written to. A folder that is there is taken: reading alone needs no more.

    Args:
        root: a folder, which need not exist yet, or an address of an object store.

    Raises:
        BadSetup: something in its path is a file, it may not be made, or its store needs a package that is absent.
    """
    if "://" in root:
        _check_store(root)
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


def _check_store(root: str) -> None:
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(root.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise BadSetup(f"the root {root} cannot be opened: {error}; {_FIX}") from None
