"""Checkpoints of a run: written whole or not at all, the last ones and the best one kept.

A checkpoint is a folder `checkpoints/<step>`:

    state.json              step, sample position, identity, validation loss, versions
    <module>.safetensors    trained parameters of a module (frozen ones belong to the base)
    <module>.optimiser.pt   its optimiser and learning rate schedule
    averaged.pt             averaged weights of the first module, if there are any
    random-<rank>.pt        random states of each process

`.pt` files hold tensors and plain values and are read with `weights_only=True`. State dicts come from
torch.distributed.checkpoint, which gives the same names for one process, DDP and FSDP2.
"""

import json
import os
import pickle
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from decoupage.faults import BadSetup
from decoupage.weights.files import share
from training.optimiser import load_ema

STATE = "state.json"
_PACKAGES = ("torch", "diffusers", "peft", "accelerate")
_TRAINED = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)


@dataclass
class Learner:
    """One trained module with its optimiser and learning rate schedule, as they are after `Accelerator.prepare`."""

    module: nn.Module
    optimiser: Optimizer
    scheduler: LRScheduler


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        step: updates done; position: position of the first sample that was not used yet.
        identity: see `training.task.Task`.
        best_loss, best_step: lowest validation loss so far, and where.
    """

    identity: dict[str, str]
    step: int = 0
    position: int = 0
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _PACKAGES})


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: `<run>/checkpoints`.
        keep_last: number of checkpoints that are kept beside the best one.
        rank, world_size: rank of this process and number of ranks; rank 0 writes all but the others' random states.
    """

    def __init__(self, folder: Path, keep_last: int, rank: int = 0, world_size: int = 1) -> None:
        self.folder, self._keep_last = folder, keep_last
        self._rank, self._world_size = rank, world_size

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def path(self, step: int) -> Path:
        """Folder of a checkpoint."""
        return self.folder / f"{step:07d}"

    def latest(self) -> Path | None:
        """Folder of the newest checkpoint; None when there is none."""
        steps = self.steps()
        return self.path(steps[-1]) if steps else None

    def save(self, learners: Mapping[str, Learner], ema: EMAModel | None, progress: Progress) -> Path:
        """Write a checkpoint; every process calls it. Older ones go once it is whole."""
        final = self.path(progress.step)
        partial = self.folder / f".{final.name}.partial"
        is_main = self._rank == 0
        if is_main:
            for left in self.folder.glob(".*.partial"):
                shutil.rmtree(left)
            partial.mkdir(parents=True)
        self._barrier()
        for name, learner in learners.items():
            weights = get_model_state_dict(learner.module, options=_TRAINED)
            moments = get_optimizer_state_dict(learner.module, learner.optimiser, options=_TRAINED)
            if is_main:
                save_file({key: value.contiguous() for key, value in weights.items()}, partial / f"{name}.safetensors")
                state = {"optimiser": moments, "scheduler": _plain(learner.scheduler.state_dict())}
                torch.save(state, partial / f"{name}.optimiser.pt")
        if ema is not None and is_main:
            torch.save(ema.state_dict(), partial / "averaged.pt")
        torch.save(_random_states(), partial / f"random-{self._rank}.pt")
        self._barrier()
        if is_main:
            (partial / STATE).write_text(json.dumps(asdict(progress), indent=1), encoding="utf-8")
            share(partial)
            _flush(partial)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            self._prune(progress.best_step)
        self._barrier()
        return final

    def _prune(self, best_step: int | None) -> None:
        steps = self.steps()
        for step in steps[: -self._keep_last]:
            if step != best_step:
                shutil.rmtree(self.path(step))

    def _barrier(self) -> None:
        if self._world_size > 1:
            torch.distributed.barrier()


def read_progress(path: Path) -> Progress:
    """The progress of the run that a checkpoint was written in.

    Raises:
        BadSetup: there is no checkpoint at the path, or its state is damaged.
    """
    try:
        return Progress(**json.loads((path / STATE).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise BadSetup(f"{path} is no checkpoint that can be read ({error})") from error


def check_identity(path: Path, identity: Mapping[str, str]) -> None:
    """Make sure that a checkpoint belongs to a run.

    Raises:
        BadSetup: its recipe, data or base differ; the message says which, and what to do.
    """
    theirs = read_progress(path).identity
    differing = sorted(name for name in {*theirs, *identity} if theirs.get(name) != identity.get(name))
    if differing:
        what = ", ".join(f"{name} {theirs.get(name, 'none')} (now {identity.get(name, 'none')})" for name in differing)
        raise BadSetup(
            f"{path} was made from other things: {what}. Go on with what it was made from, write to another folder, "
            "or take its weights alone with --warm-start"
        )


def load_checkpoint(path: Path, learners: Mapping[str, Learner], ema: EMAModel | None, rank: int = 0) -> Progress:
    """Put a whole checkpoint back: weights, moments, schedules, averages and random states.

    Raises:
        BadSetup: a file is missing or does not fit the modules.
    """
    progress = read_progress(path)
    try:
        for name, learner in learners.items():
            load_weights(path, name, learner.module)
            state = torch.load(path / f"{name}.optimiser.pt", weights_only=True)
            set_optimizer_state_dict(learner.module, learner.optimiser, state["optimiser"], options=_TRAINED)
            learner.scheduler.load_state_dict(state["scheduler"])
        if ema is not None:
            load_ema(ema, torch.load(path / "averaged.pt", weights_only=True))
        states = path / f"random-{rank}.pt"
        # With another number of processes there is none for some; noise is drawn by position and needs none.
        if states.is_file():
            _restore_random_states(torch.load(states, weights_only=True))
    except (OSError, KeyError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise BadSetup(f"checkpoint {path} cannot be loaded: {error}") from error
    return progress


def load_weights(path: Path, name: str, module: nn.Module) -> None:
    """Load a module's trained parameters from a checkpoint, and nothing else of it.

    Raises:
        BadSetup: they are absent, or have other names or shapes than the module's.
    """
    file = path / f"{name}.safetensors"
    if not file.is_file():
        raise BadSetup(f"{path} holds no weights of {name}")
    weights = load_file(file)
    mine = {key: value.shape for key, value in get_model_state_dict(module, options=_TRAINED).items()}
    if mine != {key: value.shape for key, value in weights.items()}:
        raise BadSetup(f"{file} holds other parameters than this run trains ({len(weights)} tensors for {len(mine)})")
    set_model_state_dict(module, weights, options=_TRAINED)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without its function, which is the recipe's."""
    return {key: value for key, value in state.items() if key != "lr_lambdas"} | {"lr_lambdas": [None]}


def _random_states() -> dict[str, Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (foreign code draws from it)
    states = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _restore_random_states(states: dict[str, Any]) -> None:
    kind, words, gauss = states["python"]
    random.setstate((kind, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])


def _flush(folder: Path) -> None:
    """Write a folder's files through to the disk, so that the rename never outlives the contents."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
