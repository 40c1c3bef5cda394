"""What a profile needs of a machine before it can run: one line each, told by the part that needs it.

Every source says its own (`needs(config) -> list[Need]`); `decoupage doctor` gathers them. Nothing is downloaded or
changed by asking, and of a secret only its presence is told.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """One thing that a profile needs.

    Attributes:
        name: of the thing, e.g. `layerdiffuse.decoder`.
        present: whether it was found.
        found: what was found, or what is wanted.
        remedy: the command or link that gets it.
    """

    name: str
    present: bool
    found: str
    remedy: str


def free_space(path: str | Path) -> tuple[float, Path]:
    """Free GB on the disk that a folder lies on or will lie on, and the nearest folder that is there."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9, folder
