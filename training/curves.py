"""A run's curves as a small picture, for previews; TensorBoard has the large ones."""

import io
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_INK, _FAINT, _STRONG, _JUDGED = "#2b2b2b", "#b9cbe0", "#3b6ea5", "#c05621"
_SMOOTHED_SHARE = 0.05
"""Of the run: the window of the running mean."""


def loss_curve(metrics: Sequence[dict[str, float]]) -> bytes:
    """A JPEG of about 15 kB: the loss of each step, its running mean, and the validation loss.

    Args:
        metrics: lines of a journal, as `training.journal.read_metrics` gives them; at least one.

    Raises:
        ValueError: there is no loss among them.
    """
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
    """Of each value and those before it, over a window that grows with the run."""
    window = max(1, round(len(values) * _SMOOTHED_SHARE))
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return means
