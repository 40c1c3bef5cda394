"""The learning rate as a function of the step: warm-up, then constant or a half cosine down to zero.

The values are those of transformers' `get_constant_schedule_with_warmup` and `get_cosine_schedule_with_warmup`,
except that the cosine stays at zero after its last step, where theirs rises again.
"""

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from training.config import ScheduleConfig


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
