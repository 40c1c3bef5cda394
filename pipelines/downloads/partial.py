"""A partially downloaded file: its bytes so far, and what is needed to request the rest of the same version.

`<folder>/.partial/<hash of the path>.part` holds the bytes, the `.json` beside it the version. The file appears under
its own name only when it is complete and checked.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.downloads.item import Download, TransientError, shown

FOLDER = ".partial"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Version:
    """The version of a file that the bytes belong to.

    Attributes:
        url: its address, without secrets.
        validator: strong entity tag or modification date, for `If-Range`; empty = the server gave none, no resuming.
        total: size of the whole file in bytes; None = not given.
    """

    url: str
    validator: str
    total: int | None


class PartialFile:
    """The bytes of one download before it is complete. Written by one thread."""

    def __init__(self, folder: Path, download: Download) -> None:
        self.download = download
        self.target = folder / download.path
        stem = hashlib.sha256(download.path.encode()).hexdigest()[:32]
        self.data = folder / FOLDER / f"{stem}.part"
        self.version_file = folder / FOLDER / f"{stem}.json"

    @property
    def num_bytes(self) -> int:
        """Number of bytes that have arrived."""
        return self.data.stat().st_size if self.data.exists() else 0

    def version(self) -> Version | None:
        """The version that was begun; None when its address differs or it cannot be resumed."""
        try:
            version = Version(**json.loads(self.version_file.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError, RecursionError):  # Absent, or damaged: start again.
            return None
        return version if version.validator and version.url == shown(self.download.url) else None

    def begin(self, version: Version) -> None:
        """Discard the bytes so far, and record the version that arrives now."""
        # In this order: bytes without a recorded version are never continued.
        self.version_file.unlink(missing_ok=True)
        self.data.write_bytes(b"")
        temp = self.version_file.with_suffix(".tmp")
        temp.write_text(json.dumps(asdict(version)))
        temp.replace(self.version_file)

    def remove(self) -> None:
        """Discard the bytes and the version."""
        self.version_file.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    def finish(self) -> int:
        """Check the bytes and move the file to its place; returns its size in bytes.

        Raises:
            TransientError: length or hash are wrong; the bytes are discarded.
        """
        fault = find_fault(self.data, self.download)
        if fault:
            self.remove()
            raise TransientError(fault)
        with self.data.open("rb") as file:
            os.fsync(file.fileno())
        self.target.parent.mkdir(parents=True, exist_ok=True)
        size = self.num_bytes
        self.data.replace(self.target)
        self.version_file.unlink(missing_ok=True)
        return size


def find_fault(path: Path, download: Download) -> str:
    """How a file differs from the expected size and hash of a download; empty when it does not."""
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


def remove_unwanted(folder: Path, downloads: Iterable[Download]) -> int:
    """Remove partial files of earlier runs that are no longer on the list; returns their number."""
    parts = [PartialFile(folder, download) for download in downloads]
    wanted = {path for part in parts for path in (part.data, part.version_file)}
    unwanted = [path for path in (folder / FOLDER).iterdir() if path not in wanted and path.name != "lock"]
    for path in unwanted:
        path.unlink()
    return len(unwanted)
