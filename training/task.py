"""What the loop knows of a task: which modules are trained, from which batches, by which losses.

The adapter, the RGBA VAE and the small base are tasks; the loop, the checkpoints and the journal use only this
interface.
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
"""Trained modules by name. The loop may have wrapped them for several processes, so they are called, not read."""


@dataclass(frozen=True)
class Place:
    """A process's device, its rank, and the number of ranks."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True)
class Losses:
    """A module's loss (`total`, which is minimised) and figures for the journal (None = not measured)."""

    total: Tensor
    parts: Mapping[str, Tensor | float | None]


class Task(Protocol):
    """Something that can be trained.

    Attributes:
        name: `adapter`, `rgba_vae`, `small_base`; names folders and log lines.
        config: configuration of the run.
        identity: what decides the weights besides code: `recipe`, `data`, `base`, ...: a fingerprint or hash each.
            A checkpoint of another identity is refused.
        modules: trained modules; each has its own optimiser. The first one is averaged, judged and exported.
            Only parameters that require gradients are trained and stored.
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
        """Batches of `config.batch.micro_batch` samples without end, from a global position on.

        A batch's `end` is the position at which a run that has used it (on all processes) continues.
        """
        ...

    def losses(self, modules: Modules, batch: Any, step: int) -> Iterator[tuple[str, Losses]]:
        """The losses of one module after another; the loop goes backward through each before it asks for the next.

        They depend on weights, batch and step alone: noise is drawn by the samples' positions (`noise.py`), so that
        a resumed run, or one on several processes, draws the same.
        """
        ...

    def validation_loss(self, modules: Modules) -> float:
        """Loss on validation samples, with fixed noise; the same samples each time."""
        ...

    def samples(self, modules: Modules) -> NDArray[np.uint8]:
        """A picture [H, W, 3] of the results on a few fixed samples, for a person."""
        ...

    def export(self, folder: Path) -> None:
        """Write the trained model to a new, empty folder, as its users load it; averaged weights are in place.

        Every rank calls it, because what it computes may need them all (gathering what is shared out, calibration);
        rank 0 alone writes.
        """
        ...
