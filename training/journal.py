"""What a run reports: `metrics.jsonl` (a line per step and per validation), TensorBoard, log lines, its loss curve.

Written by the main process only. A run that continues from a checkpoint drops the lines after it, so no line appears
twice.
"""

import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json

_log = logging.getLogger(__name__)
METRICS = "metrics.jsonl"
_LOG_EVERY_S = 10.0
_INK, _FAINT, _STRONG, _JUDGED = "#2b2b2b", "#b9cbe0", "#3b6ea5", "#c05621"
_SMOOTHED_SHARE = 0.05
"""Window of the running mean, as a share of the run's steps."""

Figures = Mapping[str, float | None]


class Journal:
    """Writes a run's figures and pictures.

    Args:
        folder: folder of the run.
        step: steps done so far; lines about later ones are dropped.
        num_steps: length of the whole run, for the log lines.
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
        """Write the figures of a step, which counts from 1; None = not measured."""
        if not self._is_writer:
            return
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        for name, value in figures.items():
            if value is not None:
                self._board.add_scalar(name, value, step)
        now_s = time.monotonic()
        if now_s - self._last_log_s >= _LOG_EVERY_S or step == self._num_steps or "validation_loss" in figures:
            self._last_log_s = now_s
            _log.info("step %d of %d: %s", step, self._num_steps, _shown(figures, self._num_steps - step))

    def picture(self, step: int, rgb_HWC: NDArray[np.uint8]) -> Path:
        """Keep a grid of samples as `samples/<step>.png`; returns its path."""
        path = self._folder / "samples" / f"{step:06d}.png"
        if self._is_writer:
            from PIL import Image

            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb_HWC).save(path)
            self._board.add_image("samples", rgb_HWC, step, dataformats="HWC")
        return path


def _shown(figures: Figures, steps_left: int) -> str:
    """Losses and the remaining time, for a line of the log; all figures are in the journal."""
    known = {name: value for name, value in figures.items() if value is not None}
    said = [f"{name} {value:.4g}" for name, value in known.items() if name.endswith((".loss", "validation_loss"))]
    if "step_s" in known and steps_left:
        said.append(f"about {max(1, round(known['step_s'] * steps_left / 60))} min left")
    return ", ".join(said)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Figures of a run's journal, one table per step in order; lines damaged by a kill or a disk fault are left out."""
    path = folder / METRICS
    if not path.is_file():
        return []
    steps: dict[float, dict[str, float]] = {}
    for line in path.read_bytes().splitlines():
        if entry := _parsed(line):  # A validation comes after its step, in its own line.
            steps.setdefault(entry["step"], {}).update(entry)
    return list(steps.values())


def _drop_after(folder: Path, step: int) -> None:
    lines = [json.dumps(entry) + "\n" for entry in read_metrics(folder) if entry["step"] <= step]
    (folder / METRICS).write_text("".join(lines), encoding="utf-8")


def _parsed(line: bytes) -> dict[str, float] | None:
    try:
        entry = parse_json(line, METRICS)
    except BadSetup:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("step"), int) else None


def loss_curve(metrics: Sequence[dict[str, float]]) -> bytes:
    """A JPEG of about 15 kB for previews: the loss of each step, its running mean, and the validation loss.

    Args:
        metrics: lines of a journal, as `read_metrics` gives them; at least one.

    Raises:
        ValueError: there is no loss among them.
    """
    # matplotlib costs a second, and every worker of Dagster loads this module.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    name = next((key for line in metrics for key in line if key.endswith(".loss")), None)
    if name is None:
        raise ValueError("the journal holds no loss")
    steps = [line["step"] for line in metrics if name in line]
    losses = [line[name] for line in metrics if name in line]
    judged = [(line["step"], line["validation_loss"]) for line in metrics if "validation_loss" in line]
    figure = Figure(figsize=(6.0, 2.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(steps, losses, color=_FAINT, linewidth=0.8, label="each step")
    axes.plot(steps, _running_mean(losses), color=_STRONG, linewidth=1.6, label="running mean")
    if judged:
        axes.plot(*zip(*judged, strict=True), "o-", color=_JUDGED, markersize=4, linewidth=1.0, label="validation")
    if min(losses) > 0 and max(losses) > 10 * min(losses):
        axes.set_yscale("log")
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=_INK)
    axes.set_xlabel("step")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6")
    axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpg", pil_kwargs={"quality": 80})
    return buffer.getvalue()


def _running_mean(values: Sequence[float]) -> list[float]:
    """Mean of each value and those before it, over a window that grows with the run."""
    window = max(1, round(len(values) * _SMOOTHED_SHARE))
    sums, ends = np.cumsum([0.0, *values]), np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return [float(mean) for mean in (sums[ends] - sums[starts]) / (ends - starts)]
