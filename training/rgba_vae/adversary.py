"""The RGBA VAE's adversary: a small PatchGAN, its loss, and how much it may weigh (pix2pix, VQGAN).

Here: the network and its arithmetic. Not here: when it starts and what else the VAE learns from (`rgba_losses`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses import premultiplied

_MAX_ADAPTIVE_WEIGHT = 1e4


class PatchDiscriminator(nn.Module):
    """Judges patches of RGBA pictures: [B, 4, H, W] in [-1, 1] -> scores [B, 1, h, w], higher = real.

    PatchGAN as in pix2pix (70 pixels a patch with three layers), with group instead of batch normalisation: large
    pictures come one at a time. It sees premultiplied colour, because what stands under alpha 0 does not show.
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
        """Scores of patches."""
        colour_B3HW, _ = premultiplied(rgba_B4HW)
        return self.layers(torch.cat([colour_B3HW, rgba_B4HW[:, 3:]], dim=1))


def _init_as_pix2pix(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def hinge_loss(real_scores: Tensor, decoded_scores: Tensor) -> Tensor:
    """The discriminator's: 0 once real pictures score above 1 and decoded ones below -1."""
    return 0.5 * (functional.relu(1 - real_scores).mean() + functional.relu(1 + decoded_scores).mean())


def adaptive_weight(loss: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    """Weight that gives the adversary as strong a gradient at the decoder's last layer as the loss has (VQGAN)."""
    own, its = (torch.autograd.grad(part, last_layer, retain_graph=True)[0].norm() for part in (loss, adversarial))
    return (own / (its + 1e-4)).clamp(max=_MAX_ADAPTIVE_WEIGHT).detach()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is computed inside sends gradients through the module and none into it."""
    states = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, _ in states:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, state in states:
            parameter.requires_grad_(state)
