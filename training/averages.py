"""Averaged weights: an exponential moving average of each trained parameter, of each rank's own part of it.

The arithmetic is that of diffusers' `EMAModel`, which keeps its averages by order and cannot copy into parameters that
are shared out. Torch's `AveragedModel` copies the whole module, frozen base and all. The decay grows with the step t up
to the given one, min(decay, (1 + t) / (10 + t)), so short runs average too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from training.sharding import local


class Averages:
    """Averages of parameters by name, from their present values on.

    Args:
        parameters: what is averaged.
        decay: share of the old average in a new one, once the run is long enough.

    Attributes:
        values: the averages, shared out as the parameters are.

    Raises:
        ValueError: a parameter is not float32. In bfloat16 a decay of 0.999 rounds most updates away.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        formats = sorted({str(parameter.dtype) for parameter in parameters.values()} - {"torch.float32"})
        if formats:
            raise ValueError(f"averaged parameters must be float32, got {', '.join(formats)}")
        self._parameters, self._decay = dict(parameters), decay
        self.values = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def decay_at(self, step: int) -> float:
        """Share of the old average at an update; the first one, 0, takes the parameters as they are."""
        return min(self._decay, (1 + step) / (10 + step)) if step else 0.0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after an update of the weights; `step` counts those before it."""
        share = 1 - self.decay_at(step)
        for name, parameter in self._parameters.items():
            average = local(self.values[name])
            average.sub_(average - local(parameter), alpha=share)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Context in which the parameters hold their averages; afterwards, even after an error, their own values."""
        with torch.no_grad():
            own = {name: local(parameter).to("cpu", copy=True) for name, parameter in self._parameters.items()}
            for name, parameter in self._parameters.items():
                local(parameter).copy_(local(self.values[name]))
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    local(parameter).copy_(own[name])
