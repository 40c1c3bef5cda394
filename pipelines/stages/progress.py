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
_MINUTE_S, _HOUR_S = 60, 3600


class Progress:
    """Shows the progress of an iteration through `counting`. Used as a context manager.

    Attributes:
        total: the number of units, as far as it is known; it may change on the way.
        note: what else is shown beside the count.
    """

    def __init__(self, title: str, unit: str, total: int | None = None) -> None:
        self.title, self.unit, self.total = title, unit, total
        self.note = ""
        self._count = 0
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            left = (TextColumn("left:"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Bar(*columns, *left, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(title, total=total, note="")

    def __enter__(self) -> "Progress":
        self._started_s = self._last_s = time.monotonic()
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
                self._bar.update(self._task, advance=1, total=self.total, note=self.note)
            elif time.monotonic() - self._last_s > _LOG_EVERY_S:
                self._last_s = time.monotonic()
                log.info("%s: %s", self.title, self._line(self._last_s - self._started_s))

    def _line(self, elapsed_s: float) -> str:
        parts = [f"{self._count}/{self.total} {self.unit}" if self.total else f"{self._count} {self.unit}", self.note]
        num_left = (self.total or 0) - self._count
        if num_left > 0:
            parts.append(time_left(num_left * elapsed_s / self._count))
        return ", ".join(part for part in parts if part)


class Steps:
    """Numbers the steps of long work, and logs each as it begins: `step 2 of 5: scores`."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._number = 0

    def next(self, title: str, said: str = "") -> str:
        """The title of the next step, numbered; what is `said` of it is only in the log."""
        self._number += 1
        numbered = f"step {self._number} of {self.total}: {title}"
        log.info("%s", f"{numbered}: {said}" if said else numbered)
        return numbered


def time_left(seconds: float) -> str:
    """An estimate in words: `about 40 s left`, `about 12 min left`, `about 3.5 h left`."""
    if seconds < _MINUTE_S:
        return f"about {max(1, round(seconds))} s left"
    if seconds < 1.5 * _HOUR_S:
        return f"about {round(seconds / _MINUTE_S)} min left"
    return f"about {seconds / _HOUR_S:.1f} h left"
