"""Shows the progress of long work: a Rich bar in a terminal, a log line every few seconds elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
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
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> "Progress":
        self._last_s = time.monotonic()
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
                log.info("%s: %d%s %s", self.title, self._count, f"/{self.total}" if self.total else "", self.unit)
