"""A task that is trained in milliseconds: a line through points, with noise by position.

As a script, on one process or several: `FOLDER NUM_STEPS [--resume]` is one whole run, `ranks FILE` several of them.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training import noise
from training.config import BatchConfig, ComputeConfig, OptimiserConfig, OutputConfig, RunConfig, ScheduleConfig
from training.sharding import gathered, local, trained_parameters
from training.task import Losses, Modules, Place

DIM = 4


class Layer(nn.Linear):
    """With a frozen part in another number format, as a base's is."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__(num_in, num_out)
        self.shift = nn.Parameter(torch.full((num_out,), 0.25, dtype=torch.bfloat16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.shift.float()


class Line(nn.Sequential):
    _repeated_blocks = ("Layer",)


class Killed(Exception):
    """Stands for a kill: nothing is saved."""


def toy_config(num_steps: int = 12, **changes: object) -> RunConfig:
    values: dict[str, object] = {
        "optimiser": OptimiserConfig(learning_rate=0.05),
        "schedule": ScheduleConfig(kind="cosine", warmup_steps=2, num_steps=num_steps),
        "batch": BatchConfig(micro_batch=2, accumulation=2),
        "compute": ComputeConfig(precision="fp32", loader_workers=0),
        "output": OutputConfig(save_every_steps=3, keep_last=2, sample_every_steps=4),
        "ema_decay": 0.9,
    }
    return RunConfig.model_validate(values | changes)


@dataclass(frozen=True)
class Points:
    start: int
    end: int
    positions: tuple[int, ...]
    x: Tensor


class ToyTask:
    name = "toy"

    def __init__(
        self, config: RunConfig, place: Place | None = None, identity: Mapping[str, str] | None = None
    ) -> None:
        self.config, self.place = config, place or Place()
        self.identity = dict(identity or {"recipe": config.fingerprint(), "data": "points"})
        torch.manual_seed(config.seed)
        model = Line(Layer(DIM, 8), nn.Tanh(), Layer(8, 1))
        model[2].bias.requires_grad_(False)
        self.modules: Modules = {"line": model, "other": Line(Layer(DIM, 1))}
        self.nan_at: int | None = None
        self.leave_at: int | None = None
        self.fail: dict[int, BaseException] = {}
        self.validation_error: BaseException | None = None

    def batches(self, start: int) -> Iterator[Points]:
        size, place = self.config.batch.micro_batch, self.place
        while True:
            end = start + size * place.world_size
            positions = tuple(range(start + place.rank, end, place.world_size))
            x = noise.per_sample(1, "x", positions, lambda generator: torch.randn(DIM, generator=generator))
            if self.leave_at is not None and start >= self.leave_at:
                os.kill(os.getpid(), signal.SIGTERM)
                self.leave_at = None
            yield Points(start, end, positions, x)
            start = end

    def losses(self, modules: Modules, batch: Points, step: int) -> Iterator[tuple[str, Losses]]:
        shaken = noise.per_sample(self.config.seed, "shake", batch.positions, lambda g: torch.randn(DIM, generator=g))
        truth = batch.x.sum(dim=1, keepdim=True)
        if step in self.fail:
            raise self.fail[step]
        for name, module in modules.items():
            loss = (module(batch.x + 0.1 * shaken) - truth).square().mean()
            yield name, Losses(loss * (float("nan") if step == self.nan_at else 1.0), {"twice": 2 * loss, "none": None})

    def validation_loss(self, modules: Modules) -> float:
        if self.validation_error is not None:
            raise self.validation_error
        x = noise.per_sample(2, "x", range(16), lambda generator: torch.randn(DIM, generator=generator))
        return float((modules["line"](x) - x.sum(dim=1, keepdim=True)).square().mean())

    def samples(self, modules: Modules) -> np.ndarray:
        return np.full((8, 8, 3), 100, np.uint8)

    def export(self, folder: Path) -> None:
        with gathered(self.modules["line"]):
            if self.place.rank == 0:
                torch.save(trained_parameters(self.modules["line"]), folder / "line.pt")


def run(
    folder: Path,
    num_steps: int = 12,
    resume: bool = True,
    sharded: bool = False,
    kill_at: int | None = None,
    accumulation: int = 2,
) -> ToyTask:
    """Train and export; or stop at a step as if killed."""
    from training.loop import export, fit, make_accelerator, place_of

    compute = ComputeConfig(precision="fp32", loader_workers=0, sharded=sharded)
    batch = BatchConfig(micro_batch=4 // accumulation, accumulation=accumulation)
    config = toy_config(num_steps, compute=compute, batch=batch)
    accelerator = make_accelerator(config, "cpu")
    task = ToyTask(config, place_of(accelerator))
    if kill_at is not None:
        task.fail[kill_at] = Killed()
    try:
        outcome = fit(task, accelerator, folder, resume)
    except Killed:
        return task
    export(task, outcome, accelerator, folder)
    return task


def run_on_ranks(script: Path) -> None:
    """Runs that a JSON file lists: arguments of `run`, and how the last one ends."""
    jobs = json.loads(script.read_text())
    for job in jobs["runs"]:
        task = run(Path(job.pop("folder")), **job)
        rank = task.place.rank
        own = sum(local(value).numel() for module in task.modules.values() for value in module.parameters())
        script.with_name(f"{script.stem}-{rank}.json").write_text(json.dumps({"own_numbers": own}))
    if rank == jobs.get("killed_rank"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "without_memory" in jobs:
        from training.loop import fit, make_accelerator

        failing = ToyTask(task.config, task.place)
        if rank == 1:
            failing.fail[7] = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        fit(failing, make_accelerator(task.config, "cpu"), Path(jobs["without_memory"]))


if __name__ == "__main__":
    if sys.argv[1] == "ranks":
        run_on_ranks(Path(sys.argv[2]))
    else:
        run(Path(sys.argv[1]), int(sys.argv[2]), resume="--resume" in sys.argv)
