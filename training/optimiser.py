"""What moves the weights of a run: AdamW, and the learning rate as a function of the step.

The learning rates are those of transformers' `get_constant_schedule_with_warmup` and `get_cosine_schedule_with_warmup`,
except that warm-up starts above zero, where theirs gives the first update the rate 0, and that the cosine stays at zero
after its last step, where theirs rises again.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from decoupage.fusion import MultiModalLatentFusion
from decoupage.projection import TrainedProjection
from training.config import AdapterOptimiserConfig, OptimiserConfig, ScheduleConfig
from training.network import require

# --- AdamW --------------------------------------------------------------------------------------------------------


def parameter_groups(module: nn.Module, config: OptimiserConfig) -> list[dict[str, Any]]:
    """The trained parameters of a module, as torch's optimisers take them; the adapter's new ones are a second group.

    New are the fusion and the projection's added columns. They start from nothing, and Adam moves every number by about
    the learning rate a step, however large the weights around it are; LoRA and the base's own columns change what is
    there already. Only the rate of the groups differs.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not isinstance(config, AdapterOptimiserConfig):
        return [{"params": trained}]
    new = set(_new_parameters(module))
    rate = config.learning_rate * config.new_modules_factor
    return [
        {"params": [parameter for parameter in trained if parameter not in new]},
        {"params": [parameter for parameter in trained if parameter in new], "lr": rate},
    ]


def _new_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    for part in module.modules():
        if isinstance(part, MultiModalLatentFusion):
            yield from part.parameters()
        elif isinstance(part, TrainedProjection):
            yield from part.added.parameters()


def make_optimiser(
    parameters: Iterable[nn.Parameter] | Iterable[Mapping[str, Any]], config: OptimiserConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW for parameters on the device, or groups of them: torch's, or bitsandbytes' with moments in 8 bits.

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

    Warm-up rises from 1 / (warmup_steps + 1) at the first update in equal steps, to 1 at the first one after it.

    Args:
        step: updates done before this one.
        config: length and kind.
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.kind == "constant":
        return 1.0
    done = (step - config.warmup_steps) / (config.num_steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def make_scheduler(optimiser: Optimizer, config: ScheduleConfig) -> LambdaLR:
    """Torch's scheduler over `learning_rate_factor`; step it once for each update of the weights.

    Do not give it to `Accelerator.prepare`: by default that steps a scheduler as many times as there are processes.
    """
    return LambdaLR(optimiser, partial(learning_rate_factor, config=config))
