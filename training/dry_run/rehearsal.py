"""A small run of a recipe, from data to export, on the small base as a stand-in: a whole run's path, in seconds.

Two shards of synthetic scenes are made on the fly; all else is the code of a real run.
"""

import logging
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from decoupage.bases.small import SmallFill
from decoupage.bases.small_codec import SmallCodec
from decoupage.faults import BadSetup
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.rgba_vae import widen_vae
from pipelines.synthetic import FakeScenes, build_dataset
from training.config import RunConfig, TrainingConfig, with_changes
from training.journal import read_metrics
from training.licences import UNSTATED
from training.loop import Diverged, export, fit, make_accelerator, place_of
from training.rgba_vae.config import RgbaVaeConfig
from training.run import RunPlan, build_task

SIZE_PX = 64
_SHORT = {
    "schedule.num_steps": 1,
    "schedule.warmup_steps": 0,
    "batch.micro_batch": 1,
    "batch.accumulation": 2,
    "optimiser.name": "adamw",
    "compute.precision": "fp32",
    "compute.base_quantisation": "none",
    "compute.compile": False,
    "compute.sharded": False,
    "compute.loader_workers": 0,
    "output.save_every_steps": 1,
    "output.sample_every_steps": 0,
}
_FEW_SCENES = {
    "data.size_px": SIZE_PX,
    "data.validation_share": 0.3,
    "data.num_validation": 1,
}
_ADAPTER = {
    "adapter.base": SmallFill.name,
    "adapter.rank": 4,
    "adapter.num_latents": 4,
    "adapter.fusion_dim": 32,
    "adapter.num_inference_steps": 1,
}
_RGBA_VAE = {"base": SmallFill.name, "weights.perceptual": 0.0, "weights.adversarial_from_step": 0}
_SMALL_BASE = {"photographs.num_validation": 2}


@dataclass(frozen=True)
class Rehearsal:
    """The outcome of the small run.

    Attributes:
        stand_in: what stands in for what, and how small it is; everything else is the recipe's.
        done: steps that were done, in order, each with its result.
        fault: why it stopped; empty = it did not stop.
    """

    stand_in: str
    done: Mapping[str, str]
    seconds: float
    fault: str = ""


def small(config: RunConfig) -> RunConfig:
    """A small run; objective, order of the work and kinds of maps are unchanged."""
    changes: dict[str, Any] = dict(_SHORT)
    if isinstance(config, TrainingConfig):
        changes |= _FEW_SCENES | _ADAPTER | {"data.pairs_share": 0.0}  # Its data are scenes.
    elif isinstance(config, RgbaVaeConfig):
        changes |= _FEW_SCENES | _RGBA_VAE
    else:
        changes |= _SMALL_BASE
    return with_changes(config, changes)


def rehearse(plan: RunPlan, config: RunConfig) -> Rehearsal:
    """Train one update, save it, read it back, export, and load the export as its users do."""
    started_s, done = time.perf_counter(), dict[str, str]()
    fault = ""
    with tempfile.TemporaryDirectory(prefix="decoupage-dry-run-") as folder, _quiet():
        try:
            _run(replace(plan, resume=False, warm_start=None, device="cpu"), small(config), Path(folder), done)
        except (BadSetup, Diverged) as error:
            fault = str(error)
    return Rehearsal(_stand_in(config), done, time.perf_counter() - started_s, fault)


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without log lines below an error: those of a run would hide the report."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _stand_in(config: RunConfig) -> str:
    if not isinstance(config, TrainingConfig | RgbaVaeConfig):
        return "the recipe's own size, on the CPU"
    base = config.adapter.base if isinstance(config, TrainingConfig) else config.base
    instead = "" if base == SmallFill.name else f" instead of {base}"
    return f"stand-in: {SmallFill.name}{instead}, {SIZE_PX} px, synthetic scenes, on the CPU in fp32"


def _run(plan: RunPlan, config: RunConfig, folder: Path, done: dict[str, str]) -> None:
    """Fill in `done` step by step."""
    if isinstance(config, TrainingConfig | RgbaVaeConfig):
        build_dataset(folder / "data", FakeScenes(num_scenes=8, scenes_per_shard=4, size_px=SIZE_PX))
        widen_vae(SmallFill().load()["vae"]).save_pretrained(folder / "rgba_vae")
        plan = replace(plan, data=(str(folder / "data"),), base=None, rgba_vae=str(folder / "rgba_vae"))
        done["data"] = "8 scenes in 2 shards, with maps"
    run, accelerator = folder / "run", make_accelerator(config, "cpu")
    task = build_task(plan, config, place_of(accelerator), UNSTATED)
    outcome = fit(task, accelerator, run)
    figures = read_metrics(run)[-1]
    losses = {name: value for name, value in figures.items() if name.endswith(".loss") and isinstance(value, float)}
    if not losses or not all(map(math.isfinite, losses.values())):
        raise Diverged(f"no finite loss: {losses}")
    done["one update"] = ", ".join(f"{name} = {value:.3g}" for name, value in losses.items())
    done["checkpoint"] = ", ".join(sorted(path.name for path in outcome.checkpoint.iterdir()))
    again = build_task(plan, config, place_of(accelerator), UNSTATED)
    done["read back"] = f"step {fit(again, accelerator, run, resume=True).progress.step}"
    exported = export(again, outcome, accelerator, run)
    done["export"] = f"loads as {_load(config, exported)}"


def _load(config: RunConfig, exported: Path) -> str:
    """Load an export as its users do; the name of what was loaded."""
    if isinstance(config, TrainingConfig):
        return type(LayerDecompositionPipeline.from_pretrained(str(exported))).__name__
    if isinstance(config, RgbaVaeConfig):
        return f"{type(SmallCodec.from_pretrained(exported)).__name__} of four channels"
    return ", ".join(type(part).__name__ for part in SmallFill().load(str(exported)).values() if part is not None)
