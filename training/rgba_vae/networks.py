"""The modules that are trained in a run of the RGBA VAE: the autoencoder itself, and its adversary, a small PatchGAN.

Here: the networks and the adversary's arithmetic (pix2pix, VQGAN). Not here: when the adversary starts and what else
the VAE learns from (`losses.py`), widening a VAE to four channels (`decoupage.rgba_vae`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses import premultiplied


@dataclass
class Coded:
    """Pictures encoded and decoded by the VAE, with their posterior (a `training.rgba_vae.losses.Posterior`).

    Attributes:
        decoded_B4HW: decoded pictures as the VAE gives them, not clipped to [-1, 1].
        mean, logvar: mean and log variance of the latents, not normalised.
        deterministic: the posterior has no spread, whatever `logvar` says.
    """

    decoded_B4HW: Tensor
    mean: Tensor
    logvar: Tensor
    deterministic: bool


class RgbaAutoencoder(nn.Module):
    """A widened VAE as one module, as wrappers for several processes need it; called with RGBA [B, 4, H, W] in [-1, 1].

    One call encodes and decodes.
    """

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
    """Parameters of the layers that widening did not change: those with the same shape in the RGB VAE."""
    narrow = {name: parameter.shape for name, parameter in rgb_vae.named_parameters()}
    widened = {_layer(name) for name, parameter in vae.named_parameters() if parameter.shape != narrow.get(name)}
    return [parameter for name, parameter in vae.named_parameters() if _layer(name) not in widened]


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


# --- the adversary ------------------------------------------------------------------------------------------------


_MAX_ADAPTIVE_WEIGHT = 1e4


class PatchDiscriminator(nn.Module):
    """Judges patches of RGBA pictures: [B, 4, H, W] in [-1, 1] -> scores [B, 1, h, w], higher = real.

    PatchGAN as in pix2pix (70 pixels a patch with three layers), with group instead of batch normalisation: large
    pictures come one at a time. It sees premultiplied colour, because the colour under alpha 0 does not show.
    """

    def __init__(self, width: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(num_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(4, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i in range(1, num_layers + 1):
            stride = 2 if i < num_layers else 1
            layers += [
                nn.Conv2d(widths[i - 1], widths[i], 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(4, widths[i]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.apply(_init_as_pix2pix)

    def forward(self, rgba_B4HW: Tensor) -> Tensor:
        """Scores [B, 1, h, w] of the patches of pictures [B, 4, H, W]."""
        colour_B3HW, _ = premultiplied(rgba_B4HW)
        return self.layers(torch.cat([colour_B3HW, rgba_B4HW[:, 3:]], dim=1))


def _init_as_pix2pix(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def hinge_loss(real_scores: Tensor, decoded_scores: Tensor) -> Tensor:
    """Loss of the discriminator: 0 once real pictures score above 1 and decoded ones below -1."""
    return 0.5 * (functional.relu(1 - real_scores).mean() + functional.relu(1 + decoded_scores).mean())


def adaptive_weights(loss: Tensor, adversarial: Tensor, decoded_B4HW: Tensor, last_layer: Tensor) -> Tensor:
    """Weights [B] that give the adversary as strong a gradient at the decoder's last layer as the loss has (VQGAN).

    VQGAN takes one weight for the pictures that happen to be on one GPU together. Here each sample has its own, so that
    a batch trains the same however it is split, and on any number of processes.

    Args:
        loss, adversarial: means over the batch in which each sample counts for itself.
        decoded_B4HW: decoded pictures that both were computed from, as the last layer gave them.
        last_layer: weight of that layer.
    """
    own_B, its_B = (_slopes(part, decoded_B4HW, last_layer) for part in (loss, adversarial))
    return (own_B / (its_B + 1e-4)).clamp(max=_MAX_ADAPTIVE_WEIGHT)


def _slopes(loss: Tensor, decoded_B4HW: Tensor, last_layer: Tensor) -> Tensor:
    """Norms [B] of the gradients of each sample's own loss at the last layer.

    The networks behind the loss are gone through once for all samples, the last layer once for each.
    """
    (gradient_B4HW,) = torch.autograd.grad(loss, decoded_B4HW, retain_graph=True)
    rows = torch.eye(len(gradient_B4HW), device=loss.device)
    norms = []
    for only_B in rows:
        own_B4HW = len(rows) * only_B.view(-1, 1, 1, 1) * gradient_B4HW
        (slope,) = torch.autograd.grad(decoded_B4HW, last_layer, own_B4HW, retain_graph=True)
        norms.append(slope.norm())
    return torch.stack(norms)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Context in which gradients pass through a module and none reach its parameters."""
    states = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, _ in states:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, state in states:
            parameter.requires_grad_(state)
