"""One update of the weights: micro-batches, losses, gradients, figures.

Here: a task while it is trained, and one step of it. When weights are judged and saved is decided in `loop.py`.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from training.averages import Averages
from training.checkpoint_files import Progress
from training.requests import Requests
from training.state import Learner
from training.task import Losses, Task


class Diverged(RuntimeError):
    """A loss or a gradient is not a finite number; the message says at which step, and what was kept."""


@dataclass
class Running:
    """A task while it is trained: its modules as accelerate prepared them, and the first one's averages.

    Attributes:
        accumulation: micro-batches of this process in a step.
        is_updating: whether weights and moments are being changed; what stops a run then leaves neither state whole.
    """

    task: Task
    accelerator: Accelerator
    learners: dict[str, Learner]
    averages: Averages | None
    accumulation: int
    is_updating: bool = False

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name, as they are to be called."""
        return {name: learner.module for name, learner in self.learners.items()}

    def averaged(self) -> AbstractContextManager[None]:
        """Context in which the first module holds its averaged weights."""
        return nullcontext() if self.averages is None else self.averages.held()


def take_step(run: Running, batches: Iterator[Any], progress: Progress, requests: Requests) -> dict[str, Any] | None:
    """Update the weights once; returns the step's figures, or None when a request to stop came first.

    The samples of an update that was not made come again.
    """
    started_s, waited_s = time.perf_counter(), 0.0
    sums: dict[str, Tensor] = {}
    end = progress.position
    for number in range(run.accumulation):
        requests.agree(run.accelerator)
        if requests.stop:
            clear_gradients(run)
            return None
        asked_s = time.perf_counter()
        batch = next(batches)
        waited_s += time.perf_counter() - asked_s
        end = batch.end
        is_last = number == run.accumulation - 1
        with ExitStack() as stack:
            if not is_last:  # Processes add up their gradients once per update; sharded ones each time, in their part.
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
        parameters = [parameter for parameter in learner.parameters.values() if parameter.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, run.task.config.optimiser.max_grad_norm)
        figures |= {f"{name}.grad_norm": float(norm.full_tensor() if isinstance(norm, DTensor) else norm)}
        figures |= {f"{name}.learning_rate": learner.scheduler.get_last_lr()[0]}
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        clear_gradients(run)
        shown = ", ".join(f"{name} = {figures[name]}" for name in broken)
        raise Diverged(f"step {step + 1}: {shown}")
    run.is_updating = True
    for learner in run.learners.values():
        learner.optimiser.step()
        learner.scheduler.step()
        learner.optimiser.zero_grad()
    if run.averages is not None:
        run.averages.update(step)
    run.is_updating = False
    return figures


def _add(sums: dict[str, Tensor], name: str, losses: Losses, accumulation: int) -> None:
    """Add a micro-batch's losses to those of the step, by `<module>.<part>`; what was not measured is left out."""
    for part, value in {"loss": losses.total, **losses.parts}.items():
        if value is not None:
            tensor = torch.as_tensor(value, dtype=torch.float32, device=losses.total.device).detach() / accumulation
            key = f"{name}.{part}"
            sums[key] = sums[key] + tensor if key in sums else tensor


def clear_gradients(run: Running) -> None:
    """Forget the gradients of an update that is not made."""
    for learner in run.learners.values():
        learner.optimiser.zero_grad()


def _peak_memory_gb(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
