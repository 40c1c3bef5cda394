"""Fetches a list of files with several threads, within a budget of bytes, and reports."""

import errno
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from pipelines.downloads.attempt import Bounds
from pipelines.downloads.item import Download, DownloadReport
from pipelines.downloads.partial import FOLDER, remove_unwanted
from pipelines.downloads.worker import Fetched, Pace, Worker
from pipelines.stages.local_files import FULL
from pipelines.stages.locks import alone
from pipelines.stages.manifest import Drop
from pipelines.stages.progress import Progress

log = logging.getLogger(__name__)
_FEW_FILES = 50
"""Lists of at most so many files hold long files, whose progress is shown in bytes."""
_MAX_UNREACHABLE = 8
"""So many unreachable files in a row (or two for each worker) mean that the network is down."""


def download_all(  # noqa: PLR0913 - each is one rule of a run
    downloads: Sequence[Download],
    folder: Path,
    *,
    workers: int = 16,
    max_bytes: int | None = None,
    max_file_bytes: int = 1 << 33,
    timeout_s: float = 30.0,
    max_attempts: int = 6,
    first_wait_s: float = 1.0,
    trusted: Iterable[str] = (),
    title: str = "downloads",
) -> DownloadReport:
    """Fetch the missing files of a list; a file appears in the folder only when it is complete and its hash is right.

    An existing file is not requested again: it is hashed when its hash is known, else its name is enough. A partial
    file of a killed run is continued if the server still has the same version. A file that cannot be fetched is dropped
    with a reason, and the others go on.

    Args:
        workers: number of connections at a time.
        max_bytes: budget for all files of the list together, existing ones included: the report holds the files up to
            the first one that exceeds it, in the order of the list. A few more may be on disk, for another run.
        max_file_bytes: limit for one file.
        timeout_s: limit for connecting and for each piece; a server slower than 256 bytes a second over it is retried.
            Headers must come within twice this time, and a file within ten times it and a second for each 16 KiB.
        max_attempts: failures in a row before a file is given up; an attempt that fetched a new MiB does not count.
        first_wait_s: wait after the first failure; doubled after each. `Retry-After` is obeyed up to two minutes.
        trusted: addresses that the profile names: their hosts and ports need not be public. Any other host must be,
            whether a list or a redirect names it.
        title: name of the list in progress and log messages.

    Raises:
        ValueError: two files have the same path.
        BadSetup: the folder cannot be written to, another run fetches into it, the disk is full, or many files in a
            row cannot be reached.
    """
    from pipelines.downloads.network import Connection

    started = time.monotonic()
    if len({download.path for download in downloads}) < len(downloads):
        raise ValueError("downloads must have different paths")
    stop, written = threading.Event(), _Written()
    with _claimed(folder), Connection(workers, timeout_s, trusted) as connection:
        _stay_inside(folder, downloads)
        remove_unwanted(folder, downloads)
        bounds = Bounds(max_file_bytes, timeout_s)
        worker = Worker(connection, folder, bounds, max_attempts, first_wait_s, Pace(stop), written, stop)
        results: dict[int, Fetched | BadItem] = {}
        long_files = len(downloads) <= _FEW_FILES
        with Progress(title, "MiB" if long_files else "files", None if long_files else len(downloads)) as progress:
            steps = 0
            for results in _map(worker, downloads, workers, max_bytes, stop):
                now = written.num_bytes >> 20 if long_files else len(results)
                for _ in progress.counting(range(now - steps)):
                    pass
                steps = now
    report = _report(downloads, results, max_bytes, time.monotonic() - started)
    log.info(
        "%s: %d files (%d fetched now), %.1f MB, %d dropped, %d left out by the byte budget, %.1f s",
        *(title, len(report.paths), report.num_fetched, report.num_bytes / 1e6),
        *(len(report.drops), report.num_left, report.seconds),
    )
    return report


class _Written:
    """Counter of the bytes that all threads have written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.num_bytes = 0

    def __call__(self, num_bytes: int) -> None:
        with self._lock:
            self.num_bytes += num_bytes


def _map(
    worker: Worker, downloads: Sequence[Download], workers: int, max_bytes: int | None, stop: threading.Event
) -> Iterator[dict[int, Fetched | BadItem]]:
    """Results so far by position in the list, at least every second; files are started in the order of the list."""
    results: dict[int, Fetched | BadItem] = {}
    running: dict[Future[Fetched], int] = {}
    todo = iter(enumerate(downloads))
    num_bytes, unreachable = 0, 0
    with ThreadPoolExecutor(workers, thread_name_prefix="download") as pool:
        try:
            while True:
                # Files that were started are finished, so the end of the budget does not depend on their speed.
                while len(running) < workers and (max_bytes is None or num_bytes <= max_bytes):
                    i, item = next(todo, (len(downloads), None))
                    if item is None:
                        break
                    found = worker.find(item)
                    if found is None:
                        running[pool.submit(worker, item)] = i
                    else:
                        results[i] = found
                        num_bytes += found.num_bytes
                if not running:
                    yield results
                    return
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    result = _result(future)
                    results[running.pop(future)] = result
                    num_bytes += result.num_bytes if isinstance(result, Fetched) else 0
                    failed = isinstance(result, BadItem) and result.reason == "unreachable"
                    unreachable = unreachable + 1 if failed else 0
                    if isinstance(result, BadItem) and unreachable >= max(_MAX_UNREACHABLE, 2 * workers):
                        raise BadSetup(f"{unreachable} files in a row could not be reached, the last: {result.detail}")
                yield results
        finally:
            # Stops the threads when this ends early; after the last file none is running.
            stop.set()


def _result(future: "Future[Fetched]") -> Fetched | BadItem:
    try:
        return future.result()
    except BadItem as fault:
        return fault
    except OSError as error:
        if error.errno in (*FULL, errno.EACCES):
            raise BadSetup(f"{error.strerror} while downloading; free space or correct its permissions") from error
        raise


def _report(
    downloads: Sequence[Download], results: dict[int, Fetched | BadItem], max_bytes: int | None, seconds: float
) -> DownloadReport:
    paths: list[str] = []
    drops: list[Drop] = []
    num_bytes, num_fetched, num_seen = 0, 0, 0
    for i, download in enumerate(downloads):
        result = results.get(i)
        if isinstance(result, BadItem):
            drops.append({"id": download.path, "reason": result.reason, "detail": result.detail})
        elif result is None or (max_bytes is not None and num_bytes + result.num_bytes > max_bytes):
            break
        else:
            paths.append(download.path)
            num_bytes += result.num_bytes
            num_fetched += result.is_new
        num_seen += 1
    return DownloadReport(paths, num_bytes, num_fetched, drops, len(downloads) - num_seen, seconds)


def _stay_inside(folder: Path, downloads: Sequence[Download]) -> None:
    """Refuse paths that leave the folder through symbolic links in it."""
    root = folder.resolve()
    for parent in {(folder / download.path).parent for download in downloads}:
        if not parent.resolve().is_relative_to(root):
            raise BadSetup(f"{parent} is a link that leads out of {folder}; remove it")


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Locks the folder for this run; the lock of a killed run is released by the operating system."""
    path = folder / FOLDER / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise BadSetup(f"{folder} cannot be written to ({error.strerror}); correct its permissions") from error
    with alone(path) as free:
        if not free:
            raise BadSetup(f"another run is downloading into {folder}; wait for it")
        yield
