"""What moves the weights of a run: AdamW, and the learning rate as a function of the step.

The learning rates are those of transformers' `get_constant_schedule_with_warmup` and `get_cosine_schedule_with_warmup`,
except that the cosine stays at zero after its last step, where theirs rises again.
"""

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from training.config import OptimiserConfig, ScheduleConfig
from training.network import require

# --- AdamW --------------------------------------------------------------------------------------------------------


def make_optimiser(
    parameters: Iterable[nn.Parameter], config: OptimiserConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW for parameters that are on the device: torch's, or bitsandbytes' with moments in 8 bits.

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


# --- learning rate ------------------------------------------------------------------------------------------------


def learning_rate_factor(step: int, config: ScheduleConfig) -> float:
    """Share of the learning rate at an update of the weights, in [0, 1].

    Args:
        step: updates done before this one; the first one, 0, has the factor 0 unless there is no warm-up.
        config: length and kind.
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    if config.kind == "constant":
        return 1.0
    done = (step - config.warmup_steps) / (config.num_steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def make_scheduler(optimiser: Optimizer, config: ScheduleConfig) -> LambdaLR:
    """Torch's scheduler over `learning_rate_factor`; step it once for each update of the weights.

    Do not give it to `Accelerator.prepare`: by default that steps a scheduler as many times as there are processes.
    """
    return LambdaLR(optimiser, partial(learning_rate_factor, config=config))
