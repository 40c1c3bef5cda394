"""The most bytes that the results of a call hold at a time, counted on torch's meta device, where nothing is computed.

Each storage counts from when an operation made it until nothing holds it any more, as torch's allocator counts on a
GPU. Weights that were there before the call do not count, nor do the workspaces of kernels. Attention gives its result
without a matrix of all pairs, as the kernels of a GPU do.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Live(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._known: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in _storages((args, kwargs))}  # noqa: SLF001 - a storage's only identity
        for storage in _storages(result):
            key, num_bytes = storage._cdata, storage.nbytes()  # noqa: SLF001
            if key not in given and key not in self._known:
                self._known.add(key)
                weakref.finalize(storage, self._free, key, num_bytes)
                self.now += num_bytes
        self.peak = max(self.peak, self.now)
        return result

    def _free(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.now -= num_bytes


class _FlashAttention(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else (kwargs or {})["query"])
        return func(*args, **(kwargs or {}))


def _storages(values: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


@torch.no_grad()
def peak_bytes(call: Callable[[], Any]) -> int:
    """Most bytes at a time of what a call on meta tensors makes, its result included."""
    with _FlashAttention(), _Live() as live:
        call()
    return live.peak
