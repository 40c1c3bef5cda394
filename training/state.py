"""The state of what is trained, as whole tensors on the CPU, whatever the number of processes and the sharding.

Here: copying it out of modules and optimisers, and putting it back. Files are written in `checkpoints.py`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from training.sharding import fill, placed, trained_parameters, whole

_HOW = ("foreach", "fused", "capturable", "differentiable")
"""Settings of a group that say how it is computed on this device, not what."""


@dataclass
class Learner:
    """One trained module, as accelerate prepared it, with its optimiser and learning rate schedule."""

    module: nn.Module
    optimiser: Optimizer
    scheduler: LRScheduler

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""
        return trained_parameters(self.module)


def copied(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Copies by name, whole and on the CPU; every rank must call it, and one that does not keep them gets nothing."""
    copies = {}
    for name, tensor in tensors.items():  # One after another, so that a GPU holds one whole tensor at a time.
        value = whole(tensor)
        if keep:
            copies[name] = value.to("cpu", copy=True)
    return copies


def copied_optimiser(learner: Learner, keep: bool) -> dict[str, Any]:
    """State of optimiser and schedule: moments by the parameters' names, settings by group, counters.

    Every rank must call it; one that does not keep it gets moments without values.
    """
    names = {id(parameter): name for name, parameter in learner.parameters.items()}
    moments: dict[str, dict[str, Any]] = {}
    groups = []
    for group in learner.optimiser.param_groups:
        groups.append({**group, "params": [names[id(parameter)] for parameter in group["params"]]})
        for parameter in group["params"]:
            state = learner.optimiser.state.get(parameter, {})
            tensors = copied({key: value for key, value in state.items() if isinstance(value, Tensor)}, keep)
            moments[names[id(parameter)]] = {**state, **tensors} if keep else {}
    schedule = learner.scheduler.state_dict()
    if "lr_lambdas" in schedule:  # The functions are the recipe's.
        schedule["lr_lambdas"] = [None] * len(schedule["lr_lambdas"])
    return {"optimiser": {"state": moments, "param_groups": groups}, "scheduler": schedule}


def restore_optimiser(learner: Learner, saved: Mapping[str, Any]) -> None:
    """Put back what `copied_optimiser` gave.

    Raises:
        ValueError: it belongs to other parameters, or to other groups of them.
    """
    moments, groups = saved["optimiser"]["state"], saved["optimiser"]["param_groups"]
    names = {id(parameter): name for name, parameter in learner.parameters.items()}
    ours = [[names[id(parameter)] for parameter in group["params"]] for group in learner.optimiser.param_groups]
    if ours != [group["params"] for group in groups]:
        raise ValueError("the optimiser's state belongs to other parameters, or to other groups of them")
    parameters = [parameter for group in learner.optimiser.param_groups for parameter in group["params"]]
    packed = {
        i: {key: _placed(value, parameter) for key, value in moments[names[id(parameter)]].items()}
        for i, parameter in enumerate(parameters)
        if moments[names[id(parameter)]]
    }
    indices = learner.optimiser.state_dict()["param_groups"]
    settings = [
        {**theirs, **{key: mine[key] for key in _HOW if key in mine}, "params": mine["params"]}
        for theirs, mine in zip(groups, indices, strict=True)
    ]
    learner.optimiser.load_state_dict({"state": packed, "param_groups": settings})
    learner.scheduler.load_state_dict(saved["scheduler"])


def _placed(value: Any, parameter: Tensor) -> Any:
    """Moments go where their parameter is; counters, which have no shape, are placed by the optimiser itself."""
    if not isinstance(value, Tensor):
        return value
    return placed(value, parameter) if value.ndim else value.clone()


def read_weights(file: Path, parameters: Mapping[str, Tensor]) -> None:
    """Put the tensors of a safetensors file into parameters of the same names and (whole) shapes.

    Raises:
        ValueError: names or shapes differ, and nothing was changed; or a value is not finite.
    """
    with safe_open(file, framework="pt", device="cpu") as tensors:
        theirs = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118 (no mapping)
        if theirs != {name: tuple(parameter.shape) for name, parameter in parameters.items()}:
            raise ValueError(
                f"{file} holds other parameters than this run trains ({len(theirs)} tensors for {len(parameters)}, "
                "or others by name or shape)"
            )
        for name, parameter in parameters.items():
            tensor = tensors.get_tensor(name)
            if not tensor.isfinite().all():
                raise ValueError(f"{name} holds values that are not finite")
            fill({name: parameter}, {name: tensor})


# ---- random states


def random_states(device: torch.device) -> dict[str, Any]:
    """States of this process's generators, and of its own GPU's."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (foreign code draws from it)
    states = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Put back what `random_states` gave; a GPU's state only where there is a GPU."""
    kind, words, gauss = states["python"]
    random.setstate((kind, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
