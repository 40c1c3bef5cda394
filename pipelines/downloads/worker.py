"""Fetches one file, with as many attempts as it may take. Runs in a thread; knows nothing of the other files."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from decoupage.faults import BadItem
from decoupage.randomness import hash64
from pipelines.downloads.attempt import LONGEST_WAIT_S, Bounds, request
from pipelines.downloads.item import Again, Download, Stopped, shown
from pipelines.downloads.partial import PartialFile, find_fault

if TYPE_CHECKING:
    import httpx2

_PROGRESS_BYTES = 1 << 20
"""An attempt that brought so much new is no failure: a long file over a bad line takes as many as it needs."""


def backoff_s(url: str, attempt: int, first_wait_s: float) -> float:
    """The wait after the attempt (0, 1, ...): doubled each time, and by jitter between half of that and all of it.

    The jitter is a hash of address and attempt: workers spread out, and a run can be repeated.
    """
    longest = min(LONGEST_WAIT_S, first_wait_s * 2**attempt)
    return longest * (0.5 + 0.5 * hash64("backoff", url, attempt) / 2**64)


class Pace:
    """What all workers keep to: a host that asked for rest is left alone by every one of them. Safe with threads."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._not_before_s: dict[str, float] = {}

    def rest(self, url: str, seconds: float) -> None:
        """Nobody asks this host for so long."""
        host = urlsplit(url).netloc
        with self._lock:
            self._not_before_s[host] = max(self._not_before_s.get(host, 0.0), time.monotonic() + seconds)

    def wait(self, url: str, seconds: float = 0.0) -> None:
        """Wait so long, and until the host may be asked. Raises Stopped."""
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                wanted = max(end, self._not_before_s.get(urlsplit(url).netloc, 0.0)) - time.monotonic()
            if self._stop.wait(max(wanted, 0.0)):
                raise Stopped
            if wanted <= 0:
                return


@dataclass(frozen=True)
class Fetched:
    """A whole file: its bytes, and whether this run brought it."""

    num_bytes: int
    is_new: bool


@dataclass(frozen=True)
class Worker:
    """What all threads of a run share."""

    client: "httpx2.Client"
    folder: Path
    bounds: Bounds
    max_attempts: int
    first_wait_s: float
    pace: Pace
    wrote: Callable[[int], None]
    stop: threading.Event

    def find(self, download: Download) -> Fetched | None:
        """A file that is there and need not be looked into; None for what is absent or has a hash to compare."""
        target = self.folder / download.path
        if download.has_checksum or not target.is_file() or find_fault(target, download):
            return None
        return Fetched(target.stat().st_size, is_new=False)

    def __call__(self, download: Download) -> Fetched:
        """Fetch a file unless it is there.

        Raises:
            BadItem: as `request`; `wrong_content` when every attempt brought another length or hash than expected;
                `unreachable` when the last attempt failed in a way that may pass.
            Stopped: the run ends.
        """
        part = PartialFile(self.folder, download)
        if part.target.is_file() and not find_fault(part.target, download):
            return Fetched(part.target.stat().st_size, is_new=False)
        try:
            return Fetched(self._attempts(part), is_new=True)
        except BadItem as fault:
            if fault.reason != "unreachable":
                part.remove()
            raise

    def _attempts(self, part: PartialFile) -> int:
        url = part.download.url
        failures, furthest = 0, part.num_bytes
        while True:
            self.pace.wait(url)
            reason = "unreachable"
            try:
                request(self.client, part, self.bounds, self.wrote, self.stop)
                reason = "wrong_content"
                return part.finish()
            except Again as error:
                if part.num_bytes > furthest + _PROGRESS_BYTES:
                    failures, furthest = 0, part.num_bytes
                failures += 1
                if failures >= self.max_attempts:
                    detail = f"{shown(url)}: {error.detail}, after {failures} attempts"
                    raise BadItem(reason, detail) from error
                if error.retry_after_s is not None:
                    self.pace.rest(url, error.retry_after_s)
                self.pace.wait(url, backoff_s(url, failures - 1, self.first_wait_s))
