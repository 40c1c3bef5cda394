"""Weights that the processes of a run share out among themselves (FSDP2), and tensors that may be shared out.

Each repeated block of a network is gathered for as long as it computes, and the rest of the network likewise. Torch's
`fully_shard` is called here and not through accelerate, so that GPUs (NCCL) and CPUs (gloo) run the same code, and no
configuration has to be written. A group of parameters that is gathered together may mix frozen bfloat16 ones with
trained float32 ones: torch asks for one number format among its trained parameters alone, each travels in its own, and
so gradients are summed in float32, as on one process.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from decoupage.faults import BadSetup
from decoupage.geometry import blocks
from training.config import RunConfig


def is_sharded(config: RunConfig, world_size: int) -> bool:
    """Whether a run's weights are shared out; one process keeps what it has.

    Raises:
        BadSetup: `compute.sharded` together with what cannot be shared out.
    """
    if not config.compute.sharded or world_size == 1:
        return False
    if config.compute.base_quantisation != "none":
        raise BadSetup(
            "compute.sharded shares out plain weights, and quantised ones are packed: set compute.base_quantisation = "
            "none, or compute.sharded = false"
        )
    if config.optimiser.name == "adamw8bit":
        raise BadSetup(
            "compute.sharded needs moments that torch can share out, and bitsandbytes' are its own: set optimiser.name "
            "= adamw, or compute.sharded = false"
        )
    return True


def shard(module: nn.Module, device: torch.device) -> None:
    """Share out a module's parameters over all processes, in place; every process must hold the same values.

    Raises:
        BadSetup: it has no repeated blocks.
    """
    units = _units(module)
    if not any(hasattr(unit, "_repeated_blocks") for unit in units):
        raise BadSetup(
            f"compute.sharded shares out the repeated blocks of a network, and {type(module).__name__} has none: set "
            "it to false"
        )
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for unit in units:
        # Shared out again after each forward pass, also a root: else its parameters would stay gathered after a
        # validation, and code that reads them then would read copies.
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)


def _units(module: nn.Module) -> list[nn.Module]:
    """What is gathered together: a network's blocks, its remaining parameters, and parts without blocks whole."""
    if getattr(module, "_repeated_blocks", None):
        return [*blocks(module), module]
    if not any(getattr(part, "_repeated_blocks", None) for part in module.modules()):
        return [module]
    return [unit for child in module.children() for unit in _units(child)]


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a run changes, by their names in the module that is not wrapped; the same on all ranks."""
    inner = module.module if isinstance(module, DistributedDataParallel) else module
    return {name: parameter for name, parameter in inner.named_parameters() if parameter.requires_grad}


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, which shares its memory; the tensor itself where it is not shared out."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def of_all_ranks(value: Any) -> list[Any]:
    """A plain value of each rank, by rank; every rank must call this."""
    if not torch.distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor on its device, gathered where it is shared out: every rank must call this."""
    return tensor.detach().full_tensor() if isinstance(tensor, DTensor) else tensor.detach()


@torch.no_grad()
def placed(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor on the device of another, and this rank's part of it where the other is shared out."""
    value = value.to(like.device, copy=True)
    if isinstance(like, DTensor) and value.shape == like.shape:  # Each rank has the whole: nothing is sent.
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return value


@torch.no_grad()
def fill(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Put whole tensors into parameters by name."""
    for name, parameter in parameters.items():
        local(parameter).copy_(local(placed(values[name], parameter)))


@contextmanager
def gathered(*modules: nn.Module | None) -> Iterator[None]:
    """Context in which rank 0 holds the modules as they were before `shard`, to write them; nothing may be called.

    Trained parameters are whole, on the CPU; frozen ones stay shared out. Classes have their own names, which diffusers
    writes into configurations. Every rank must enter it.
    """
    parameters: list[tuple[nn.Module, str, nn.Parameter]] = []
    classes: list[tuple[nn.Module, type[nn.Module]]] = []
    for owner in [part for module in modules if module is not None for part in module.modules()]:
        if isinstance(owner, FSDPModule):
            classes.append((owner, type(owner)))
            _, owner.__class__ = type(owner).__bases__  # `fully_shard` made a class of FSDPModule and the module's own.
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter.requires_grad and isinstance(parameter, DTensor):
                value = whole(parameter)
                if torch.distributed.get_rank() == 0:
                    parameters.append((owner, name, parameter))
                    setattr(owner, name, nn.Parameter(value.cpu()))
    try:
        yield
    finally:
        for owner, name, parameter in parameters:
            setattr(owner, name, parameter)
        for owner, sharded in classes:
            owner.__class__ = sharded
