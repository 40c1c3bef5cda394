"""Small adapter runs for tests: scenes of 64 px, bases with random weights, and every recipe in a tiny form."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import main as cli
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.rgba_vae import widen_vae
from pipelines.config import MasksConfig
from pipelines.synthetic import FakeScenes, build_dataset
from tests.decoupage.tiny import flux_fill, flux_kontext
from training.adapter.start import starting_pipeline
from training.adapter.task import NAME, AdapterTask
from training.checkpoints import Checkpoints
from training.config import TrainingConfig, with_changes
from training.data import TripletBatch
from training.recipes import find_recipe
from training.task import Losses, Place

SIZE_PX = 64
SMALL = {
    "adapter.num_latents": 4,
    "adapter.fusion_dim": 32,
    "optimiser.learning_rate": 0.01,
    "schedule.num_steps": 6,
    "schedule.warmup_steps": 0,
    "batch.micro_batch": 2,
    "batch.accumulation": 1,
    "data.size_px": SIZE_PX,
    "data.validation_share": 0.3,
    "data.num_validation": 4,
    "compute.loader_workers": 0,
    "compute.precision": "fp32",
    "compute.compile": False,
    "output.save_every_steps": 2,
    "output.sample_every_steps": 0,
}
"""What makes a recipe a matter of seconds; what tells recipes apart is left alone."""
RANK = {"adapter.rank": 2, "adapter.num_inference_steps": 1}
"""Of the demo's recipe, for the command."""


@dataclass(frozen=True)
class Place64:
    """What runs read.

    Attributes:
        data: root of twelve scenes with maps; other_data: of others.
        bases: folder of weights by the base's name.
        rgba_vaes: folder of an RGBA VAE by the base's name.
    """

    data: str
    other_data: str
    bases: dict[str, str]
    rgba_vaes: dict[str, str]


def lay_out(root: Path) -> Place64:
    """Everything, under a folder."""
    build_dataset(root / "data", FakeScenes(num_scenes=12, scenes_per_shard=6, size_px=SIZE_PX))
    build_dataset(root / "other", FakeScenes(num_scenes=12, scenes_per_shard=6, size_px=SIZE_PX, seed=1))
    bases = {name: str(root / name) for name in ("small-fill", "flux-fill", "flux-kontext")}
    torch.manual_seed(0)
    save_base(SmallFill().new(), bases["small-fill"])
    flux_fill().save_pretrained(bases["flux-fill"])
    flux_kontext().save_pretrained(bases["flux-kontext"])
    vaes = {}
    for name, folder in bases.items():
        vaes[name] = str(root / f"{name}-rgba")
        widen_vae(find_base(name).load(folder)["vae"]).save_pretrained(vaes[name])
    return Place64(str(root / "data"), str(root / "other"), bases, vaes)


def tiny_form(recipe: str, **changes: Any) -> TrainingConfig:
    """A recipe whose differences from the paper are still there, at 1/64 of the rank, on a CPU."""
    config = find_recipe(recipe)
    assert isinstance(config, TrainingConfig)
    own = {"adapter.rank": max(2, config.adapter.rank // 64), "optimiser.name": "adamw"}
    quiet = {"compute.base_quantisation": "none"}
    return with_changes(config, SMALL | own | quiet | {key.replace("__", "."): value for key, value in changes.items()})


def make_task(place: Place64, config: TrainingConfig, data: str | None = None, at: Place | None = None) -> AdapterTask:
    """A task at step 0, as `training.run` builds it."""
    at = at or Place()
    base = config.adapter.base
    pipe = starting_pipeline(config, place.bases[base], place.rgba_vaes[base], at.device)
    return AdapterTask(config, data or place.data, pipe, MasksConfig(), at)


def tiny_task(place: Place64, recipe: str, **changes: Any) -> AdapterTask:
    return make_task(place, tiny_form(recipe, **changes))


def pipeline_of(task: AdapterTask) -> LayerDecompositionPipeline:
    """The pipeline that a task teaches."""
    return task._pipe


def loss_of(task: AdapterTask, batch: TripletBatch, step: int = 0) -> Losses:
    """The adapter's losses on a batch."""
    ((name, losses),) = task.losses(task.modules, batch, step)
    assert name == NAME
    return losses


def take(task: AdapterTask, number: int, start: int = 0) -> list[TripletBatch]:
    """The first batches."""
    return list(islice(task.batches(start), number))


def teach(task: AdapterTask, batches: Iterable[TripletBatch], learning_rate: float = 0.01) -> list[float]:
    """A plain loop; the losses."""
    trained = [parameter for parameter in task.modules[NAME].parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, learning_rate, weight_decay=0.0)
    history = []
    for batch in batches:
        loss = loss_of(task, batch).total
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        history.append(float(loss.detach()))
    return history


def values_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all its parameters."""
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def command(place: Place64, out: Path, *options: str, recipe: str = "demo", changes: dict[str, Any] | None = None):
    """Arguments of `decoupage` for a small run; options that come again replace these."""
    given = ["--data", place.data, "--base", place.bases["small-fill"], "--rgba-vae", place.rgba_vaes["small-fill"]]
    sets = [f"--set={key}={json.dumps(value)}" for key, value in (SMALL | RANK | (changes or {})).items()]
    for option in options[::2] if options else ():
        if option in given:
            at = given.index(option)
            del given[at : at + 2]
    return ["train", recipe, "--out", str(out), "--device", "cpu", *given, *sets, *options]


def decoupage(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["decoupage", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def last(folder: Path) -> Path:
    found = Checkpoints(folder / "checkpoints", 2).latest()
    assert found is not None
    return found
