"""LayerDiffuse as a generator of foregrounds: weights are loaded on first use and kept."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe
from decoupage.images.types import Rgba
from pipelines.foregrounds.generator import Request
from pipelines.foregrounds.layerdiffuse.memory import fitting_batch
from pipelines.foregrounds.layerdiffuse.settings import LICENCES, Settings
from pipelines.foregrounds.prompts import Prompt

if TYPE_CHECKING:
    from pipelines.foregrounds.layerdiffuse.flux import FluxPainter
    from pipelines.foregrounds.layerdiffuse.sdxl import SdxlPainter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerDiffuseGenerator:
    """Paints pictures of one object on nothing.

    A picture's noise comes from its own seed on the CPU, so it is the same picture in any batch. What a batch can
    change is the order in which a kernel adds, hence the last bits of floats: bytes are equal for the same batch on
    the same machine, and within few levels otherwise (docs/sources.md).
    """

    settings: Settings

    @property
    def name(self) -> str:
        """See `ForegroundGenerator`."""
        return "layerdiffuse" if self.settings.family == "sdxl" else "layerdiffuse-flux"

    @property
    def licence(self) -> str:
        """See `ForegroundGenerator`."""
        return LICENCES[self.settings.family]

    @property
    def attribution(self) -> str:
        """See `ForegroundGenerator`."""
        makers = "Lvmin Zhang and Maneesh Agrawala" if self.settings.family == "sdxl" else "RedAIGC"
        return f"LayerDiffuse by {makers}, on {self.settings.base_name}"

    @property
    def recipe(self) -> Recipe:
        """See `ForegroundGenerator`."""
        return {"generator": self.name, **self.settings.recipe}

    def batch_size(self) -> int:
        """See `BatchGenerator`."""
        return fitting_batch(self.settings)

    def check(self) -> None:
        """See `BatchGenerator`."""
        from pipelines.foregrounds.layerdiffuse.weights import device_fix, find_weights, has_device

        find_weights(self.settings)
        if not has_device(self.settings):
            raise BadSetup(f"generated.device is {self.settings.device}, which is not here; {device_fix()}")

    def digests(self) -> dict[str, str]:
        """See `BatchGenerator`."""
        from pipelines.foregrounds.layerdiffuse.weights import digests, find_weights

        return digests(find_weights(self.settings))

    def generate(self, prompt: Prompt, seed: int) -> Rgba:
        """See `ForegroundGenerator`."""
        painted = self._paint([prompt.text], [seed])[0]
        if isinstance(painted, BadItem):
            raise painted
        return painted

    def generate_many(self, requests: Sequence[Request]) -> list[Rgba | BadItem]:
        """See `BatchGenerator`. A batch that does not fit the GPU's memory is painted in halves."""
        return self._paint([request.prompt.text for request in requests], [request.seed for request in requests])

    def _paint(self, texts: list[str], seeds: list[int]) -> list[Rgba | BadItem]:
        import torch

        painter = self._painter
        try:
            return painter.paint(texts, seeds)
        except torch.OutOfMemoryError as error:
            if len(texts) == 1:
                raise BadSetup(f"one picture does not fit {self.settings.device}'s memory; reduce its size") from error
            log.warning("%d pictures do not fit %s's memory; halved", len(texts), self.settings.device)
        # Outside the handler: the error holds on to what did not fit.
        torch.cuda.empty_cache()
        half = len(texts) // 2
        return self._paint(texts[:half], seeds[:half]) + self._paint(texts[half:], seeds[half:])

    @cached_property
    def _painter(self) -> "SdxlPainter | FluxPainter":
        from pipelines.foregrounds.layerdiffuse.flux import load_flux
        from pipelines.foregrounds.layerdiffuse.sdxl import load_sdxl
        from pipelines.foregrounds.layerdiffuse.weights import find_weights

        weights = find_weights(self.settings)
        log.info("%s: loading %s and %s", self.name, weights.base, weights.adapter.name)
        return (load_sdxl if self.settings.family == "sdxl" else load_flux)(self.settings, weights)

    def __getstate__(self) -> dict[str, Any]:
        """Without the weights: unpickling loads them again."""
        return {"settings": self.settings}
