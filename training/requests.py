"""Requests to a run between two updates: to stop, by a signal; to save, by the clock. All ranks agree on them."""

import logging
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASKED = threading.Event()


def ask_to_stop() -> None:
    """As a signal does, for a run outside the main thread, which alone gets signals; it holds until the end."""
    _ASKED.set()


class Requests:
    """Context in which the first SIGINT or SIGTERM is only noted: nothing is interrupted within an update.

    A second signal of the same kind has its usual effect. Signals reach the main thread only: elsewhere none is
    noted.

    Args:
        save_every_s: seconds after a save until the next one is requested; 0 = never.

    Attributes:
        stop, save: what all ranks agreed on last.
    """

    def __init__(self, save_every_s: float = 0.0) -> None:
        self.stop = self.save = False
        self._signal: signal.Signals | None = None
        self._save_every_s, self._saved_s = save_every_s, time.monotonic()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Requests":
        try:
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:  # Not the main thread, which alone may set handlers.
            self._before.clear()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def stop_asked(self) -> bool:
        """Whether this process was asked to stop; other ranks may not know yet."""
        return self._signal is not None or _ASKED.is_set()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        signal.signal(number, self._before[self._signal])
        _log.warning("%s: saving a checkpoint, then stopping; send it again to stop at once", self._signal.name)

    def agree(self, accelerator: Accelerator) -> None:
        """Set `stop` and `save` to the same on all ranks: a signal to any of them counts, and the clock of rank 0."""
        stop = self.stop_asked
        late = bool(self._save_every_s) and time.monotonic() - self._saved_s >= self._save_every_s
        save = late and accelerator.is_main_process
        if accelerator.num_processes > 1:
            asked = torch.tensor([float(stop), float(save)], device=accelerator.device)
            stop, save = (accelerator.reduce(asked, "sum") > 0).tolist()
        self.stop, self.save = stop, save

    def saved(self) -> None:
        """A checkpoint was saved: the clock restarts."""
        self.save, self._saved_s = False, time.monotonic()
