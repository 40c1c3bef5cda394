"""The losses of the RGBA VAE (the AlphaVAE recipe, o0o0o00o0/AlphaVAE).

Here: the losses and their weights. Not here: the discriminator (`networks.py`), steps and optimisers (the loop),
widening and the value range (`decoupage.rgba_vae`). RGBA is straight colour and alpha in [-1, 1]; alpha -1 is
invisible.

Every part is a mean (over values, or over a network's score), so that weights hold at any size of picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from decoupage.requirements import require
from training.losses import over, premultiplied, without_overshoot
from training.rgba_vae.config import RgbaLossWeights, RgbaVaeConfig
from training.rgba_vae.networks import adaptive_weights, frozen, hinge_loss
from training.rgba_vae.requirements import requirements

BACKGROUND_MEAN = (-0.0357, -0.0811, -0.1797)
BACKGROUND_SQUARE = (0.3163, 0.3060, 0.3634)
"""E[b] and E[b^2] of the red, green and blue of natural pictures in [-1, 1] (AlphaVAE, train/losses.py)."""

BLACK, WHITE = -1.0, 1.0
NOT_MEASURED = "not measured"
_SMOOTHING = 1e-3  # rounds off the root at zero, where its slope would be infinite


class Posterior(Protocol):
    """An encoder's distribution of latents (diffusers' DiagonalGaussianDistribution), as far as it is used here."""

    mean: Tensor
    logvar: Tensor
    deterministic: bool


@dataclass(frozen=True)
class RgbaLoss:
    """A batch's losses, scalars, unweighted except `total`.

    None: not measured in this step (LPIPS has no weight, no opaque sample, or before the adversary's first step).
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    tie: Tensor | None
    perceptual: Tensor | None
    adversarial: Tensor | None

    def parts(self) -> dict[str, float | str]:
        """Figures for a log by name; what was not measured says so. Waits for the device."""
        return {name: NOT_MEASURED if value is None else float(value.detach()) for name, value in vars(self).items()}


# --- reconstruction ---------------------------------------------------------------------------------------------


def expected_squared_error(
    decoded_B4HW: Tensor,
    target_B4HW: Tensor,
    background_mean: tuple[float, ...] = BACKGROUND_MEAN,
    background_square: tuple[float, ...] = BACKGROUND_SQUARE,
) -> Tensor:
    """Squared error of each colour value once both pictures lie on the same random background; [B, 3, H, W].

    On a background b a picture shows c a + b (1 - a). With d the difference of c a and e that of a (alpha in [0, 1]),
    two pictures differ by d - b e there, whose square is on average d^2 - 2 E[b] d e + E[b^2] e^2. No draw is needed.
    """
    first, second = premultiplied(decoded_B4HW.float()), premultiplied(target_B4HW.float())
    d_B3HW, e_B1HW = first[0] - second[0], first[1] - second[1]
    mean, square = (d_B3HW.new_tensor(values).view(1, 3, 1, 1) for values in (background_mean, background_square))
    return d_B3HW.square() - 2 * mean * d_B3HW * e_B1HW + square * e_B1HW.square()


def reconstruction_loss(decoded_B4HW: Tensor, target_B4HW: Tensor, kind: Literal["l2", "l1"] = "l2") -> Tensor:
    """Mean of `expected_squared_error` (l2), or of its root (l1).

    The mean absolute error over random backgrounds has no such closed form; the root bounds it from above (Jensen)
    and equals it where alpha is right. It is rounded off at zero, within 0.001.
    """
    error_B3HW = expected_squared_error(decoded_B4HW, target_B4HW)
    if kind == "l1":
        # Rounding can push a vanishing error just below zero.
        return ((error_B3HW.clamp(min=0) + _SMOOTHING**2).sqrt() - _SMOOTHING).mean()
    if kind == "l2":
        return error_B3HW.mean()
    raise ValueError(f"reconstruction must be 'l2' or 'l1', got {kind!r}")


# --- latents ----------------------------------------------------------------------------------------------------


def kl_to_standard(posterior: Posterior) -> Tensor:
    """Divergence from N(0, 1), a mean over latent values; 0 for a posterior without spread, which has none."""
    if posterior.deterministic:
        return posterior.mean.new_zeros(())
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def latent_tie(posterior: Posterior, reference: Posterior, kind: Literal["mse", "kl"] = "mse") -> Tensor:
    """Distance of a posterior from the frozen RGB encoder's of the same opaque pictures, a mean over latent values.

    Raises:
        ValueError: shapes differ; `kl` of posteriors without spread.
    """
    if posterior.mean.shape != reference.mean.shape:
        raise ValueError(f"latents differ in shape: {list(posterior.mean.shape)} and {list(reference.mean.shape)}")
    squared = (posterior.mean.float() - reference.mean.detach().float()).square()
    if kind == "mse":
        return squared.mean()
    if kind != "kl":
        raise ValueError(f"tie_kind must be 'mse' or 'kl', got {kind!r}")
    if posterior.deterministic or reference.deterministic:
        raise ValueError("tie_kind 'kl' needs posteriors with a spread; this VAE has none, use 'mse'")
    logvar, reference_logvar = posterior.logvar.float(), reference.logvar.detach().float()
    ratio = (squared + logvar.exp()) * (-reference_logvar).exp()
    return 0.5 * (ratio - 1 + reference_logvar - logvar).mean()


def opaque_samples(target_B4HW: Tensor) -> Tensor:
    """Whether each sample is opaque everywhere, bool [B]: those that the frozen RGB encoder can encode, too."""
    return (target_B4HW[:, 3] >= 1.0).flatten(1).all(dim=1)


@dataclass
class _Chosen:
    """The rows of a posterior that a mask chooses."""

    mean: Tensor
    logvar: Tensor
    deterministic: bool


def _tie_on_opaque(
    posterior: Posterior, reference: Posterior | None, target_B4HW: Tensor, kind: Literal["mse", "kl"]
) -> Tensor | None:
    if reference is None:
        return None
    rows = opaque_samples(target_B4HW)
    return latent_tie(_Chosen(posterior.mean[rows], posterior.logvar[rows], posterior.deterministic), reference, kind)


# --- perception -------------------------------------------------------------------------------------------------


def load_lpips(config: RgbaVaeConfig) -> nn.Module | None:
    """The frozen LPIPS network (VGG); None where the recipe gives it no weight. It never downloads anything.

    Raises:
        BadSetup: package or weights are not here; the message says how to get them.
    """
    if not config.weights.perceptual:
        return None
    require(requirements(config))
    return import_module("lpips").LPIPS(net="vgg", verbose=False).eval().requires_grad_(False)


def perceptual_loss(network: Callable[[Tensor, Tensor], Tensor], decoded_B4HW: Tensor, target_B4HW: Tensor) -> Tensor:
    """Perceptual distance of the pictures over black and over white, as a mean."""
    scores = []
    for level in (BLACK, WHITE):
        plain_B3HW = torch.full_like(target_B4HW[:, :3], level)
        scores.append(network(over(decoded_B4HW, plain_B3HW), over(target_B4HW, plain_B3HW)).mean())
    return torch.stack(scores).mean()


# --- all of it --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RgbaObjective:
    """The total loss of the VAE and the loss of the discriminator, as functions of the step.

    Attributes:
        perceptual: LPIPS or a like network (`load_lpips`); None = that part is not measured.
        discriminator: None = no adversary. It may be wrapped (DDP); its own parameters are trained by
            `for_discriminator` alone.
    """

    weights: RgbaLossWeights
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    discriminator: Any = None

    def has_adversary(self, step: int) -> bool:
        """Whether the discriminator takes part in this step (steps count from 0)."""
        return self.discriminator is not None and step >= self.weights.adversarial_from_step

    def for_vae(
        self,
        decoded_B4HW: Tensor,
        target_B4HW: Tensor,
        posterior: Posterior,
        reference: Posterior | None,
        step: int,
        last_layer: Tensor | None = None,
    ) -> RgbaLoss:
        """The VAE's loss.

        Args:
            decoded_B4HW: decoded pictures, not clipped to [-1, 1].
            target_B4HW: what they should be.
            posterior: latents of all samples.
            reference: the frozen RGB encoder's posterior for the colour of `opaque_samples(target_B4HW)` alone, in
                their order; None where there are none.
            step: steps done before this one.
            last_layer: weight of the decoder's last layer, for `adaptive_weights`; None = weights of 1.

        Raises:
            ValueError: shapes differ, or the reference does not belong to the opaque samples.
        """
        if decoded_B4HW.shape != target_B4HW.shape:
            raise ValueError(f"decoded {list(decoded_B4HW.shape)} and target {list(target_B4HW.shape)} differ in shape")
        target, weights = target_B4HW.float(), self.weights
        decoded = without_overshoot(decoded_B4HW.float(), target)
        reconstruction = reconstruction_loss(decoded, target, weights.reconstruction)
        kl = kl_to_standard(posterior)
        tie = _tie_on_opaque(posterior, reference, target, weights.tie_kind)
        perceptual = None if self.perceptual is None else perceptual_loss(self.perceptual, decoded, target)
        visible = reconstruction if perceptual is None else reconstruction + weights.perceptual * perceptual
        total = visible + weights.kl * kl + (0.0 if tie is None else weights.tie * tie)
        adversarial = None
        if self.has_adversary(step):
            # Unwrapped: DDP would wait for gradients of parameters that get none here.
            network = getattr(self.discriminator, "module", self.discriminator)
            with frozen(network):
                scores_B = -network(decoded).flatten(1).mean(dim=1)
            adversarial = scores_B.mean()
            if last_layer is not None:
                scores_B = adaptive_weights(visible, adversarial, decoded_B4HW, last_layer) * scores_B
            total = total + weights.adversarial * scores_B.mean()
        return RgbaLoss(total, reconstruction, kl, tie, perceptual, adversarial)

    def for_discriminator(self, decoded_B4HW: Tensor, target_B4HW: Tensor, step: int) -> Tensor | None:
        """The discriminator's hinge loss; None before its first step. Nothing reaches the VAE."""
        if not self.has_adversary(step):
            return None
        real, decoded = target_B4HW.detach().float(), decoded_B4HW.detach().float()
        return hinge_loss(self.discriminator(real), self.discriminator(decoded))
