"""When to ask a server again: growing waits with jitter, and what the server itself asks for (`Retry-After`)."""

import threading
import time
from urllib.parse import urlsplit

from decoupage.randomness import hash64

LONGEST_WAIT_S = 120.0


class Again(Exception):
    """An attempt failed in a way that may pass. `retry_after_s` is what the server asked for; None = nothing."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class Stopped(Exception):
    """The run ends before its work is done; what has come so far is kept for the next."""


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
