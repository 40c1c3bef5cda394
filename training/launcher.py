"""Starting a training process: alone, or several on this machine.

Here: commands, their environment, and the plan that they read. A process then carries out `run.py`, or has it carried
out on a Ray cluster (`on_ray.py`); pods are started by the asset, through Dagster's own client.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from decoupage.faults import BadSetup
from pipelines.stages.store import Store
from training.run import RunPlan

PLAN = TypeAdapter(RunPlan)


def write_plan(plan: RunPlan, path: Path) -> Path:
    """A plan as JSON, for the process that carries it out; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PLAN.dump_json(plan, indent=1))
    return path


def read_plan(path: str) -> RunPlan:
    """The plan in a file that `write_plan` wrote, here or in an object store.

    Raises:
        BadSetup: no such file, or it holds no plan.
    """
    parent, _, name = path.rpartition("/")
    try:
        return PLAN.validate_json(Store(parent or ".").read(name))
    except (OSError, ValueError) as error:
        raise BadSetup(f"{path} holds no plan of a training run: {error}") from error


def command(module: str, arguments: Sequence[str], num_processes: int, device: str, python: str = "") -> list[str]:
    """The command that runs a module: plainly, or through accelerate's launcher, which starts several processes.

    Args:
        module: name of a module that can be run with `python -m`.
        num_processes: number of processes of the run; accelerate's own configuration (several machines) holds too.
        device: `auto`, `cpu` or `cuda`.
        python: path of the interpreter; empty = this one.
    """
    python = python or sys.executable
    if num_processes == 1:
        return [python, "-m", module, *arguments]
    if device == "cpu":  # accelerate starts several processes on CPUs through MPI only.
        torchrun = [python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
        return [*torchrun, "-m", module, *arguments]
    launch = [python, "-m", "accelerate.commands.launch", "--num_processes", str(num_processes)]
    return [*launch, "-m", module, *arguments]


def environment(device: str) -> dict[str, str]:
    """Environment variables of a training process in addition to those of this one; set variables stay.

    On a CPU each process has one thread: the models trained there are tiny, and more threads wait for one another.
    """
    return {"OMP_NUM_THREADS": "1"} if device == "cpu" and "OMP_NUM_THREADS" not in os.environ else {}
