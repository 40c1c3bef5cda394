"""The training loop: one function that trains any task, and its parts.

Here: the order of work. Models, batches and losses are in the tasks, one update of the weights in `step`, what is kept
of a run in `checkpoints` and `journal`.
"""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from torch import nn

from decoupage.faults import BadSetup
from decoupage.weights.files import share
from training.checkpoints import Checkpoints, Learner, Progress, check_identity, load_checkpoint, load_weights
from training.config import RunConfig
from training.journal import Journal
from training.optimiser import make_ema, make_optimiser, make_scheduler, parameter_groups
from training.step import Diverged, Interruption, Running, take_step, trained
from training.task import Place, Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        status: `done` = all steps; `interrupted` = stopped by a signal, with a checkpoint.
        checkpoint: folder of the last one.
    """

    status: Literal["done", "interrupted"]
    progress: Progress
    checkpoint: Path


def make_accelerator(config: RunConfig, device: str = "auto") -> Accelerator:
    """Accelerate's view of processes, device and precision: as `accelerate launch` set them, else for this process.

    Args:
        device: `auto` takes a GPU where there is one; `cpu`; `cuda`.

    Raises:
        BadSetup: a GPU is asked for, and torch finds none.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if device.startswith("cuda") and not on_gpu:
        raise BadSetup(f"device {device} was asked for, and torch sees no GPU")
    mixed = "bf16" if on_gpu and config.compute.precision == "bf16" else "no"
    # Schedules are stepped by the loop itself, once an update.
    return Accelerator(cpu=not on_gpu, mixed_precision=mixed, step_scheduler_with_optimizer=False)


def place_of(accelerator: Accelerator) -> Place:
    """Device, rank and world size of this process."""
    return Place(accelerator.device, accelerator.process_index, accelerator.num_processes)


def fit(
    task: Task, accelerator: Accelerator, folder: Path, resume: bool = False, warm_start: Path | None = None
) -> Outcome:
    """Train a task until its last step, or until a signal asks to stop.

    Args:
        folder: folder of the run; holds `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `samples/`.
        resume: continue from the newest checkpoint, if there is one.
        warm_start: a checkpoint whose weights, and nothing else, the run begins with.

    Raises:
        BadSetup: the folder holds a run already and `resume` is off; a checkpoint is of another identity.
        Diverged: a loss or gradient is not finite.
    """
    run, schedule = _prepared(task, accelerator), task.config.schedule
    rank, world_size = accelerator.process_index, accelerator.num_processes
    checkpoints = Checkpoints(folder / "checkpoints", task.config.output.keep_last, rank, world_size)
    progress = _beginning(run, checkpoints, resume, warm_start)
    main = accelerator.is_main_process
    with Journal(folder, progress.step, schedule.num_steps, main) as journal, Interruption() as interruption:
        batches = task.batches(progress.position)
        saved = checkpoints.latest() if progress.step else None
        while progress.step < schedule.num_steps:
            try:
                figures = take_step(run, batches, progress, interruption)
            except Diverged as error:
                raise Diverged(f"{error}; {_keep(run, checkpoints, progress)}") from None
            if figures is None:
                break
            step = progress.step
            last = step == schedule.num_steps
            if last or step % task.config.output.save_every_steps == 0:
                figures |= _judge(run, progress)
                saved = checkpoints.save(run.learners, run.ema, progress)
            journal.note(step, figures)
            every = task.config.output.sample_every_steps
            if every and (last or step % every == 0):
                with run.averages:
                    journal.picture(step, task.samples(run.modules))
    if progress.step < schedule.num_steps:
        saved = checkpoints.save(run.learners, run.ema, progress)
        _log.warning("interrupted after step %d; saved %s; --resume goes on from there", progress.step, saved)
        return Outcome("interrupted", progress, saved)
    assert saved is not None
    return Outcome("done", progress, saved)


def export(task: Task, outcome: Outcome, accelerator: Accelerator, folder: Path) -> Path:
    """Write the result of a finished run, with averaged weights, to `<folder>/export`; returns that path.

    It is renamed into place when it is whole; an earlier export is replaced.
    """
    final, partial = folder / "export", folder / ".export.partial"
    if accelerator.is_main_process:
        name, module = next(iter(task.modules.items()))
        _load_averaged(outcome.checkpoint, name, accelerator.unwrap_model(module))
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        task.export(partial)
        share(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    accelerator.wait_for_everyone()
    return final


def _load_averaged(checkpoint: Path, name: str, module: nn.Module) -> None:
    """Load a checkpoint's averaged weights of its first module; the plain ones where no averages are kept."""
    load_weights(checkpoint, name, module)
    file = checkpoint / "averaged.pt"
    if file.is_file():
        averages = torch.load(file, weights_only=True)["shadow_params"]
        with torch.no_grad():
            for parameter, average in zip(trained(module), averages, strict=True):
                parameter.copy_(average)


def _prepared(task: Task, accelerator: Accelerator) -> Running:
    """The task with its modules on their devices, each with optimiser and schedule, the first one with averages."""
    config = task.config
    learners = {}
    for name, module in task.modules.items():
        optimiser = make_optimiser(parameter_groups(module, config.optimiser), config.optimiser, accelerator.device)
        placed, moved = accelerator.prepare(module, optimiser)
        learners[name] = Learner(placed, moved, make_scheduler(moved.optimizer, config.schedule))
    first = next(iter(learners.values())).module
    ema = make_ema(trained(first), config.ema_decay) if config.ema_decay else None
    return Running(task, accelerator, learners, ema, config.batch.accumulation_for(accelerator.num_processes))


def _beginning(run: Running, checkpoints: Checkpoints, resume: bool, warm_start: Path | None) -> Progress:
    """The progress that the run starts from: the newest checkpoint's, or step 0, with other weights if asked for."""
    identity = dict(run.task.identity)
    latest = checkpoints.latest()
    if latest is not None:
        if not resume:
            raise BadSetup(f"{checkpoints.folder} holds a run already: go on with --resume, or write to another folder")
        check_identity(latest, identity)
        progress = load_checkpoint(latest, run.learners, run.ema, run.accelerator.process_index)
        _log.info("going on from %s, step %d", latest, progress.step)
        return progress
    if warm_start is not None:
        for name, learner in run.learners.items():
            load_weights(warm_start, name, learner.module)
        if run.ema is not None:
            run.ema = make_ema(trained(next(iter(run.learners.values())).module), run.task.config.ema_decay)
        _log.warning("warm start: weights of %s, and nothing else of it; this run counts from step 0", warm_start)
    return Progress(identity)


def _judge(run: Running, progress: Progress) -> dict[str, float]:
    """Validation loss of the averaged weights; remembers the best."""
    with run.averages, torch.no_grad():
        loss = torch.tensor(run.task.validation_loss(run.modules), device=run.accelerator.device)
    progress.validation_loss = float(run.accelerator.reduce(loss, "mean"))
    if progress.best_loss is None or progress.validation_loss < progress.best_loss:
        progress.best_loss, progress.best_step = progress.validation_loss, progress.step
    return {"validation_loss": progress.validation_loss}


def _keep(run: Running, checkpoints: Checkpoints, progress: Progress) -> str:
    """Save the state before a step that failed, if its weights are finite; returns where it is, for the message."""
    sound = all(bool(p.isfinite().all()) for module in run.modules.values() for p in trained(module))
    if sound:
        return f"the state before it is in {checkpoints.save(run.learners, run.ema, progress)}"
    return f"the weights were broken before it; the last checkpoint is {checkpoints.latest()}"


__all__ = ["Diverged", "Outcome", "export", "fit", "make_accelerator", "place_of"]
