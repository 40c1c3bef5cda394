"""A run's processes: how many joined, what accelerate's configuration asks of them, and that no other run is there."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from decoupage.faults import BadSetup
from pipelines.stages.locks import alone
from training.prune import LOCK

_log = logging.getLogger(__name__)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder: two runs would spoil each other's checkpoints. Of several ranks the first does.

    The folder is made where it is absent. The lock is one machine's; a process that ends, however it ends, gives it up.

    Raises:
        BadSetup: another process holds it.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / LOCK) as free:
        if not free:
            raise BadSetup(f"another process trains in {folder}: wait for its end, or end it, or name another folder")
        yield


def check_processes(asked: int | None, got: int) -> None:
    """Make sure that a run has the processes that it was asked for.

    Launchers that do not join their processes start each of them as a run of its own, on the same folder, or one alone:
    accelerate does so on CPUs, and is known by the address that it sets, without a number of processes.

    Args:
        asked: number of processes asked for; None = nobody said.
        got: number of processes that joined.

    Raises:
        BadSetup: they differ.
    """
    alone = got == 1 and "ACCELERATE_USE_CPU" in os.environ and "MASTER_PORT" in os.environ
    if asked is None and not (alone and "WORLD_SIZE" not in os.environ):
        return
    if asked != got:
        torchrun = f"python -m torch.distributed.run --nproc_per_node {asked or 'N'} -m commands.main train ..."
        raise BadSetup(
            f"{asked or 'several'} processes were asked for, and {got} joined: `accelerate launch` joins processes on "
            f"GPUs alone; on CPUs start them with `{torchrun}`"
        )


def is_first() -> bool:
    """Whether this process is the one of a run's that speaks for all of them."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def accelerate_asks_for_fsdp() -> bool:
    """Whether accelerate's configuration asks for FSDP: then the run is sharded as by `compute.sharded`.

    The request is taken out of the environment, where accelerate would find it: weights are shared out in
    `sharding.py`.
    """
    if os.environ.pop("ACCELERATE_USE_FSDP", "false") != "true":
        return False
    _log.info("accelerate's configuration asks for FSDP: compute.sharded = true; its other FSDP settings are not used")
    return True
