"""What a run requires of this machine: weights, data, libraries, a GPU, memory, room; one line each."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from decoupage.bases import find_base
from decoupage.faults import BadSetup
from decoupage.placing import LIBRARIES
from decoupage.requirements import Requirement, install_line
from decoupage.text_files import parse_json
from decoupage.weights.files import file_fault
from training.config import RunConfig, TrainingConfig
from training.data import DataLoading, TripletLoader
from training.fitting import estimate, what_fits
from training.network import lacks_to_compile
from training.preflight import disk_gb_of, free_disk_gb, free_gb
from training.rgba_vae.card import require_acceptable
from training.rgba_vae.config import RgbaVaeConfig, how_to_train
from training.rgba_vae.requirements import requirements as perceptual
from training.run import RunPlan

ON_A_CPU = {None, "small-fill"}
"""Bases that are trained and adapted on a CPU; None = a run without one."""


def requirements(plan: RunPlan, config: RunConfig, device: torch.device) -> list[Requirement]:
    """All that a run requires, in the order in which the run needs it; nothing is loaded or changed."""
    return [
        *_base(plan, config),
        *_data(plan, config),
        *_rgba_vae(plan, config),
        *(perceptual(config) if isinstance(config, RgbaVaeConfig) else []),
        *_libraries(config),
        *_compiler(config, device),
        *_gpu(config, device),
        *_memory(plan, config, device),
        _room(plan, config),
    ]


def base_of(config: RunConfig) -> str | None:
    """Name of the base that a run starts from; None for the small base, which starts from random weights."""
    if isinstance(config, TrainingConfig):
        return config.adapter.base
    return config.base if isinstance(config, RgbaVaeConfig) else None


def _base(plan: RunPlan, config: RunConfig) -> list[Requirement]:
    name = base_of(config)
    return find_base(name).weights(plan.base).requirements(name) if name else []


def _data(plan: RunPlan, config: RunConfig) -> Iterator[Requirement]:
    if not isinstance(config, TrainingConfig | RgbaVaeConfig):
        return
    if len(plan.data) != 1:
        found = f"one folder of shards is needed, got {len(plan.data)}"
        yield Requirement("data", False, found, "decoupage scenes make, then --data FOLDER")
        return
    masks = plan.masks if isinstance(config, TrainingConfig) else None
    try:
        loader = TripletLoader(plan.data[0], DataLoading.of(config, masks))
    except BadSetup as error:
        yield Requirement("data", False, str(error), "name another folder with --data")
        return
    found = f"{loader.num_triplets:,} triplets of {loader.scene_px} px to train on"
    yield Requirement("data", True, found, "")


def _rgba_vae(plan: RunPlan, config: RunConfig) -> Iterator[Requirement]:
    if not isinstance(config, TrainingConfig):
        return
    fix = f"{how_to_train(config.adapter.base, next(iter(plan.data), 'DATA'))}, then --rgba-vae runs/rgba_vae/export"
    if plan.rgba_vae is None:
        yield Requirement("RGBA VAE", False, "a trained one is needed", fix)
        return
    fault = _fault_of_rgba_vae(Path(plan.rgba_vae))
    yield Requirement("RGBA VAE", not fault, fault or plan.rgba_vae, fix if fault else "")


def _fault_of_rgba_vae(folder: Path) -> str:
    stored, weights = folder / "config.json", list(folder.glob("*.safetensors"))
    try:
        values = parse_json(stored.read_bytes(), str(stored)) if stored.is_file() else None
        if not isinstance(values, dict) or values.get("in_channels") != 4 or not weights:
            return f"{folder} holds none"
        require_acceptable(folder)
    except (BadSetup, ValueError) as error:
        return str(error)
    return next(filter(None, map(file_fault, weights)), "")


def _libraries(config: RunConfig) -> Iterator[Requirement]:
    form, uses = config.compute.base_quantisation, dict[str, list[str]]()
    if form in LIBRARIES:
        uses.setdefault(LIBRARIES[form], []).append(f"compute.base_quantisation = {form}")
    if config.optimiser.name == "adamw8bit":
        uses.setdefault("bitsandbytes", []).append("optimiser.name = adamw8bit")
    for library, settings in uses.items():
        is_here = find_spec(library) is not None
        fix = "" if is_here else install_line("gpu")
        yield Requirement(library, is_here, f"for {' and '.join(settings)}", fix)


def _compiler(config: RunConfig, device: torch.device) -> Iterator[Requirement]:
    if config.compute.compile:
        lacking = lacks_to_compile(device.type == "cuda")
        fix = "install it, or --set compute.compile=false" if lacking else ""
        yield Requirement("compiler", not lacking, f"compute.compile needs {lacking}" if lacking else "here", fix)


def _gpu(config: RunConfig, device: torch.device) -> Iterator[Requirement]:
    if device.type == "cuda":
        yield Requirement("GPU", True, torch.cuda.get_device_name(device), "")
    elif config.needs_gpu or base_of(config) not in ON_A_CPU:
        yield Requirement(
            "GPU", False, "this machine has none", "start the run on a machine with one of the cards below"
        )


def _memory(plan: RunPlan, config: RunConfig, device: torch.device) -> Iterator[Requirement]:
    """That of a GPU which is here; without one, the cards are looked at one by one."""
    needed = estimate(config, plan.base)
    if device.type != "cuda" or needed is None:
        return
    here_gb = free_gb(device)
    fix = "; ".join(map(str, what_fits(config, here_gb, 1, plan.base))) or "no setting makes it fit"
    fits = needed.total_gb <= here_gb
    found = f"about {needed.total_gb:.0f} GB by estimate, {here_gb:.0f} GB are free"
    yield Requirement("memory", fits, found, "" if fits else fix)


def _room(plan: RunPlan, config: RunConfig) -> Requirement:
    needed_gb, here_gb = sum(disk_gb_of(config, plan.base)), free_disk_gb(plan.out)
    found = f"up to {needed_gb:.1f} GB for checkpoints and export, {here_gb:.1f} GB are free at {plan.out.absolute()}"
    fix = f"name another folder with --out, or lower output.keep_last (now {config.output.keep_last})"
    return Requirement("room", needed_gb <= here_gb, found, "" if needed_gb <= here_gb else fix)
