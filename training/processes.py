"""The processes of a run as launchers started them: how many joined, and what accelerate's configuration sets."""

import logging
import os

import torch

from decoupage.faults import BadSetup

_log = logging.getLogger(__name__)


def check_processes(asked: int | None, got: int) -> None:
    """Make sure that a run has the number of processes that was requested.

    Launchers that do not join their processes start each of them as a separate run, on the same folder, or one alone:
    accelerate does so on CPUs, and is known by the address that it sets, without a number of processes.

    Args:
        asked: requested number of processes; None = not stated.
        got: number of processes that joined.

    Raises:
        BadSetup: they differ.
    """
    alone = got == 1 and "ACCELERATE_USE_CPU" in os.environ and "MASTER_PORT" in os.environ
    if asked is None and not (alone and "WORLD_SIZE" not in os.environ):
        return
    if asked != got:
        torchrun = f"python -m torch.distributed.run --nproc_per_node {asked or 'N'} -m -- commands.main train ..."
        raise BadSetup(
            f"{asked or 'several'} processes were requested, but {got} joined: `accelerate launch` joins processes "
            f"only on GPUs; on CPUs start them with `{torchrun}`"
        )


def is_first() -> bool:
    """Whether this is the one process of a run that reports for all."""
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
