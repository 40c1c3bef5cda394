"""What to download, the report on it, and how an attempt can end early. Nothing here opens a connection."""

import re
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pipelines.stages.manifest import Drop

_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        url: its http or https address.
        path: its path below the folder of the run; no part of it may begin with a dot.
        sha256, md5: expected hashes in lower-case hex; None = not known.
        num_bytes: expected size; None = not known.

    Raises:
        ValueError: the address is not an http(s) address, or the path could leave the folder.
    """

    url: str
    path: str
    sha256: str | None = None
    md5: str | None = None
    num_bytes: int | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"download.url must begin with http:// or https:// and name a host, got {shown(self.url)}")
        unsafe = any(not part or part.startswith(".") for part in self.path.split("/"))
        if unsafe or "\\" in self.path or not self.path.isprintable():
            raise ValueError(f"download.path must stay inside its folder and have no hidden parts, got {self.path!r}")
        for name, pattern in _HEX.items():
            value = getattr(self, name)
            if value is not None and not pattern.fullmatch(value):
                raise ValueError(f"download.{name} must be lower-case hex of {name}, got {value!r}")

    @property
    def has_checksum(self) -> bool:
        """True when an expected hash is known."""
        return bool(self.sha256 or self.md5)


def shown(url: str) -> str:
    """An address for messages: without user, password, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True)
class DownloadReport:
    """Summary of what a run fetched.

    Attributes:
        paths: paths of the files that are complete, in the order of the list.
        num_bytes: total size of these files.
        num_fetched: number of these files that this run fetched; the others existed before.
        drops: files that could not be fetched, with reasons; `unreachable` ones may be fetched by a later run.
        num_left: number of files that the byte budget left out, at the end of the list.
        seconds: duration of the run.
    """

    paths: list[str] = field(default_factory=list)
    num_bytes: int = 0
    num_fetched: int = 0
    drops: list[Drop] = field(default_factory=list)
    num_left: int = 0
    seconds: float = 0.0

    @property
    def drops_by_reason(self) -> dict[str, int]:
        """Reason -> number."""
        return dict(Counter(drop["reason"] for drop in self.drops).most_common())


class TransientError(Exception):
    """An attempt failed, and a retry may succeed. `retry_after_s` is the wait that the server asks for, if any."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class Stopped(Exception):
    """The run ends early; partial files are kept for the next run."""
