"""The adapter's losses: flow matching on both halves, errors of the decoded layers, and recomposition.

Here: noise levels, the loss of a prediction, the clean estimate that it implies, and the optional losses of pixels. Not
here: the RGBA VAE's losses (`rgba_vae/losses.py`), the call of the network and its guidance (`adapter/task.py`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decoupage.bases.flux import shifted
from decoupage.bases.spec import Base

Pair = tuple[Tensor, Tensor]
"""Background and foreground, always in this order."""

COVERED_FROM = 4 / 255
"""Difference, two levels of 255 in [-1, 1], from which the true layers laid over one another are not the picture."""
MIN_HIDDEN_SHARE = 1 / 256
"""Share of a picture from which a hidden part is judged by itself, as evaluation does (`evaluation.regions`)."""
UP_TO_SIGMA = 0.5
"""From this noise level on, the clean estimate is too blurred for its pixels to be judged."""


@dataclass(frozen=True)
class FlowLoss:
    """Flow matching losses of a batch, scalars; `total` is minimised: the sum of both halves, which weigh the same."""

    total: Tensor
    background: Tensor
    foreground: Tensor


def draw_sigma(batch: int, mu: float, generator: torch.Generator) -> Tensor:
    """Noise levels [B], float32 in [0, 1], on the generator's device: logit-normal, then shifted.

    Args:
        batch: B.
        mu: shift for the picture's size (`Base.shift`); 0 = none, 1.15 at 1024 x 1024 pixels for FLUX.1.

    Source: Esser et al. 2024, with mean 0 and deviation 1 before the shift.
    """
    normal = torch.randn(batch, generator=generator, device=generator.device)
    return shifted(normal.sigmoid(), mu)


def flow_matching_loss(
    base: Base,
    predictions: Pair,
    clean: Pair,
    noise: Pair,
    sigma_B: Tensor,
    background_weight_BN1: Tensor | None = None,
    foreground_weight_B: Tensor | None = None,
) -> FlowLoss:
    """Mean squared error of each half's prediction against the base's target, in float32.

    Args:
        predictions: what the network gave for `base.mix(clean, noise, sigma)`; [B, N, D] each.
        clean: tokens of the true layers; noise: what was mixed in; shapes as the predictions'.
        sigma_B: noise level of each sample, the same for both halves.
        background_weight_BN1: weight of each token of the background; None = all weigh the same.
        foreground_weight_B: weight of each sample's foreground (`foreground_weight`); None = 1.

    Raises:
        ValueError: shapes that differ (they would broadcast into a wrong loss).
    """
    background, foreground = (
        _squared_error(base, prediction, x, noise_half, sigma_B)
        for prediction, x, noise_half in zip(predictions, clean, noise, strict=True)
    )
    behind, before = _mean(background, background_weight_BN1), _over_samples(foreground, foreground_weight_B)
    return FlowLoss(behind + before, behind, before)


def _squared_error(base: Base, prediction_BND: Tensor, clean_BND: Tensor, noise_BND: Tensor, sigma_B: Tensor) -> Tensor:
    _check_same_shape(prediction=prediction_BND, clean=clean_BND, noise=noise_BND)
    target = base.target(clean_BND.float(), noise_BND.float(), _per_sample(sigma_B, clean_BND))
    return (prediction_BND.float() - target).square()


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over the batch of each sample's weighted mean; the weight broadcasts over the values.

    Each sample by itself, so that a batch's loss does not depend on how samples are shared out among batches.
    """
    if weight is None:
        return values.mean()
    return ((values * weight).flatten(1).sum(1) / weight.expand_as(values).flatten(1).sum(1)).mean()


def foreground_weight(has_foreground_B: Tensor, share: float) -> Tensor | None:
    """Weight [B] of each sample's losses that need its foreground: 0 where that is not known, else 1 / `share`.

    So both halves weigh the same over the run. Dividing by what a batch happens to hold would do so batch by batch, but
    then a batch's loss would depend on how samples are shared out among batches and processes.

    Args:
        has_foreground_B: bool.
        share: of all samples of the run, those whose foreground is known, 0..1.

    Returns:
        None where every foreground of the run is known: nothing is weighted.
    """
    if share == 1:
        return None
    # Where no sample has one, there is nothing to divide by and nothing to weigh.
    return has_foreground_B.float() / (share or 1.0)


def _over_samples(values: Tensor, weight_B: Tensor | None) -> Tensor:
    """Weighted sum of each sample's mean over B: not over the weights' sum, see `foreground_weight`."""
    return values.mean() if weight_B is None else (values.flatten(1).mean(1) * weight_B).mean()


def clean_estimate(base: Base, noisy_BND: Tensor, prediction_BND: Tensor, sigma_B: Tensor) -> Tensor:
    """The clean tokens that a prediction implies, [B, N, D] in float32.

    Mix and target are linear in clean and noise, so their four coefficients say how to solve for clean, whatever the
    base predicts. For flow matching this is noisy - sigma * prediction. A base that predicts the noise itself says
    nothing about clean at sigma 1, and its estimate there is infinite.
    """
    _check_same_shape(noisy=noisy_BND, prediction=prediction_BND)
    sigma = _per_sample(sigma_B, noisy_BND)
    one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
    mix_clean, mix_noise = base.mix(one, zero, sigma), base.mix(zero, one, sigma)
    target_clean, target_noise = base.target(one, zero, sigma), base.target(zero, one, sigma)
    determinant = mix_clean * target_noise - mix_noise * target_clean
    return (target_noise * noisy_BND.float() - mix_noise * prediction_BND.float()) / determinant


def decode_layers(base: Base, vae: nn.Module, rgba_vae: nn.Module, tokens: Pair, height_px: int, width_px: int) -> Pair:
    """Pixels of both layers, gradients kept: background [B, 3, H, W], foreground [B, 4, H, W], about [-1, 1]."""
    background, foreground = (base.unpack(half, height_px, width_px) for half in tokens)
    return base.decode(vae, background), base.decode(rgba_vae, foreground)


def low_sigma_weight(sigma_B: Tensor, up_to_sigma: float = UP_TO_SIGMA) -> Tensor:
    """Weight [B] of a sample's recomposition: 1 at sigma 0, falling as a cosine to 0 at `up_to_sigma` and beyond.

    Samples of weight 0 need not be decoded at all.

    Raises:
        ValueError: `up_to_sigma` is not in (0, 1].
    """
    if not 0 < up_to_sigma <= 1:
        raise ValueError(f"up_to_sigma must be in (0, 1], got {up_to_sigma}")
    return (1 + torch.cos(math.pi * (sigma_B.float() / up_to_sigma).clamp(0, 1))) / 2


def recomposition_loss(composite_B3HW: Tensor, layers: Pair, true_layers: Pair, weight_B: Tensor) -> Tensor:
    """Weighted mean absolute difference between the picture and its layers laid over one another, in float32.

    A sample is judged where nothing covers its target, that is where the true layers themselves give the picture: what
    is completed behind another object is in the foreground, and not in the picture. The target's shadow is in neither
    layer, so where it falls is left out too; of samples that are scaled down, outlines partly.

    Args:
        composite_B3HW: the picture, in [-1, 1].
        layers: decoded background [B, 3, H, W] and foreground [B, 4, H, W] (straight colour, then alpha, -1 =
            invisible), not clipped to [-1, 1]: clipping would take the gradient from values outside.
        true_layers: likewise, not decoded.
        weight_B: weight of each sample, see `low_sigma_weight`. The sum is divided by B, not by the weights' sum, so
            that a batch that happened to be noisy counts for little.
    """
    background_B3HW, foreground_B4HW = layers
    laid_B3HW = over(foreground_B4HW.float(), background_B3HW.float())
    _check_same_shape(composite=composite_B3HW, background=background_B3HW, recomposition=laid_B3HW)
    shows_B1HW = ~covered(composite_B3HW, true_layers)
    difference_B1HW = (composite_B3HW.float() - laid_B3HW).abs().mean(dim=1, keepdim=True) * shows_B1HW
    difference_B = difference_B1HW.flatten(1).sum(1) / shows_B1HW.flatten(1).sum(1).clamp(min=1)
    return (weight_B * difference_B).mean()


def covered(composite_B3HW: Tensor, true_layers: Pair) -> Tensor:
    """[B, 1, H, W] of bool: where the true layers laid over one another are not the picture (`COVERED_FROM`)."""
    laid_B3HW = over(true_layers[1].float(), true_layers[0].float())
    return ((composite_B3HW.float() - laid_B3HW).abs() > COVERED_FROM).any(dim=1, keepdim=True)


def pixels_loss(
    composite_B3HW: Tensor,
    layers: Pair,
    true_layers: Pair,
    background_weight_B1HW: Tensor | None = None,
    foreground_weight_B: Tensor | None = None,
) -> Tensor:
    """Error of decoded layers: mean absolute error of background and premultiplied foreground, Jaccard loss of alpha.

    Where one step from noise gives the answer, the mean of all likely ones, absolute errors make it sharper: they are
    least at the median. An object's alpha is judged by its own area, or small ones would hardly count; what of it does
    not show is judged once more by its own area (`hidden_loss`), or it would hardly count beside what does.

    Args:
        composite_B3HW: the pictures, in [-1, 1].
        layers: background [B, 3, H, W] and foreground [B, 4, H, W] in [-1, 1], not clipped; true_layers likewise.
        background_weight_B1HW: weight of each pixel of the background; None = all weigh the same.
        foreground_weight_B: weight of each sample's foreground (`foreground_weight`); None = 1.
    """
    (background, foreground), (true_background, true_foreground) = layers, true_layers
    _check_same_shape(background=background, true_background=true_background)
    _check_same_shape(foreground=foreground, true_foreground=true_foreground)
    colour, alpha = premultiplied(without_overshoot(foreground, true_foreground).float())
    true_colour, true_alpha = premultiplied(true_foreground.float())
    behind = _mean((background.float() - true_background.float()).abs(), background_weight_B1HW)
    hidden = hidden_loss(alpha, true_alpha, covered(composite_B3HW, true_layers), foreground_weight_B)
    colours = _over_samples((colour - true_colour).abs(), foreground_weight_B)
    return behind + colours + jaccard_loss(alpha, true_alpha, foreground_weight_B) + hidden


def hidden_loss(
    alpha_B1HW: Tensor, true_alpha_B1HW: Tensor, covered_B1HW: Tensor, weight_B: Tensor | None = None
) -> Tensor:
    """Jaccard loss of alpha outside of what shows of the target, over the samples that hide some of it; 0 if none does.

    All that does not show is judged, not what is hidden alone: or an alpha of 1 everywhere would be right.

    Args:
        covered_B1HW: bool, where something covers the target (`covered`).
        weight_B: of each sample (`foreground_weight`); None = 1.
    """
    hides_B = (true_alpha_B1HW * covered_B1HW).flatten(1).mean(1) >= MIN_HIDDEN_SHARE
    unseen_B1HW = (true_alpha_B1HW == 0) | covered_B1HW
    each_B = hides_B * _jaccard_of_each(alpha_B1HW * unseen_B1HW, true_alpha_B1HW * unseen_B1HW)
    return _over_samples(each_B[:, None], weight_B)


def jaccard_loss(alpha_B1HW: Tensor, true_alpha_B1HW: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """Mean over the batch, weighted by sample, of 1 - soft IoU = sum |a - b| / sum max(a, b); alpha in [0, 1], about.

    The sum of absolute differences is that of the larger values less that of the smaller ones (Rahman and Wang 2016,
    for values that are no longer 0 or 1).
    """
    return _over_samples(_jaccard_of_each(alpha_B1HW, true_alpha_B1HW)[:, None], weight_B)


def _jaccard_of_each(alpha_B1HW: Tensor, true_alpha_B1HW: Tensor) -> Tensor:
    difference_B = (alpha_B1HW - true_alpha_B1HW).abs().flatten(1).sum(1)
    union_B = torch.maximum(alpha_B1HW, true_alpha_B1HW).flatten(1).sum(1)
    return difference_B / union_B.clamp(min=1.0)


def without_overshoot(decoded_B4HW: Tensor, target_B4HW: Tensor) -> Tensor:
    """A decoded layer with its alpha clipped where it is beyond a target of -1 or 1, as pictures are clipped anyway.

    So a network may aim beyond the end to be sure to reach it, and outlines need not be soft to be right on average.
    """
    alpha_B1HW, target_B1HW = decoded_B4HW[:, 3:], target_B4HW[:, 3:]
    beyond_B1HW = ((target_B1HW >= 1) & (alpha_B1HW > 1)) | ((target_B1HW <= -1) & (alpha_B1HW < -1))
    return torch.cat([decoded_B4HW[:, :3], torch.where(beyond_B1HW, target_B1HW, alpha_B1HW)], dim=1)


def over(foreground_B4HW: Tensor, background_B3HW: Tensor) -> Tensor:
    """Foreground over background, [B, 3, H, W]; all in [-1, 1], alpha -1 = invisible, colour straight.

    The weights of both sum to one, so the usual premultiplied sum holds for colours in [-1, 1] as in [0, 1].
    """
    premultiplied_B3HW, alpha_B1HW = premultiplied(foreground_B4HW)
    return premultiplied_B3HW + background_B3HW * (1 - alpha_B1HW)


def premultiplied(rgba_B4HW: Tensor) -> tuple[Tensor, Tensor]:
    """Colour (in [-1, 1], 0 = mid-gray) times alpha, and alpha in [0, 1], of straight RGBA in [-1, 1]."""
    alpha_B1HW = (rgba_B4HW[:, 3:] + 1) / 2
    return rgba_B4HW[:, :3] * alpha_B1HW, alpha_B1HW


def _per_sample(sigma_B: Tensor, tokens_BND: Tensor) -> Tensor:
    return sigma_B.float().reshape(-1, *[1] * (tokens_BND.ndim - 1))


def _check_same_shape(**tensors: Tensor) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        raise ValueError("shapes differ: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))
