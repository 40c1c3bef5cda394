"""SIGINT and SIGTERM ask a run to save and leave; nothing is torn down in the middle of an update."""

import logging
import signal
from types import FrameType, TracebackType
from typing import Any

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within it, the first signal only sets `requested`; a second one of the same kind does what it always did.

    Signals reach the main thread only: elsewhere this does nothing.

    Attributes:
        requested: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        try:
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:  # Not the main thread, which alone may set handlers.
            self._before.clear()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number)
        signal.signal(number, self._before[self.requested])
        _log.warning("%s: saving a checkpoint, then leaving; once more to leave at once", self.requested.name)
