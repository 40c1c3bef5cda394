"""The trained part of an adapter, as one module, and its input: tokens that frozen VAEs made of a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from decoupage.bases.spec import Base, Text
from decoupage.contexts import Contexts, ForegroundContext, fuse_maps, make_contexts
from decoupage.fusion import MultiModalLatentFusion
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.rgba_vae import encode_rgba
from decoupage.sequences import Condition, Mode, predict_layers
from training import noise
from training.data import TripletBatch
from training.losses import Pair

DIFFERS_FROM = 32 / 255
"""Difference, 16 levels of 255 in [-1, 1], from which two photographs of one place show something else, as a shadow is;
below it lie noise and compression. Composed scenes have neither. Chosen by us."""


@dataclass(frozen=True)
class Encoded:
    """A batch as tokens; nothing here carries gradients.

    Attributes:
        generated_B1HW: 1 where the background half has something to generate: under the mask, and where the target
            really was, because masks are imperfect (of a pair without a foreground, from `DIFFERS_FROM` on).
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


@torch.no_grad()
def encode(
    pipe: LayerDecompositionPipeline, batch: TripletBatch, text: Text, foreground_context: ForegroundContext, seed: int
) -> Encoded:
    """Everything that frozen weights make of a batch.

    Args:
        pipe: has the weights, on the batch's device.
        batch: of pictures.
        text: repeated for each sample.
        foreground_context: as the adapter's configuration names it.
        seed: of the draws from the base's VAE.
    """
    base = pipe.base
    draws: Any = [noise.generator(seed, "posterior", position) for position in batch.positions]
    picture, hole = batch.composite_B3HW, batch.hole_B1HW
    height, width = picture.shape[2:]
    least_B111 = torch.where(batch.has_foreground_B, 0.0, DIFFERS_FROM).reshape(-1, 1, 1, 1)
    differs_B1HW = ((picture - batch.background_B3HW).abs() > least_B111).any(dim=1, keepdim=True)
    return Encoded(
        clean=(
            base.pack(base.encode(pipe.vae, batch.background_B3HW, draws)),
            base.pack(encode_rgba(pipe.vae_rgba, batch.foreground_B4HW)),
        ),
        contexts=make_contexts(base, pipe.vae, picture, hole, batch.kept_B1HW, foreground_context, draws),
        image_latents_BCHW=base.encode(pipe.vae, picture, draws),
        maps=batch.maps,
        text=text,
        grid=base.grid(height, width),
        size_px=(height, width),
        composite_B3HW=picture,
        layers=(batch.background_B3HW, batch.foreground_B4HW),
        generated_B1HW=(differs_B1HW | (hole > 0)).float(),
    )


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
