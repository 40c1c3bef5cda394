"""What a profile requires of a machine before it can run, one line each, stated by the part that requires it.

Every part lists its own (`requirements(config) -> list[Requirement]`); `decoupage doctor` gathers them. Asking
downloads and changes nothing, and of a secret only its presence is reported.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadSetup


@dataclass(frozen=True)
class Requirement:
    """One thing that must be there.

    Attributes:
        name: of the thing, e.g. `layerdiffuse.decoder`.
        present: whether it was found.
        found: what was found, or what is wanted.
        fix: the command or link that gets it.
    """

    name: str
    present: bool
    found: str
    fix: str


def require(requirements: Iterable[Requirement]) -> None:
    """Stop before work starts where something is missing.

    Raises:
        BadSetup: the message names each thing with its fix.
    """
    missing = [f"{one.name}: {one.found}. Fix: {one.fix}" for one in requirements if not one.present]
    if missing:
        raise BadSetup("; ".join(missing))


def free_space(path: str | Path) -> tuple[float, Path]:
    """Free GB on the disk that a folder lies on or will lie on, and the nearest folder that is there."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9, folder
