"""Shows the progress of long work: a Rich bar in a terminal, a log line every few seconds elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

T = TypeVar("T")
log = logging.getLogger(__name__)
_LOG_EVERY_S = 10.0


class Progress:
    """Shows the progress of an iteration through `counting`. Used as a context manager."""

    def __init__(self, title: str, unit: str, total: int | None = None) -> None:
        self.title, self.unit, self.total = title, unit, total
        self._count = 0
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            times = (TimeElapsedColumn(), TimeRemainingColumn())
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times)
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> "Progress":
        self._began_s = self._last_s = time.monotonic()
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def counting(self, things: Iterable[T]) -> Iterator[T]:
        """Yield the same objects, and advance the progress by one for each."""
        for thing in things:
            yield thing
            self._count += 1
            if self._bar:
                self._bar.advance(self._task)
            elif time.monotonic() - self._last_s > _LOG_EVERY_S:
                self._last_s = time.monotonic()
                of = f"/{self.total}" if self.total else ""
                log.info("%s: %d%s %s%s", self.title, self._count, of, self.unit, self._left())

    def _left(self) -> str:
        """How long the rest will take if it goes on like this; empty where nobody knows how much that is."""
        if not self.total or not 0 < self._count < self.total:
            return ""
        left_s = (self._last_s - self._began_s) / self._count * (self.total - self._count)
        return f", about {left_s:.0f} s left" if left_s < 100 else f", about {left_s / 60:.0f} min left"


class Steps:
    """Numbers the steps of long work, and logs each as it begins: `step 2 of 5: scores`."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._number = 0

    def next(self, title: str, said: str = "") -> str:
        """The title of the next step, numbered; what is `said` of it stands in the log alone."""
        self._number += 1
        numbered = f"step {self._number} of {self.total}: {title}"
        log.info("%s", f"{numbered}: {said}" if said else numbered)
        return numbered
