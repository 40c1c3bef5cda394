"""What is to be fetched, and what came of it. Nothing here opens a connection."""

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
        url: http or https.
        path: where it goes, relative to the folder of the run; no part of it may begin with a dot.
        sha256, md5: what it must hash to, in lower-case hex; None = not known.
        num_bytes: how long it must be; None = not known.

    Raises:
        ValueError: the address is no http(s) address, or the path could leave the folder.
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
        """True when it is known what the file must hash to."""
        return bool(self.sha256 or self.md5)


def shown(url: str) -> str:
    """An address for people: without user, password, query and fragment, where secrets may stand."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True)
class DownloadReport:
    """What a run fetched.

    Attributes:
        paths: of the files that are there and whole, in the order of the list.
        num_bytes: of all of them.
        num_fetched: how many of them this run brought; the others were there.
        drops: files that cannot be had, with reasons; those that may come another time have the reason `unreachable`.
        num_left: how many files the byte budget left out: the list from some file on.
    """

    paths: list[str] = field(default_factory=list)
    num_bytes: int = 0
    num_fetched: int = 0
    drops: list[Drop] = field(default_factory=list)
    num_left: int = 0
    seconds: float = 0.0

    @property
    def budget_reached(self) -> bool:
        """True when the byte budget left files out."""
        return self.num_left > 0

    @property
    def drops_by_reason(self) -> dict[str, int]:
        """Reason -> number."""
        return dict(Counter(drop["reason"] for drop in self.drops).most_common())


class Again(Exception):
    """An attempt failed in a way that may pass. `retry_after_s` is what the server asked for; None = nothing."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class Stopped(Exception):
    """The run ends before its work is done; what has come so far is kept for the next."""
