"""Each image's noise: a function of the seed and its name, so that neither batch nor order changes a result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from decoupage.randomness import hash64
from evaluation.cases import Case

if TYPE_CHECKING:
    import torch


def noise_seed(seed: int, case: Case) -> int:
    """What an image's noise is seeded by, in [0, 2**63)."""
    return hash64(seed, "evaluation", case.name) % 2**63


def noise_of(seed: int, case: Case) -> "torch.Generator":
    """The generator of an image's noise; on the CPU, so that the noise does not depend on the device."""
    import torch

    return torch.Generator("cpu").manual_seed(noise_seed(seed, case))


@contextmanager
def seeded(seed: int, case: Case) -> Iterator["torch.Generator"]:
    """The same, with torch's global generators seeded for the while and put back after.

    For foreign pipelines, parts of which (a language model that writes captions) draw without asking for a generator.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(noise_seed(seed, case))
        yield noise_of(seed, case)
