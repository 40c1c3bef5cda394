"""Averaged weights: diffusers' `EMAModel` over the trained parameters, and what it leaves open.

Torch's `AveragedModel` copies the whole module, frozen base and all; diffusers' class keeps the given parameters
only. Its decay grows with the step t up to the given one, min(decay, (1 + t) / (10 + t)), so short runs average too.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn


def make_ema(parameters: Iterable[nn.Parameter], decay: float) -> EMAModel:
    """Averages that start at the parameters' values; call `.step(parameters)` after each update.

    Raises:
        ValueError: a parameter is not float32. In bfloat16 a decay of 0.999 rounds most updates away.
    """
    trained = list(parameters)
    kinds = sorted({str(parameter.dtype) for parameter in trained} - {"torch.float32"})
    if kinds:
        raise ValueError(f"averaged parameters must be float32, got {', '.join(kinds)}")
    return EMAModel(trained, decay=decay, foreach=True)


def load_ema(ema: EMAModel, state: dict[str, Any]) -> None:
    """Take over a saved `ema.state_dict()`, on the devices where the averages are now.

    Raises:
        ValueError: the state is of other parameters; the averages stay as they were.
    """
    ours, theirs = ema.shadow_params, state["shadow_params"]
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        raise ValueError(
            f"averaged weights must match the trained parameters: {len(ours)} tensors of "
            f"{sum(p.numel() for p in ours)} numbers, got {len(theirs)} of {sum(p.numel() for p in theirs)}, "
            "or in other shapes"
        )
    placed = [saved.to(mine.device) for mine, saved in zip(ours, theirs, strict=True)]
    ema.load_state_dict({**state, "shadow_params": placed})


@contextmanager
def averaged(ema: EMAModel, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within it the parameters hold their averages; afterwards, also after an error, their own values again."""
    trained = list(parameters)
    with torch.no_grad():
        ema.store(trained)
        ema.copy_to(trained)
    try:
        yield
    finally:
        with torch.no_grad():
            ema.restore(trained)
