"""One update of the weights: micro-batches, losses, gradients, figures; and the signals that stop a run between two.

Here: a task while it is trained, one step of it, and the signals. When weights are judged and saved is decided in
`loop.py`.
"""

import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from training.checkpoints import Learner, Progress
from training.optimiser import averaged
from training.task import Losses, Task

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Context in which the first SIGINT or SIGTERM only sets `requested`: nothing is torn down within an update.

    A second signal of the same kind does what it always does. Signals reach the main thread only: elsewhere this does
    nothing.

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
        _log.warning("%s: saving a checkpoint, then stopping; once more to stop at once", self.requested.name)


class Diverged(RuntimeError):
    """A loss or a gradient is not a finite number; the message says at which step, and what was kept."""


@dataclass
class Running:
    """A task while it is trained: its modules as accelerate prepared them, and their averages."""

    task: Task
    accelerator: Accelerator
    learners: dict[str, Learner]
    ema: EMAModel | None
    accumulation: int

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name, as they are to be called."""
        return {name: learner.module for name, learner in self.learners.items()}

    @property
    def averages(self) -> AbstractContextManager[None]:
        """Context in which the first module holds its averaged weights."""
        if self.ema is None:
            return nullcontext()
        return averaged(self.ema, trained(next(iter(self.learners.values())).module))


def take_step(
    run: Running, batches: Iterator[Any], progress: Progress, interruption: Interruption
) -> dict[str, Any] | None:
    """Update the weights once; returns the step's figures, or None when a signal came first.

    The samples of an update that was not made come again.
    """
    started_s, waited_s = time.perf_counter(), 0.0
    sums: dict[str, Tensor] = {}
    end = progress.position
    for number in range(run.accumulation):
        if _is_asked_to_leave(run.accelerator, interruption):
            _clear_gradients(run)
            return None
        asked_s = time.perf_counter()
        batch = next(batches)
        waited_s += time.perf_counter() - asked_s
        end = batch.end
        is_last = number == run.accumulation - 1
        with ExitStack() as stack:
            if not is_last:  # Processes add up their gradients once an update.
                for module in run.modules.values():
                    stack.enter_context(run.accelerator.no_sync(module))
            for name, losses in run.task.losses(run.modules, batch, progress.step):
                run.accelerator.backward(losses.total / run.accumulation)
                _add(sums, name, losses, run.accumulation)
    figures = _updated(run, sums, progress.step)
    progress.step += 1
    progress.position = end
    took_s = time.perf_counter() - started_s
    return figures | {
        "samples_per_s": run.task.config.batch.size / took_s,
        "step_s": took_s,
        "loader_wait_s": waited_s,
        "memory_gb": _peak_memory_gb(run.accelerator.device),
    }


def _updated(run: Running, sums: dict[str, Tensor], step: int) -> dict[str, Any]:
    """Clip, check, update; the step's figures. Raises Diverged before anything is changed."""
    names = list(sums)
    means = run.accelerator.reduce(torch.stack([sums[name] for name in names]), "mean").tolist()
    figures: dict[str, Any] = dict(zip(names, means, strict=True))
    for name, learner in run.learners.items():
        parameters = [parameter for parameter in trained(learner.module) if parameter.grad is not None]
        norm = run.accelerator.clip_grad_norm_(parameters, run.task.config.optimiser.max_grad_norm)
        figures |= {f"{name}.grad_norm": 0.0 if norm is None else float(norm)}
        figures |= {f"{name}.learning_rate": learner.scheduler.get_last_lr()[0]}
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        _clear_gradients(run)
        shown = ", ".join(f"{name} = {figures[name]}" for name in broken)
        raise Diverged(f"step {step + 1}: {shown}")
    for learner in run.learners.values():
        learner.optimiser.step()
        learner.scheduler.step()
        learner.optimiser.zero_grad()
    if run.ema is not None:
        run.ema.step(trained(next(iter(run.learners.values())).module))
    return figures


def _add(sums: dict[str, Tensor], name: str, losses: Losses, accumulation: int) -> None:
    """Add a micro-batch's losses to those of the step, by `<module>.<part>`; what was not measured is left out."""
    for part, value in {"loss": losses.total, **losses.parts}.items():
        if value is not None:
            tensor = torch.as_tensor(value, dtype=torch.float32, device=losses.total.device).detach() / accumulation
            key = f"{name}.{part}"
            sums[key] = sums[key] + tensor if key in sums else tensor


def _is_asked_to_leave(accelerator: Accelerator, interruption: Interruption) -> bool:
    """Whether any process got a signal: all of them leave together."""
    mine = interruption.requested is not None
    if accelerator.num_processes == 1:
        return mine
    asked = torch.tensor(float(mine), device=accelerator.device)
    return bool(accelerator.reduce(asked, "sum") > 0)


def _clear_gradients(run: Running) -> None:
    for learner in run.learners.values():
        learner.optimiser.zero_grad()


def _peak_memory_gb(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that a run changes, in their order."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
