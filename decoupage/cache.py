"""Where this machine keeps copies of what lies elsewhere. All of it can be fetched again, so it may be removed."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`DECOUPAGE_CACHE`, else `$XDG_CACHE_HOME/decoupage` or `~/.cache/decoupage`."""
    given = os.environ.get("DECOUPAGE_CACHE")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "decoupage"
