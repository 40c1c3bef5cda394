"""A task that is trained in milliseconds: a line through points, with noise by position. As a script: one whole run."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training import noise
from training.config import BatchConfig, ComputeConfig, OptimiserConfig, OutputConfig, RunConfig, ScheduleConfig
from training.task import Losses, Modules, Place

DIM = 4


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
        model = nn.Sequential(nn.Linear(DIM, 8), nn.Tanh(), nn.Linear(8, 1))
        model[2].bias.requires_grad_(False)
        self.modules: Modules = {"line": model, "other": nn.Linear(DIM, 1)}
        self.nan_at: int | None = None
        self.leave_at: int | None = None

    def batches(self, start: int) -> Iterator[Points]:
        size, place = self.config.batch.micro_batch, self.place
        while True:
            end = start + size * place.world_size
            positions = tuple(range(start + place.rank, end, place.world_size))
            x = noise.per_sample(1, "x", positions, lambda generator: torch.randn(DIM, generator=generator))
            if self.leave_at is not None and start >= self.leave_at:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGTERM)
                self.leave_at = None
            yield Points(start, end, positions, x)
            start = end

    def losses(self, modules: Modules, batch: Points, step: int) -> Iterator[tuple[str, Losses]]:
        shaken = noise.per_sample(self.config.seed, "shake", batch.positions, lambda g: torch.randn(DIM, generator=g))
        truth = batch.x.sum(dim=1, keepdim=True)
        for name, module in modules.items():
            loss = (module(batch.x + 0.1 * shaken) - truth).square().mean()
            yield name, Losses(loss * (float("nan") if step == self.nan_at else 1.0), {"twice": 2 * loss, "none": None})

    def validation_loss(self, modules: Modules) -> float:
        x = noise.per_sample(2, "x", range(16), lambda generator: torch.randn(DIM, generator=generator))
        return float((modules["line"](x) - x.sum(dim=1, keepdim=True)).square().mean())

    def samples(self, modules: Modules) -> np.ndarray:
        return np.full((8, 8, 3), 100, np.uint8)

    def export(self, folder: Path) -> None:
        torch.save(self.modules["line"].state_dict(), folder / "line.pt")


def run(folder: Path, num_steps: int, resume: bool) -> None:
    from training.loop import export, fit, make_accelerator, place_of

    config = toy_config(num_steps)
    accelerator = make_accelerator(config, "cpu")
    if accelerator.num_processes > 1:
        config = toy_config(num_steps, batch=BatchConfig(micro_batch=2, accumulation=2))
    task = ToyTask(config, place_of(accelerator))
    export(task, fit(task, accelerator, folder, resume), accelerator, folder)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), resume="--resume" in sys.argv)
