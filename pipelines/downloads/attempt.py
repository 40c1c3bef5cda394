"""One request for one file: checks the headers and appends the bytes to the partial file.

`worker.py` decides when to retry. Content encodings are refused (`identity`), so that ranges and lengths count the
bytes of the file itself.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decoupage.faults import BadItem
from pipelines.downloads.item import Download, Stopped, TransientError, shown
from pipelines.downloads.partial import PartialFile, Version
from pipelines.retry_after import retry_after_s

if TYPE_CHECKING:
    import httpx2

    from pipelines.downloads.network import Connection

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_GONE = (404, 410)
MAX_WAIT_S = 120.0
"""Upper bound of the wait before a retry, also of one that the server asks for."""
_SLOWEST_BYTES_PER_S = 256
_SLOWEST_MEAN_BYTES_PER_S = 16_384
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class Bounds:
    """Limits of the requests for one file: its bytes, and seconds without enough data."""

    max_file_bytes: int
    timeout_s: float

    @property
    def headers_s(self) -> float:
        """For connecting, redirects and headers of one attempt together."""
        return 2 * self.timeout_s

    def body_s(self, num_bytes: int) -> float:
        """For the bytes of one attempt, however they trickle."""
        return 10 * self.timeout_s + num_bytes / _SLOWEST_MEAN_BYTES_PER_S

    def item_s(self, max_attempts: int) -> float:
        """For a file, all attempts and the waits between them together."""
        return max_attempts * (self.headers_s + MAX_WAIT_S) + self.body_s(self.max_file_bytes)


def request(
    connection: "Connection",
    part: PartialFile,
    bounds: Bounds,
    ends_s: float,
    wrote: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Request a file, or the rest of it; when this returns, all its bytes have arrived.

    Args:
        ends_s: when the file is given up, on the monotonic clock.
        wrote: called with the number of bytes of each piece.

    Raises:
        TransientError: another attempt may succeed.
        BadItem: `gone`, `refused`, `bad_redirect`, `bad_url`, `encoded`, `unknown_length`, `too_large`, `not_public`.
        Stopped: the run ends.
    """
    import httpx2

    download, version = part.download, part.version()
    start = part.num_bytes if version else 0
    if version and version.total is not None and start == version.total:
        return
    headers = {"Range": f"bytes={start}-", "If-Range": version.validator} if version and start else {}
    clock = connection.clock
    clock.ends_s = min(ends_s, time.monotonic() + bounds.headers_s)
    try:
        with connection.client.stream("GET", download.url, headers=headers) as response:
            if response.status_code == 416:
                part.remove()
                raise TransientError("the server has no such range")
            _check_status(response, download)
            if response.status_code == 206:
                _check_range(response, part, start)
            else:
                start = 0
                part.begin(Version(shown(download.url), _validator(response), _length(response)))
            _check_length(response, download, start, bounds)
            length = _length(response)
            body_s = bounds.body_s(bounds.max_file_bytes if length is None else length)
            clock.ends_s = min(ends_s, time.monotonic() + body_s)
            _receive(response, part, start, bounds, wrote, stop)
    except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects) as error:
        raise BadItem("bad_redirect", f"{shown(download.url)}: {error}") from error
    except httpx2.InvalidURL as error:
        raise BadItem("bad_url", f"{shown(download.url)} is not a valid address") from error
    except httpx2.RequestError as error:
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _check_status(response: "httpx2.Response", download: Download) -> None:
    status, address = response.status_code, shown(download.url)
    if status in _AGAIN:
        asked_s = retry_after_s(response.headers)
        raise TransientError(f"status {status}", None if asked_s is None else min(asked_s, MAX_WAIT_S))
    if status in _GONE:
        raise BadItem("gone", f"{address}: status {status}")
    if status not in (200, 206):
        raise BadItem("refused", f"{address}: status {status}")
    if download.url.startswith("https:") and response.url.scheme != "https":
        raise BadItem("bad_redirect", f"{address} leads from https to {response.url.scheme}")
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise BadItem("encoded", f"{address}: sent with the encoding {coding}, though none was accepted")


def _check_range(response: "httpx2.Response", part: PartialFile, start: int) -> None:
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    version = part.version()
    known = ("*", str(version.total)) if version and version.total is not None else None
    # Without a start, no range was requested.
    if not start or match is None or int(match[1]) != start or (known and match[2] not in known):
        part.remove()
        raise TransientError(f"the server answered a range from byte {start} with another range")


def _check_length(response: "httpx2.Response", download: Download, start: int, bounds: Bounds) -> None:
    """Refuse a file that is too long before it arrives, and one whose truncation could not be noticed."""
    length = _length(response)
    if length is not None and start + length > bounds.max_file_bytes:
        raise BadItem("too_large", f"{shown(download.url)}: {start + length} bytes, at most {bounds.max_file_bytes}")
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "")
    if length is None and not (chunked or download.has_checksum or download.num_bytes is not None):
        raise BadItem("unknown_length", f"{shown(download.url)}: nothing says where the file ends")


def _length(response: "httpx2.Response") -> int | None:
    text = response.headers.get("Content-Length", "")
    # More digits than any size has are not a length; Python refuses to read thousands of them.
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _validator(response: "httpx2.Response") -> str:
    # A weak entity tag is not allowed in If-Range (RFC 9110, 13.1.5).
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _receive(
    response: "httpx2.Response",
    part: PartialFile,
    start: int,
    bounds: Bounds,
    wrote: Callable[[int], None],
    stop: threading.Event,
) -> None:
    size, window_size, window_s = start, start, time.monotonic()
    with part.data.open("ab") as file:
        for piece in response.iter_raw():
            if stop.is_set():
                raise Stopped
            size += len(piece)
            if size > bounds.max_file_bytes:
                raise BadItem("too_large", f"{shown(part.download.url)}: more than {bounds.max_file_bytes} bytes")
            file.write(piece)
            wrote(len(piece))
            # A very slow server stays within the time-out of each read, so the rate over the whole time is checked.
            if time.monotonic() - window_s > bounds.timeout_s:
                if size - window_size < _SLOWEST_BYTES_PER_S * bounds.timeout_s:
                    raise TransientError(f"{size - window_size} bytes in {bounds.timeout_s:g} s")
                window_size, window_s = size, time.monotonic()
