"""The training loop: one function that trains any task, and its parts.

Here: the order of work. Models, batches and losses are in the tasks, one update of the weights in `step`, what is kept
of a run in `checkpoints` and `journal`, what several processes share out in `sharding`.
"""

import gc
import logging
import math
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import nn

from decoupage.faults import BadSetup
from decoupage.weights.files import share
from training.averages import Averages
from training.checkpoint_files import AVERAGED, Progress, check_identity, load_checkpoint, load_weights
from training.checkpoints import Checkpoints
from training.config import RunConfig
from training.journal import Journal
from training.optimiser import make_optimiser, make_scheduler, parameter_groups
from training.remote import Remote
from training.requests import Requests
from training.sharding import is_sharded, local, shard, trained_parameters
from training.state import Learner, read_weights
from training.step import Diverged, Running, clear_gradients, take_step
from training.task import Place, Task

_log = logging.getLogger(__name__)
TIMEOUT = timedelta(hours=2)
"""How long ranks wait for one that works alone; torch's own 10 minutes (NCCL) end a run. The longest such work is rank
0's: it checks a checkpoint's sums when a run continues, waits for a checkpoint of 17 GB to be written to a slow network
disk before it copies the next one, and writes the export. Hashing a base for the identity is seconds."""


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


class OutOfMemory(BadSetup):
    """The GPU ran out of memory; the message says at which step, and what was kept."""


def make_accelerator(config: RunConfig, device: str = "auto") -> Accelerator:
    """Accelerate's view of processes, device and precision: as `accelerate launch` set them, else for this process.

    Args:
        device: `auto` takes a GPU where there is one; `cpu`; `cuda`.

    Raises:
        BadSetup: a GPU is requested, but torch finds none; or weights cannot be shared out (`compute.sharded`).
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if device.startswith("cuda") and not on_gpu:
        raise BadSetup(f"device {device} was requested, but torch finds no GPU")
    mixed = "bf16" if on_gpu and config.compute.precision == "bf16" else "no"
    # Schedules are stepped by the loop itself, once per update.
    accelerator = Accelerator(
        cpu=not on_gpu,
        mixed_precision=mixed,
        step_scheduler_with_optimizer=False,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=TIMEOUT)],
    )
    is_sharded(config, accelerator.num_processes)
    return accelerator


def place_of(accelerator: Accelerator) -> Place:
    """Device, rank and world size of this process."""
    return Place(accelerator.device, accelerator.process_index, accelerator.num_processes)


def fit(
    task: Task,
    accelerator: Accelerator,
    folder: Path,
    resume: bool = False,
    warm_start: Path | None = None,
    remote: Remote | None = None,
) -> Outcome:
    """Train a task until its last step, or until a signal asks to stop.

    Args:
        folder: folder of the run; holds `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `samples/`.
        resume: continue from the newest complete checkpoint, if there is one.
        warm_start: a checkpoint whose weights, and nothing else, the run begins with.
        remote: the run's folder in an object store, of which `folder` is this machine's copy; begun on rank 0.

    Raises:
        BadSetup: the folder holds a run already and `resume` is off; a checkpoint is of another identity.
        Diverged: a loss or gradient is not finite.
        OutOfMemory: the GPU ran out of memory.
    """
    identity, output = dict(task.identity), task.config.output  # Before weights are shared out: it hashes them whole.
    run, place = _prepared(task, accelerator), place_of(accelerator)
    folders = (folder / "checkpoints", output.keep_last, place.device, place.rank, place.world_size)
    store = Checkpoints(*folders, remote)
    progress = _beginning(run, identity, store, resume, warm_start)
    with (
        Journal(folder, progress.step, task.config.schedule.num_steps, place.rank == 0) as journal,
        Requests(output.save_every_s) as requests,
        store,
    ):
        try:
            outcome = _trained(run, store, progress, journal, requests)
        except Diverged as error:
            raise Diverged(f"{error}; {_keep(run, store, progress)}") from None
        except torch.OutOfMemoryError as error:
            reason = str(error).partition(". ")[0]
        else:
            return outcome
        # Here and not in the clause above, where the error still holds the graph of the step, and so the memory.
        clear_gradients(run)
        gc.collect()
        torch.cuda.empty_cache()
        raise OutOfMemory(f"out of memory after step {progress.step} ({reason}); {_keep(run, store, progress, True)}")


def _trained(run: Running, store: Checkpoints, progress: Progress, journal: Journal, requests: Requests) -> Outcome:
    """The steps that are left."""
    num_steps, output = run.task.config.schedule.num_steps, run.task.config.output
    saved = store.path(progress.step) if progress.step else None
    if saved and _is_due(run, progress) and progress.judged_step != progress.step:  # The run ended while it was judged.
        _judge(run, store, progress, journal)
    batches = run.task.batches(progress.position)
    while progress.step < num_steps:
        figures = take_step(run, batches, progress, requests)
        if figures is None:
            break
        step = progress.step
        journal.note(step, figures)
        is_due = _is_due(run, progress)
        if is_due or requests.save:  # First, so that no fault of what comes next costs steps.
            _check_weights(run, step)
            saved = store.save(run.learners, run.averages, progress)
            requests.saved()
        if is_due:
            _judge(run, store, progress, journal)
        if output.sample_every_steps and (step == num_steps or step % output.sample_every_steps == 0):
            with run.averaged():
                journal.picture(step, run.task.samples(run.modules))
    is_done = progress.step == num_steps
    if not is_done and saved != store.path(progress.step):
        saved = store.save(run.learners, run.averages, progress)
    store.finish()
    assert saved is not None
    saved = store.here(progress.step)
    if not is_done:
        _log.warning("interrupted after step %d; saved %s; --resume continues from there", progress.step, saved)
    return Outcome("done" if is_done else "interrupted", progress, saved)


def export(task: Task, outcome: Outcome, accelerator: Accelerator, folder: Path) -> Path:
    """Write the result of a finished run, with averaged weights, to `<folder>/export`; returns that path.

    Every rank calls it, and rank 0 writes. It is renamed into place when it is complete; an earlier export is replaced.
    """
    final, partial = folder / "export", folder / ".export.partial"
    name, module = next(iter(task.modules.items()))
    averaged = outcome.checkpoint / AVERAGED
    plain = outcome.checkpoint / f"{name}.safetensors"
    read_weights(averaged if averaged.is_file() else plain, trained_parameters(module))
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    task.export(partial)
    if accelerator.is_main_process:
        share(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    accelerator.wait_for_everyone()
    return final


def _prepared(task: Task, accelerator: Accelerator) -> Running:
    """The task with its modules on their devices, each with optimiser and schedule, the first one with averages."""
    config = task.config
    learners = {}
    for name, module in task.modules.items():
        placed = _placed(module, config, accelerator)
        optimiser = make_optimiser(parameter_groups(placed, config.optimiser), config.optimiser, accelerator.device)
        learners[name] = Learner(placed, optimiser, make_scheduler(optimiser, config.schedule))
    accumulation = config.batch.accumulation_for(accelerator.num_processes)
    return Running(task, accelerator, learners, _averages(config, learners), accumulation)


def _placed(module: nn.Module, config: RunConfig, accelerator: Accelerator) -> nn.Module:
    """A module for several processes: shared out among them, or whole on each (DDP)."""
    if not is_sharded(config, accelerator.num_processes):
        if config.compute.sharded:
            _log.warning("compute.sharded has no effect on one process")
        prepared: nn.Module = accelerator.prepare(module)
        return prepared
    shard(module, accelerator.device)
    # Not wrapped in DDP, that is, but computed in the run's precision.
    computed: nn.Module = accelerator.prepare_model(module, device_placement=False, evaluation_mode=True)
    return computed


def _averages(config: RunConfig, learners: dict[str, Learner]) -> Averages | None:
    return Averages(next(iter(learners.values())).parameters, config.ema_decay) if config.ema_decay else None


def _beginning(
    run: Running, identity: dict[str, str], store: Checkpoints, resume: bool, warm_start: Path | None
) -> Progress:
    """The progress that the run starts from: the newest checkpoint's, or step 0, with other weights if requested."""
    if store.steps() and not resume:
        raise BadSetup(f"{store.folder} already holds a run: continue with --resume, or write to another folder")
    newest = store.newest_sound()
    if newest is not None:
        check_identity(newest, identity)
        place = place_of(run.accelerator)
        progress = load_checkpoint(newest, run.learners, run.averages, place.device, place.rank)
        _log.info("continuing from %s, step %d", newest, progress.step)
        return progress
    if warm_start is not None:
        for name, learner in run.learners.items():
            load_weights(warm_start, name, learner)
        run.averages = _averages(run.task.config, run.learners)
        _log.warning("warm start: only the weights of %s are used; this run starts at step 0", warm_start)
    return Progress(identity)


def _is_due(run: Running, progress: Progress) -> bool:
    """Whether the weights are to be saved and judged now, independent of the time since the last save."""
    config = run.task.config
    return progress.step == config.schedule.num_steps or progress.step % config.output.save_every_steps == 0


def _judge(run: Running, store: Checkpoints, progress: Progress, journal: Journal) -> None:
    """Validation loss of the averaged weights, which are saved already; remembers the best."""
    with run.averaged(), torch.no_grad():
        loss = torch.tensor(run.task.validation_loss(run.modules), device=run.accelerator.device)
    mean = float(run.accelerator.reduce(loss, "mean"))
    progress.validation_loss, progress.judged_step = mean if math.isfinite(mean) else None, progress.step
    if progress.validation_loss is None:
        _log.warning("the validation loss of step %d is %s: it counts as not measured", progress.step, mean)
    elif progress.best_loss is None or progress.validation_loss < progress.best_loss:
        progress.best_loss, progress.best_step = progress.validation_loss, progress.step
    journal.note(progress.step, {"validation_loss": progress.validation_loss})
    store.note(progress)  # After its line, so that no checkpoint in an object store is without it.


def _check_weights(run: Running, step: int) -> None:
    """Raise Diverged, on all ranks, if an update produced weights that are not finite: such weights are not saved."""
    if not _are_finite(run):
        raise Diverged(f"step {step}: the update produced weights that are not finite")


def _are_finite(run: Running) -> bool:
    """Whether the trained weights of all ranks are finite; every rank calls it."""
    parameters = (local(p) for learner in run.learners.values() for p in learner.parameters.values())
    broken = torch.tensor(float(not all(bool(p.isfinite().all()) for p in parameters)), device=run.accelerator.device)
    return bool(run.accelerator.reduce(broken, "sum") == 0)


def _keep(run: Running, store: Checkpoints, progress: Progress, alone: bool = False) -> str:
    """Save the state before a step that failed, if its weights are finite; returns where it is, for the message.

    Args:
        alone: whether other ranks may continue: then nothing can be gathered from them.
    """
    store.wait()
    if run.is_updating or (alone and run.accelerator.num_processes > 1):
        return f"the last checkpoint is {store.latest() or 'none'}"
    if not _are_finite(run):
        return f"the weights were broken before it; the last checkpoint is {store.latest() or 'none'}"
    saved = store.path(progress.step)
    if not saved.is_dir():
        store.save(run.learners, run.averages, progress)
    store.finish()
    return f"the state before it is in {saved}; --resume continues from there"


__all__ = ["Diverged", "OutOfMemory", "Outcome", "export", "fit", "make_accelerator", "place_of"]
