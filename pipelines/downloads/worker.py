"""Fetches one file, with retries: growing waits with jitter, and the waits that a server asks for. Runs in a thread."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from decoupage.faults import BadItem
from decoupage.randomness import hash64
from pipelines.downloads.attempt import MAX_WAIT_S, Bounds, request
from pipelines.downloads.item import Download, Stopped, TransientError, shown
from pipelines.downloads.partial import PartialFile, find_fault

if TYPE_CHECKING:
    from pipelines.downloads.network import Connection

_PROGRESS_BYTES = 1 << 20
"""An attempt that fetched so many new bytes does not count as a failure: long files may take many attempts."""


def backoff_s(url: str, attempt: int, first_wait_s: float) -> float:
    """The wait after an attempt (0, 1, ...): doubled each time, with jitter between half of that and all of it.

    The jitter is a hash of address and attempt, so workers spread out and a run can be reproduced.
    """
    longest = min(MAX_WAIT_S, first_wait_s * 2**attempt)
    return longest * (0.5 + 0.5 * hash64("backoff", url, attempt) / 2**64)


class Pace:
    """Waits shared by all workers: a host that asked for a pause is not contacted by any of them. Thread-safe."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._not_before_s: dict[str, float] = {}

    def rest(self, url: str, seconds: float) -> None:
        """Pause requests to the address's host for so many seconds."""
        host = urlsplit(url).netloc
        with self._lock:
            self._not_before_s[host] = max(self._not_before_s.get(host, 0.0), time.monotonic() + seconds)

    def wait(self, url: str, seconds: float = 0.0) -> None:
        """Wait for so many seconds, and until the host's pause is over. Raises Stopped."""
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
    """A complete file: its size, and whether this run fetched it."""

    num_bytes: int
    is_new: bool


@dataclass(frozen=True)
class Worker:
    """Fetches one file per call; what it holds is shared by all threads of a run."""

    connection: "Connection"
    folder: Path
    bounds: Bounds
    max_attempts: int
    first_wait_s: float
    pace: Pace
    wrote: Callable[[int], None]
    stop: threading.Event

    def find(self, download: Download) -> Fetched | None:
        """An existing file that needs no check of its contents; None if it is absent or its hash must be compared."""
        target = self.folder / download.path
        if download.has_checksum or not target.is_file() or find_fault(target, download):
            return None
        return Fetched(target.stat().st_size, is_new=False)

    def __call__(self, download: Download) -> Fetched:
        """Fetch a file unless it exists.

        Raises:
            BadItem: as `request`; `wrong_content` when the last attempt gave another length or hash than expected;
                `unreachable` when it failed in another way that a retry may cure.
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
        ends_s = time.monotonic() + self.bounds.item_s(self.max_attempts)
        while True:
            self.pace.wait(url)
            reason = "unreachable"
            try:
                request(self.connection, part, self.bounds, ends_s, self.wrote, self.stop)
                reason = "wrong_content"
                return part.finish()
            except TransientError as error:
                if part.num_bytes > furthest + _PROGRESS_BYTES:
                    failures, furthest = 0, part.num_bytes
                failures += 1
                if failures >= self.max_attempts or time.monotonic() > ends_s:
                    detail = f"{shown(url)}: {error.detail}, after {failures} attempts"
                    raise BadItem(reason, detail) from error
                if error.retry_after_s is not None:
                    self.pace.rest(url, error.retry_after_s)
                self.pace.wait(url, backoff_s(url, failures - 1, self.first_wait_s))
