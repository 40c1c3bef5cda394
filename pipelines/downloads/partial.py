"""A file on its way: what has come of it, and what is needed to ask for the rest of the same version.

`<folder>/.partial/<hash of the path>.part` holds the bytes, `.json` beside it the facts. The file appears under its
own name only when it is whole and checked.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.downloads.item import Again, Download, shown

FOLDER = ".partial"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Version:
    """Which version of a file the bytes belong to.

    Attributes:
        url: its address, without secrets.
        validator: strong entity tag or date of change, for `If-Range`; empty = the server gave none, no resuming.
        total: bytes of the whole file; None = not said.
    """

    url: str
    validator: str
    total: int | None


class PartialFile:
    """The bytes of one download before it is whole. One thread writes it."""

    def __init__(self, folder: Path, download: Download) -> None:
        self.download = download
        self.target = folder / download.path
        stem = hashlib.sha256(download.path.encode()).hexdigest()[:32]
        self.data = folder / FOLDER / f"{stem}.part"
        self.facts = folder / FOLDER / f"{stem}.json"

    @property
    def num_bytes(self) -> int:
        """Bytes that have come."""
        return self.data.stat().st_size if self.data.exists() else 0

    def version(self) -> Version | None:
        """The version that was begun, if it is of the same address and can be continued."""
        try:
            version = Version(**json.loads(self.facts.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):  # Absent, or cut off by a kill: begin anew.
            return None
        return version if version.validator and version.url == shown(self.download.url) else None

    def begin(self, version: Version) -> None:
        """Forget what has come, and note which version comes now."""
        # In this order: bytes without facts are never continued.
        self.facts.unlink(missing_ok=True)
        self.data.write_bytes(b"")
        temp = self.facts.with_suffix(".tmp")
        temp.write_text(json.dumps(asdict(version)))
        temp.replace(self.facts)

    def remove(self) -> None:
        """Forget it altogether."""
        self.facts.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    def finish(self) -> int:
        """Check the bytes and put the file in its place; returns its bytes.

        Raises:
            Again: length or hash are wrong; what has come is forgotten.
        """
        fault = find_fault(self.data, self.download)
        if fault:
            self.remove()
            raise Again(fault)
        with self.data.open("rb") as file:
            os.fsync(file.fileno())
        self.target.parent.mkdir(parents=True, exist_ok=True)
        size = self.num_bytes
        self.data.replace(self.target)
        self.facts.unlink(missing_ok=True)
        return size


def find_fault(path: Path, download: Download) -> str:
    """What is wrong with a file that should be the download; empty when nothing is known to be."""
    size = path.stat().st_size
    if download.num_bytes is not None and size != download.num_bytes:
        return f"{size} bytes, expected {download.num_bytes}"
    for name in ("sha256", "md5"):
        expected = getattr(download, name)
        if expected is not None:
            sha = hashlib.new(name, usedforsecurity=False)
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    sha.update(block)
            if sha.hexdigest() != expected:
                return f"{name} is {sha.hexdigest()}, expected {expected}"
    return ""


def remove_strangers(folder: Path, downloads: Iterable[Download]) -> int:
    """Remove what earlier runs left of files that are no longer asked for; returns how many files."""
    ours = {
        path for download in downloads for part in [PartialFile(folder, download)] for path in (part.data, part.facts)
    }
    strangers = [path for path in (folder / FOLDER).iterdir() if path not in ours and path.name != "lock"]
    for path in strangers:
        path.unlink()
    return len(strangers)
