"""Starting a training process: alone, several on this machine, or on the nodes of a Ray cluster.

Here: commands, their environment, the plan that they read, and the run on Ray. A process then carries out `run.py`;
pods are started by the asset, through Dagster's own client.
"""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from training.run import RunPlan

_PLAN = TypeAdapter(RunPlan)


def write_plan(plan: RunPlan, path: Path) -> Path:
    """A plan as JSON, for the process that carries it out; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_PLAN.dump_json(plan, indent=1))
    return path


def read_plan(path: Path) -> RunPlan:
    """The plan in a file that `write_plan` wrote.

    Raises:
        BadSetup: no such file, or it holds no plan.
    """
    try:
        return _PLAN.validate_json(path.read_bytes())
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


def train_on_ray(plan: RunPlan, num_processes: int) -> dict[str, Any]:
    """Run `train_current` on the workers of a Ray cluster; returns the facts of the first one.

    The plan's paths must be the same on all nodes. A cancelled run stops where it is, and later continues from its
    last checkpoint.

    Raises:
        BadSetup: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise BadSetup(f"training.launcher = ray needs Ray Train, which is not installed; {install_line('ray')}")
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    scaling = ScalingConfig(num_workers=num_processes, use_gpu=plan.device != "cpu")
    trainer = TorchTrainer(_ray_worker, train_loop_config=_PLAN.dump_python(plan, mode="json"), scaling_config=scaling)
    return dict(trainer.fit().metrics or {})


def _ray_worker(values: dict[str, Any]) -> None:
    from ray import train

    from training.facts import facts_of
    from training.run import train_current

    plan = _PLAN.validate_python(values)
    # Ray has joined the processes already; accelerate finds them by the environment that Ray has set.
    train.report(facts_of(plan, train_current(plan)))
