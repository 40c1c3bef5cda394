"""The RGBA VAE as a module that is trained: one call encodes and decodes, as wrappers for several processes need it.

Here: that call, and which parameters widening touched. Not here: widening itself (`decoupage.rgba_vae`).
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class Coded:
    """A picture after the way through the codec, with its posterior (a `training.rgba_vae.losses.Posterior`).

    Attributes:
        decoded_B4HW: as the VAE gives it, not cut to [-1, 1].
        mean, logvar: of the latents, not normalised.
        deterministic: the posterior has no spread, whatever `logvar` says.
    """

    decoded_B4HW: Tensor
    mean: Tensor
    logvar: Tensor
    deterministic: bool


class RgbaAutoencoder(nn.Module):
    """A widened VAE; call it with RGBA [B, 4, H, W] in [-1, 1]."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, rgba_B4HW: Tensor, noise_BCHW: Tensor | None = None) -> Coded:
        """Encode and decode.

        Args:
            noise_BCHW: standard normal, in the latents' shape, for a draw from the posterior; None = its mode.
        """
        posterior = self.vae.encode(rgba_B4HW).latent_dist
        latents = posterior.mean if noise_BCHW is None else posterior.mean + posterior.std * noise_BCHW
        decoded = self.vae.decode(latents).sample
        return Coded(decoded, posterior.mean, posterior.logvar, posterior.deterministic)


def trunk_parameters(vae: nn.Module, rgb_vae: nn.Module) -> list[nn.Parameter]:
    """Parameters of the layers that widening left alone: those with the shapes that they have in the RGB VAE."""
    narrow = {name: parameter.shape for name, parameter in rgb_vae.named_parameters()}
    widened = {_layer(name) for name, parameter in vae.named_parameters() if parameter.shape != narrow.get(name)}
    return [parameter for name, parameter in vae.named_parameters() if _layer(name) not in widened]


def _layer(name: str) -> str:
    return name.rpartition(".")[0]
