"""What comes back from a worker: a result or a fault, and what was logged on the way; or nothing, if it is lost.

Faults and log lines travel as plain objects, so that a fault arrives as itself and not as an error of the engine, and
log lines stand in the log of the process that runs the stage.
"""

import logging
import pickle
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from logging.handlers import QueueHandler
from typing import Any

from decoupage.faults import BadSetup

LOGGERS = ("decoupage", "pipelines")
MAX_LINES = 200
"""Of one answer; the last ones are kept."""


class WorkerLost(BadSetup):
    """A worker process ended in the middle of its work: it was killed, or the system was out of memory."""


@dataclass(frozen=True)
class Answer:
    """The answer to one item.

    Attributes:
        result: what the task returned.
        fault: what it raised instead.
        lines: what it logged.
    """

    result: Any = None
    fault: Exception | None = None
    lines: list[logging.LogRecord] = field(default_factory=list)

    def taken(self) -> Any:
        """The result, after its lines were logged here. Raises the fault."""
        for line in self.lines:
            logger = logging.getLogger(line.name)
            if logger.isEnabledFor(line.levelno):
                logger.handle(line)
        if self.fault is not None:
            raise self.fault
        return self.result


def answer(task: Callable[[Any], Any], item: Any) -> Answer:
    """Call a task, and keep what it raises and logs."""
    _LINES.start()
    try:
        return Answer(task(item), lines=_LINES.taken())
    except Exception as fault:  # noqa: BLE001 - it travels, and is raised where the answer is taken.
        return Answer(fault=_portable(fault), lines=_LINES.taken())


def _portable(fault: Exception) -> Exception:
    """The fault with its traceback as a note; one that cannot be pickled is described instead."""
    told = "".join(traceback.format_exception(fault))
    try:
        pickle.loads(pickle.dumps(fault))  # noqa: S301 - pickled in the same line.
    except Exception:  # noqa: BLE001 - pickling calls code of the exception's own.
        fault = RuntimeError(f"{type(fault).__name__}: {fault}")
    fault.add_note(f"It was raised in a worker:\n{told}")
    return fault


class _Lines(QueueHandler):
    """Collects records, made fit for pickling, of one answer at a time."""

    def __init__(self) -> None:
        super().__init__(deque(maxlen=MAX_LINES))  # type: ignore[arg-type]
        self._lock = threading.Lock()

    def start(self) -> None:
        self.taken()  # What was logged since the last answer belongs to none.
        for name in LOGGERS:
            logger = logging.getLogger(name)
            if self not in logger.handlers:
                logger.addHandler(self)
                logger.setLevel(logging.INFO)

    def enqueue(self, record: logging.LogRecord) -> None:
        with self._lock:
            self.queue.append(record)  # type: ignore[attr-defined]

    def taken(self) -> list[logging.LogRecord]:
        with self._lock:
            lines = list(self.queue)  # type: ignore[call-overload]
            self.queue.clear()  # type: ignore[attr-defined]
        return lines


_LINES = _Lines()
