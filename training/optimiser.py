"""The optimiser of a run: AdamW over everything that is trained, with one learning rate and one weight decay."""

from collections.abc import Iterable

import torch
from torch import nn

from training.config import OptimiserConfig
from training.network import require


def make_optimiser(
    parameters: Iterable[nn.Parameter], config: OptimiserConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW of the given parameters, which are on the device: torch's, or with moments in 8 bits bitsandbytes'.

    bitsandbytes keeps the moments of tensors under 4096 numbers in 32 bits.

    Raises:
        BadSetup: bitsandbytes is absent.
    """
    rates = {"lr": config.learning_rate, "betas": config.betas, "weight_decay": config.weight_decay}
    if config.name == "adamw8bit":
        require("bitsandbytes", "optimiser.name = adamw8bit")
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(list(parameters), **rates)
    # One kernel for all parameters on a GPU; on a CPU torch chooses.
    return torch.optim.AdamW(list(parameters), **rates, fused=True if device.type == "cuda" else None)
