"""What says which run an export came from: `export.json` beside it, and the name of the run's folder."""

import logging
from collections.abc import Mapping
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.text_files import parse_json

_log = logging.getLogger(__name__)
IDENTITY = "export.json"
"""File beside `export/` that says what it was made from."""


def run_name(identity: Mapping[str, str]) -> str:
    """Name of the folder of a run in `<out>/runs`."""
    return fingerprint(dict(identity))


def exported_identity(out: Path) -> dict[str, str] | None:
    """Identity of the run that `<out>/export` came from; None if there is no export, or it does not say."""
    return identity_beside(out) if (out / "export").is_dir() else None


def identity_beside(out: Path) -> dict[str, str] | None:
    """What `export.json` in a folder says; None if there is none, or it is damaged."""
    file = out / IDENTITY
    return stated_identity(file.read_bytes(), str(out)) if file.is_file() else None


def stated_identity(data: bytes, where: str) -> dict[str, str] | None:
    """What the `export.json` of a folder says; None if it is damaged."""
    try:
        identity = parse_json(data, f"{where}/{IDENTITY}")
    except BadSetup as fault:
        _log.warning("%s: the export counts as absent and is made again", fault)
        return None
    return identity if isinstance(identity, dict) else None
