"""What the profile's before/after pairs need of this machine: their folder. Pictures are not opened."""

from pathlib import Path

from decoupage.requirements import Requirement
from pipelines.config import PairsConfig


def requirements(config: PairsConfig) -> list[Requirement]:
    """The folder; nothing where the profile has no pairs."""
    if config.source == "none":
        return []
    fix = "put pairs there, or set DECOUPAGE__PAIRS__FOLDER=FOLDER"
    found = f"{config.folder}, layout {config.layout}"
    return [Requirement("pairs.folder", Path(config.folder).is_dir(), found, fix)]
