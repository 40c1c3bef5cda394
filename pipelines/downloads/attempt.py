"""One request for one file: its headers judged, its bytes appended to the partial file.

When to try again is decided in `worker.py`. Codings are refused (`identity`): ranges and lengths then count the bytes
of the file itself.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decoupage.faults import BadItem
from pipelines.downloads.item import Again, Download, Stopped, shown
from pipelines.downloads.partial import PartialFile, Version
from pipelines.retry_after import retry_after_s

if TYPE_CHECKING:
    import httpx2

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_GONE = (404, 410)
LONGEST_WAIT_S = 120.0
_SLOWEST_BYTES_PER_S = 256
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Bounds:
    """What one request may take."""

    max_file_bytes: int
    timeout_s: float


def make_client(workers: int, timeout_s: float) -> "httpx2.Client":
    """A client for so many threads. Follows at most five redirects."""
    import httpx2

    # They log every address with its query, where secrets may stand; and a line for each of a million pictures.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx2.Client(
        headers={"Accept-Encoding": "identity", "User-Agent": "decoupage"},
        timeout=timeout_s,
        follow_redirects=True,
        max_redirects=5,
        limits=httpx2.Limits(max_connections=workers, max_keepalive_connections=workers),
    )


def request(
    client: "httpx2.Client", part: PartialFile, bounds: Bounds, wrote: Callable[[int], None], stop: threading.Event
) -> None:
    """Ask for a file, or for the rest of it; when this returns, all its bytes have come.

    Args:
        wrote: is told the number of bytes of each piece.

    Raises:
        Again: another attempt may succeed.
        BadItem: `gone`, `refused`, `bad_redirect`, `bad_url`, `encoded`, `unknown_length`, `too_large`.
        Stopped: the run ends.
    """
    import httpx2

    download, version = part.download, part.version()
    start = part.num_bytes if version else 0
    if version and version.total is not None and start == version.total:
        return
    headers = {"Range": f"bytes={start}-", "If-Range": version.validator} if version and start else {}
    try:
        with client.stream("GET", download.url, headers=headers) as response:
            if response.status_code == 416:
                part.remove()
                raise Again("the server knows of no such range")
            _check_status(response, download)
            if response.status_code == 206:
                _check_range(response, part, start)
            else:
                start = 0
                part.begin(Version(shown(download.url), _validator(response), _length(response)))
            _check_length(response, download, start, bounds)
            _receive(response, part, start, bounds, wrote, stop)
    except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects) as error:
        raise BadItem("bad_redirect", f"{shown(download.url)}: {error}") from error
    except httpx2.InvalidURL as error:
        raise BadItem("bad_url", f"{shown(download.url)} cannot be asked for") from error
    except httpx2.RequestError as error:
        raise Again(f"{type(error).__name__}: {error}") from error


def _check_status(response: "httpx2.Response", download: Download) -> None:
    status, address = response.status_code, shown(download.url)
    if status in _AGAIN:
        asked_s = retry_after_s(response.headers)
        raise Again(f"status {status}", None if asked_s is None else min(asked_s, LONGEST_WAIT_S))
    if status in _GONE:
        raise BadItem("gone", f"{address}: status {status}")
    if status not in (200, 206):
        raise BadItem("refused", f"{address}: status {status}")
    if download.url.startswith("https:") and response.url.scheme != "https":
        raise BadItem("bad_redirect", f"{address} leads from https to {response.url.scheme}")
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise BadItem("encoded", f"{address}: sent as {coding}, though asked for as it is")


def _check_range(response: "httpx2.Response", part: PartialFile, start: int) -> None:
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    version = part.version()
    known = ("*", str(version.total)) if version and version.total is not None else None
    # Without a start no range was asked for.
    if not start or match is None or int(match[1]) != start or (known and match[2] not in known):
        part.remove()
        raise Again(f"the server answered a range from byte {start} with another one")


def _check_length(response: "httpx2.Response", download: Download, start: int, bounds: Bounds) -> None:
    """Refuse what is too long before it comes, and what could be cut off without anybody seeing it."""
    length = _length(response)
    if length is not None and start + length > bounds.max_file_bytes:
        raise BadItem("too_large", f"{shown(download.url)}: {start + length} bytes, at most {bounds.max_file_bytes}")
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "")
    if length is None and not (chunked or download.has_checksum or download.num_bytes is not None):
        raise BadItem("unknown_length", f"{shown(download.url)}: nothing says where the file ends")


def _length(response: "httpx2.Response") -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _validator(response: "httpx2.Response") -> str:
    # A weak tag may not stand in If-Range (RFC 9110, 13.1.5).
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
            # A server that drips keeps every read within its time; what counts is what came in all of that time.
            if time.monotonic() - window_s > bounds.timeout_s:
                if size - window_size < _SLOWEST_BYTES_PER_S * bounds.timeout_s:
                    raise Again(f"{size - window_size} bytes in {bounds.timeout_s:g} s")
                window_size, window_s = size, time.monotonic()
