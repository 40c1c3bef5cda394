"""What a run tells of itself: `metrics.jsonl` (one line a step), TensorBoard, and a log line now and then.

Written by the main process only. A run that goes on from a checkpoint drops the lines after it, so each step has one.
"""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)
METRICS = "metrics.jsonl"
_LOG_EVERY_S = 10.0

Figures = Mapping[str, float | None]


class Journal:
    """Keeps a run's figures and pictures.

    Args:
        folder: of the run.
        step: steps done so far; what was written of later ones is dropped.
        num_steps: of the whole run, for the log lines.
        is_writer: False on all processes but the main one, where nothing is written.
    """

    def __init__(self, folder: Path, step: int, num_steps: int, is_writer: bool = True) -> None:
        self._folder, self._num_steps, self._is_writer = folder, num_steps, is_writer
        self._last_log_s = 0.0
        if not is_writer:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        _drop_after(folder, step)
        self._file = (folder / METRICS).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_writer:
            self._file.close()
            self._board.close()

    def note(self, step: int, figures: Figures) -> None:
        """Figures of a step, which counts from 1; None = not measured."""
        if not self._is_writer:
            return
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        for name, value in figures.items():
            if value is not None:
                self._board.add_scalar(name, value, step)
        now_s = time.monotonic()
        if now_s - self._last_log_s >= _LOG_EVERY_S or step == self._num_steps:
            self._last_log_s = now_s
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
            _log.info("step %d of %d: %s", step, self._num_steps, shown)

    def picture(self, step: int, rgb_HWC: NDArray[np.uint8]) -> Path:
        """Keep a grid of samples as `samples/<step>.png`; returns its path."""
        path = self._folder / "samples" / f"{step:06d}.png"
        if self._is_writer:
            from PIL import Image

            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb_HWC).save(path)
            self._board.add_image("samples", rgb_HWC, step, dataformats="HWC")
        return path


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """All steps of a run's journal; a line that a kill cut off is left out."""
    path = folder / METRICS
    if not path.is_file():
        return []
    return [entry for line in path.read_text(encoding="utf-8").splitlines() if (entry := _parsed(line))]


def _drop_after(folder: Path, step: int) -> None:
    lines = [json.dumps(entry) + "\n" for entry in read_metrics(folder) if entry["step"] <= step]
    (folder / METRICS).write_text("".join(lines), encoding="utf-8")


def _parsed(line: str) -> dict[str, float] | None:
    try:
        entry: dict[str, float] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry
