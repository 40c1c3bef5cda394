"""What autograd keeps of a forward pass for the backward pass, in bytes, as a GPU keeps it in bf16; no GPU is needed.

It counts the storages that operations save, each once, except the modules' own weights. Under `FakeTensorMode`
nothing is allocated or computed, and a pass of any size is counted in a fraction of a second.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_IN_FP32 = (functional.layer_norm, functional.rms_norm, functional.group_norm)
"""Normalisations that autocast runs in fp32 on a GPU, and in bf16 on a CPU (ATen/autocast_mode.h): their saved inputs
take twice the bytes."""


class Kept:
    """Storages that were saved since the count began."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._own = {parameter.untyped_storage()._cdata for module in modules for parameter in module.parameters()}  # noqa: SLF001
        self._storages: dict[int, Any] = {}

    @property
    def num_bytes(self) -> int:
        """Sum of their sizes."""
        return sum(storage.nbytes() for storage in self._storages.values())

    def note(self, tensor: Tensor) -> Tensor:
        """Count a saved tensor's storage."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own:  # noqa: SLF001 - the only identity that a fake storage has
            self._storages[storage._cdata] = storage  # noqa: SLF001
        return tensor


class _GpuAutocast(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _IN_FP32:
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return func(*map(_as_fp32, args), **{name: _as_fp32(value) for name, value in (kwargs or {}).items()})


def _as_fp32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


@contextmanager
def counting(*modules: nn.Module, bf16: bool = True) -> Iterator[Kept]:
    """Context in which what autograd saves is counted.

    Args:
        modules: those whose weights do not count.
        bf16: as a GPU's autocast in bf16 computes; else in fp32.
    """
    kept = Kept(modules)
    with ExitStack() as stack:
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(kept.note, lambda tensor: tensor))
        if bf16:
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
            stack.enter_context(_GpuAutocast())
        yield kept


def kept_bytes(forward: Callable[[], Any], *modules: nn.Module, bf16: bool = True) -> int:
    """Bytes that autograd keeps of one call."""
    with counting(*modules, bf16=bf16) as kept:
        result = forward()
        num_bytes = kept.num_bytes
        del result
    return num_bytes
