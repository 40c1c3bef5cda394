"""Fetches one file, with as many attempts as it may take. Runs in a thread; knows nothing of the other files."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decoupage.faults import BadItem
from pipelines.downloads.attempt import Bounds, request
from pipelines.downloads.item import Download, shown
from pipelines.downloads.partial import PartialFile, find_fault
from pipelines.downloads.patience import Again, Pace, backoff_s

if TYPE_CHECKING:
    import httpx2

_PROGRESS_BYTES = 1 << 20
"""An attempt that brought so much new is no failure: a long file over a bad line takes as many as it needs."""


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
