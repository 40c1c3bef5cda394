"""What the loop needs to know of something that is taught: which modules learn, from which batches, by which losses.

The adapter, the RGBA VAE and the tiny base are tasks; the loop, the checkpoints and the journal know no more of them
than stands here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config import RunConfig

Modules = Mapping[str, nn.Module]
"""What learns, by name. As the loop gives them: perhaps wrapped for several processes, so they are called, not read."""


@dataclass(frozen=True)
class Place:
    """Where a process stands: its device, which one it is, and of how many."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    num_ranks: int = 1


@dataclass(frozen=True)
class Losses:
    """What one module's weights are moved by: `total`; and figures for the journal (None = not measured)."""

    total: Tensor
    parts: Mapping[str, Tensor | float | None]


class Batch(Protocol):
    """Samples of one process, by their place in the endless row of all samples.

    Attributes:
        end: position where a run that has used this batch (on all processes) goes on.
    """

    @property
    def end(self) -> int:
        """See above."""
        ...


class Task(Protocol):
    """Something to be taught.

    Attributes:
        name: `adapter`, `rgba_vae`, `tiny_base`; names folders and log lines.
        config: of the run.
        identity: what decides the weights besides code: `recipe`, `data`, `base`, ...: a fingerprint or hash each.
            A checkpoint of another identity is refused.
        modules: each has an optimiser of its own. The first one is averaged, judged and exported. Only parameters
            that require gradients are trained and stored.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def config(self) -> RunConfig:
        """See above."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """See above."""
        ...

    @property
    def modules(self) -> Modules:
        """See above."""
        ...

    def batches(self, start: int) -> Iterator[Any]:
        """Batches of `config.batch.micro_batch` samples without end, from a global position on."""
        ...

    def losses(self, modules: Modules, batch: Any, step: int) -> Iterator[tuple[str, Losses]]:
        """One module's losses after another; the loop goes backward through each before it asks for the next.

        A function of weights, batch and step alone: noise is drawn by the samples' positions (`noise.py`), so that
        a resumed run, or one on several processes, draws the same.
        """
        ...

    def validation_loss(self, modules: Modules) -> float:
        """Loss on samples that are not trained on, with fixed noise; the same samples each time."""
        ...

    def samples(self, modules: Modules) -> NDArray[np.uint8]:
        """A picture [H, W, 3] for a person: what the weights give for a few fixed samples."""
        ...

    def export(self, folder: Path) -> None:
        """Write what the run is for into a new, empty folder, as its users load it (averaged weights are in place)."""
        ...
