"""The trained part of an adapter, as one module, and its input: tokens that frozen VAEs made of a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decoupage.bases.spec import Base, Text
from decoupage.contexts import Contexts, fuse_maps
from decoupage.fusion import MultiModalLatentFusion
from decoupage.sequences import Condition, Mode, predict_layers
from training.losses import Pair


@dataclass(frozen=True)
class Encoded:
    """A batch as tokens; nothing here carries gradients.

    Attributes:
        generated_B1HW: 1 where the background half has something to generate: under the mask, and where the target
            really was, because masks are imperfect.
    """

    clean: Pair
    contexts: Contexts
    image_latents_BCHW: Tensor
    maps: Mapping[str, Tensor]
    text: Text
    grid: tuple[int, int]
    size_px: tuple[int, int]
    composite_B3HW: Tensor
    layers: Pair
    generated_B1HW: Tensor


class AdapterModel(nn.Module):
    """The trained part, as one module, so that several processes wrap all of it at once.

    Args:
        vae: the frozen VAE, for the maps; it is called, but is not part of this module.
    """

    def __init__(
        self, base: Base, network: nn.Module, fusion: MultiModalLatentFusion | None, vae: nn.Module, mode: Mode
    ) -> None:
        super().__init__()
        self.network, self.fusion = network, fusion
        self._base, self._mode = base, mode
        self._frozen = (vae,)  # In a tuple: a module would register it as a submodule.

    def forward(
        self, noisy: Pair, encoded: Encoded, sigma_B: Tensor, guidance: float, present_BM: Tensor | None
    ) -> Pair:
        """Predictions for background and foreground, [B, N, token_dim] each."""
        (vae,) = self._frozen
        fused_BND = fuse_maps(
            *(self._base, vae, self.fusion, encoded.image_latents_BCHW, encoded.maps, encoded.grid), present_BM
        )
        condition = Condition(encoded.contexts, fused_BND, encoded.text, encoded.grid)
        return predict_layers(self._base, self.network, *noisy, condition, sigma_B, guidance, self._mode)


def present_maps(
    fusion: MultiModalLatentFusion | None, no_maps_share: float | None, number: int, drawn: Callable[..., Tensor]
) -> Tensor | None:
    """Which maps each sample has, [B, M]; None without a fusion module.

    Args:
        no_maps_share: of samples that get none at all, besides maps that are dropped one by one; None = all have all.
        drawn: (stream, draw of a sample from its generator) -> values of all samples, on their device.
    """
    if fusion is None:
        return None
    present: Tensor = drawn("present", lambda generator: fusion.draw_present(1, generator)[0])
    if no_maps_share is None:  # By default, a module in training mode drops some at random.
        return torch.ones_like(present)
    bare_B = drawn("bare", lambda generator: torch.rand((), generator=generator)) < no_maps_share
    return present & ~bare_B[:, None]
