"""What launchers have made of a run's processes: how many joined, and what accelerate's configuration asks of them."""

import logging
import os

import torch

from decoupage.faults import BadSetup

_log = logging.getLogger(__name__)


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
