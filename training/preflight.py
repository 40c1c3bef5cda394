"""Checks, before weights are loaded, that the machine can carry a run: a GPU, memory, space on the disk.

Every fault is a `BadSetup` that says which setting asks for it and what to set instead.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from decoupage.faults import BadSetup
from training.config import RunConfig, TrainingConfig
from training.network import lacks_to_compile
from training.rgba_vae.config import RgbaVaeConfig
from training.small_base.config import SmallBaseConfig

GIGA = 1e9
OUT_OF_MEMORY_MARGIN = 0.12
"""After a run was out of memory, suggested settings lie below the too low estimate by this share; our choice."""
_SPARE_CHECKPOINTS = 2
"""Checkpoints in addition to the last ones: the best one, and the one that is being written."""


def check_machine(
    config: RunConfig,
    device: torch.device,
    num_processes: int,
    folder: Path,
    *,
    source: str | None = None,
    memory_gb: float | None = None,
    disk_gb: float | None = None,
) -> None:
    """Check GPU, number of processes, memory and disk, rather than fail after minutes or at the first checkpoint.

    Args:
        device: device of this process.
        num_processes: number of processes of the run.
        folder: where checkpoints go; it need not exist yet.
        source: hub id or folder of the base, for its geometry.
        memory_gb: memory of the device; None asks the device.
        disk_gb: free space in the folder; None asks the file system.

    Raises:
        BadSetup: the machine cannot carry the run; the message says why, and which settings it could carry.
    """
    _check_gpu(config, device)
    _check_compiler(config, device)
    _check_processes(config, num_processes)
    _check_memory(config, device, source, num_processes, free_gb(device) if memory_gb is None else memory_gb)
    _check_disk(config, folder, source, free_disk_gb(folder) if disk_gb is None else disk_gb)


def what_would_fit(
    config: RunConfig,
    device: torch.device,
    source: str | None = None,
    num_processes: int = 1,
    memory_gb: float | None = None,
) -> str:
    """A sentence for the message after a run was out of memory: the fastest settings that should fit.

    The estimate was too low then, so settings are named whose estimate lies `OUT_OF_MEMORY_MARGIN` below that of the
    run and below the device's memory. Empty where memory cannot be estimated.

    Args:
        memory_gb: memory of the device; None asks the device.
    """
    from training.fitting import estimate, what_fits

    on_gpu = device.type == "cuda"
    needed = estimate(config, source, on_gpu, num_processes)
    if needed is None:
        return ""
    whole_gb = _whole_gb(device) if memory_gb is None else memory_gb
    limit_gb = (1 - OUT_OF_MEMORY_MARGIN) * min(needed.total_gb, whole_gb)
    fitting = what_fits(config, limit_gb, num_processes, source, on_gpu)
    if not fitting:
        return f"the run was estimated at {needed.total_gb:.0f} GB, and no setting brings it well below that"
    return f"the run was estimated at {needed.total_gb:.0f} GB; {fitting[0]}"


@contextmanager
def advice_on_memory(config: RunConfig, device: str, source: str | None) -> Iterator[None]:
    """Context in which out of memory becomes a BadSetup that says what would fit.

    Args:
        device: `auto`, `cpu` or `cuda`.
        source: hub id or folder of the base.
    """
    from training.loop import OutOfMemory

    try:
        yield
    except (torch.OutOfMemoryError, OutOfMemory) as error:
        text = str(error) if isinstance(error, OutOfMemory) else f"out of memory: {str(error).partition('. ')[0]}"
    else:
        return
    found = torch.device("cuda" if torch.cuda.is_available() and device != "cpu" else "cpu")
    world_size = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    fix = what_would_fit(config, found, source, world_size)
    raise OutOfMemory(f"{text}; {fix}" if fix else text)


def checkpoints_gb(config: RunConfig, num_trained: int, num_averaged: int | None = None) -> float:
    """Disk space that a run's checkpoints take at most: fp32 weights, their averages, and two moments in each.

    Args:
        num_averaged: number of parameters that are averaged; None = all that are trained.
    """
    moments = 0.5 if config.optimiser.name == "adamw8bit" else 2.0
    averaged = (num_trained if num_averaged is None else num_averaged) if config.ema_decay else 0
    num_numbers = num_trained * (1.0 + moments) + averaged
    return num_numbers * 4 * (config.output.keep_last + _SPARE_CHECKPOINTS) / GIGA


def disk_gb_of(config: RunConfig, source: str | None = None) -> tuple[float, float]:
    """Disk space of a run in GB: of its checkpoints, and of its export, which holds the trained weights once."""
    num_trained, num_averaged = num_parameters(config, source)
    return checkpoints_gb(config, num_trained, num_averaged), num_averaged * 4 / GIGA


def num_parameters(config: RunConfig, source: str | None = None) -> tuple[int, int]:
    """Number of trained parameters of a run, and of those that are averaged, judged and exported."""
    if isinstance(config, TrainingConfig):
        from decoupage.geometry import network_size

        num_trained = network_size(config.adapter_config(), source).num_trained
        return num_trained, num_trained
    if isinstance(config, RgbaVaeConfig):
        from training.rgba_vae.memory import num_parameters as of_rgba_vae
        from training.rgba_vae.memory import num_trained as trained_of_rgba_vae

        return trained_of_rgba_vae(config, source), of_rgba_vae(config.base, source)[0]
    if isinstance(config, SmallBaseConfig):
        from training.small_base.task import num_parameters as of_small_base

        return of_small_base(config)
    raise TypeError(f"{type(config).__name__} is not a run of this package")


def _check_gpu(config: RunConfig, device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadSetup("the run needs a GPU, but torch finds none: check nvidia-smi and torch's build")
    if device.type == "cuda" or not config.needs_gpu:
        return
    wanted: list[tuple[str, str, str]] = []
    if config.compute.base_quantisation != "none":
        wanted.append(("compute.base_quantisation", config.compute.base_quantisation, "none"))
    if config.optimiser.name == "adamw8bit":
        wanted.append(("optimiser.name", "adamw8bit", "adamw"))
    settings = " and ".join(f"{key} = {value}" for key, value, _ in wanted)
    instead = " and ".join(f"{key} = {plain}" for key, _, plain in wanted)
    verb = "needs" if len(wanted) == 1 else "need"
    raise BadSetup(
        f"{settings} {verb} a GPU, and this run is on the {device.type.upper()}: set {instead}, or use the recipe "
        f"{_cpu_recipe(config)}, which trains a small base on a CPU"
    )


def _cpu_recipe(config: RunConfig) -> str:
    return "small_rgba_vae" if isinstance(config, RgbaVaeConfig) else "demo"


def _check_compiler(config: RunConfig, device: torch.device) -> None:
    lacking = lacks_to_compile(device.type == "cuda") if config.compute.compile else ""
    if lacking:
        raise BadSetup(f"compute.compile = true needs {lacking}: install it, or set compute.compile = false")


def _check_processes(config: RunConfig, num_processes: int) -> None:
    try:
        config.batch.accumulation_for(num_processes)
    except ValueError as error:
        raise BadSetup(f"{error}; choose a number of processes that divides it") from None


def _check_memory(
    config: RunConfig, device: torch.device, source: str | None, num_processes: int, memory_gb: float
) -> None:
    from training.fitting import estimate, what_fits

    on_gpu = device.type == "cuda"
    needed = estimate(config, source, on_gpu, num_processes)
    if needed is None or needed.total_gb <= memory_gb:
        return
    fitting = what_fits(config, memory_gb, num_processes, source, on_gpu)
    fix = "".join(f"\n  {suggestion}" for suggestion in fitting)
    if not fitting:
        fix = " no setting makes it fit" + ("" if on_gpu else f"; use a GPU, or the recipe {_cpu_recipe(config)}")
    have = "are free on the GPU" if on_gpu else "is this machine's memory"
    each = f" in each of {num_processes} processes" if num_processes > 1 else ""
    raise BadSetup(f"the run needs {needed}{each}, {memory_gb:.3g} GB {have};{fix}")


def _check_disk(config: RunConfig, folder: Path, source: str | None, disk_gb: float) -> None:
    needed_gb, _ = disk_gb_of(config, source)
    if needed_gb > disk_gb:
        raise BadSetup(
            f"checkpoints take up to {needed_gb:.1f} GB, {disk_gb:.1f} GB are free at {folder}: free space, choose "
            f"another folder, or lower output.keep_last (now {config.output.keep_last})"
        )


def free_gb(device: torch.device) -> float:
    """Free memory of a GPU; on a CPU the machine's whole memory, because much of what is taken can be given back."""
    return torch.cuda.mem_get_info(device)[0] / GIGA if device.type == "cuda" else _whole_gb(device)


def _whole_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] / GIGA
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGA


def free_disk_gb(folder: Path) -> float:
    """Free space in a folder, which need not exist yet."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIGA
