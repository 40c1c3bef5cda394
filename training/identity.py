"""What a run was made from, as short hashes: a checkpoint is only taken up by a run of the same things."""

import hashlib
from typing import Any

import torch
from torch import nn

_VALUES = 256
"""Of each tensor, spread over it: two sets of weights that agree in all of them are the same, for our purpose."""


@torch.no_grad()
def weights_digest(*modules: Any) -> str:
    """16 hex digits of modules' frozen plain floating tensors: names, shapes and some values of each.

    Not of every value: a base has 24 GB. Quantised tensors are left out, they depend on the machine.
    """
    sha = hashlib.sha256()
    for module in modules:
        if not isinstance(module, nn.Module):
            continue
        for name, tensor in module.named_parameters():
            if type(tensor) is nn.Parameter and not tensor.requires_grad and tensor.is_floating_point():
                flat = tensor.detach().reshape(-1)
                chosen = flat[:: max(1, flat.numel() // _VALUES)].to("cpu", torch.float32).contiguous()
                sha.update(f"{name} {tuple(tensor.shape)}".encode() + chosen.numpy().tobytes())
    return sha.hexdigest()[:16]
