"""Random numbers of a sample as a function of its position, whatever the process, the batch or an interruption."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from decoupage.randomness import hash64


def per_sample(seed: int, stream: str, positions: Sequence[int], draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """What `draw` gives for each sample's own generator, side by side [B, ...], on the CPU.

    Drawn on the CPU and copied: every device then sees the same numbers.

    Args:
        stream: names the use, so that two uses for one sample differ.
        positions: of the samples in the endless row of all samples.
    """
    return torch.stack([draw(generator(seed, stream, position)) for position in positions])


def generator(seed: int, stream: str, position: int) -> torch.Generator:
    """The generator of one sample's use."""
    return torch.Generator().manual_seed(hash64(seed, "training", stream, position) >> 1)
