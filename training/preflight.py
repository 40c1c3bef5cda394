"""Checks, before weights are loaded, that the machine can carry a run: a GPU, memory, space on the disk.

Every fault is a `BadSetup` that says which setting asks for it and what to set instead.
"""

import os
import shutil
from pathlib import Path

import torch

from decoupage.faults import BadSetup
from training.config import RunConfig, TrainingConfig

GIGA = 1e9
CPU_RECIPE = "demo"
_SPARE_CHECKPOINTS = 2
"""Checkpoints beside the last ones: the best one, and the one that is being written."""


def check_machine(
    config: RunConfig,
    device: torch.device,
    num_processes: int,
    folder: Path,
    *,
    source: str | None = None,
    num_trained: int | None = None,
    memory_gb: float | None = None,
    disk_gb: float | None = None,
) -> None:
    """Check GPU, number of processes, memory and disk, rather than fail after minutes or at the first checkpoint.

    Args:
        device: device of this process.
        num_processes: number of processes of the run.
        folder: where checkpoints go; it need not exist yet.
        source: hub id or folder of the base, for its geometry.
        num_trained: number of trained parameters; None counts an adapter's, and skips the disk for other runs.
        memory_gb: memory of the device; None asks the device.
        disk_gb: free space in the folder; None asks the file system.

    Raises:
        BadSetup: the machine cannot carry the run; the message says why, and which settings it could carry.
    """
    _check_gpu(config, device)
    _check_processes(config, num_processes)
    if isinstance(config, TrainingConfig):
        from training.memory import network_size

        if num_trained is None:
            num_trained = network_size(config.adapter_config(), source).num_trained
        _check_memory(config, device, source, _memory_gb(device) if memory_gb is None else memory_gb)
    if num_trained is not None:
        _check_disk(config, folder, num_trained, _disk_gb(folder) if disk_gb is None else disk_gb)


def checkpoints_gb(config: RunConfig, num_trained: int) -> float:
    """Disk space that a run's checkpoints take at most: fp32 weights, their averages, and two moments in each."""
    moments = 0.5 if config.optimiser.name == "adamw8bit" else 2.0
    copies = 1.0 + (1.0 if config.ema_decay else 0.0) + moments
    return num_trained * 4 * copies * (config.output.keep_last + _SPARE_CHECKPOINTS) / GIGA


def _check_gpu(config: RunConfig, device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadSetup("the run is to use a GPU, and torch finds none: look at nvidia-smi, and at torch's build")
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
        f"{settings} {verb} a GPU, and this run is on the {device.type.upper()}: set {instead}, or take the recipe "
        f"{CPU_RECIPE}, which trains a tiny base on a CPU"
    )


def _check_processes(config: RunConfig, num_processes: int) -> None:
    try:
        config.batch.accumulation_for(num_processes)
    except ValueError as error:
        raise BadSetup(f"{error}; choose a number of processes that divides it") from None


def _check_memory(config: TrainingConfig, device: torch.device, source: str | None, memory_gb: float) -> None:
    from training.memory import estimate, what_fits

    on_gpu = device.type == "cuda"
    needed = estimate(config, source, on_gpu)
    if needed.total_gb <= memory_gb:
        return
    fitting = what_fits(config, memory_gb, source, on_gpu)
    fix = "; ".join(str(suggestion) for suggestion in fitting)
    if not fitting:
        fix = "no setting makes it fit" + ("" if on_gpu else f"; take a GPU, or the recipe {CPU_RECIPE}")
    have = "are free on the GPU" if on_gpu else "is this machine's memory"
    raise BadSetup(f"the run needs {needed}, {memory_gb:.3g} GB {have}; {fix}")


def _check_disk(config: RunConfig, folder: Path, num_trained: int, disk_gb: float) -> None:
    needed_gb = checkpoints_gb(config, num_trained)
    if needed_gb > disk_gb:
        raise BadSetup(
            f"checkpoints take up to {needed_gb:.1f} GB, {disk_gb:.1f} GB are free at {folder}: free space, choose "
            f"another folder, or lower output.keep_last (now {config.output.keep_last})"
        )


def _memory_gb(device: torch.device) -> float:
    """Free memory of a GPU; on a CPU the machine's whole memory, because much of what is taken can be given back."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / GIGA
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGA


def _disk_gb(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIGA
