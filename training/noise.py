"""Random numbers of a sample as a function of its position, whatever the process, the batch or an interruption."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from decoupage.randomness import hash64


def per_sample(seed: int, stream: str, positions: Sequence[int], draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """Random tensors [B, ...] on the CPU, one from each sample's own generator.

    They are drawn on the CPU and copied, so that every device sees the same numbers.

    Args:
        stream: names the use, so that two uses for one sample differ.
        positions: positions of the samples in the endless stream of samples.
        draw: makes one sample's tensor from its generator.
    """
    return torch.stack([draw(generator(seed, stream, position)) for position in positions])


def generator(seed: int, stream: str, position: int) -> torch.Generator:
    """Random generator of one sample for one use."""
    return torch.Generator().manual_seed(hash64(seed, "training", stream, position) >> 1)
