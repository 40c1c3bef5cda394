"""Flow matching, clean estimates and recomposition: against their definitions, and on a real base's interfaces."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from decoupage.bases import find_base
from decoupage.bases.small import SmallFill
from decoupage.bases.small_codec import SmallCodec
from decoupage.bases.spec import Base
from decoupage.images.sizes import plan_geometry
from decoupage.preparation import prepare_rgb, prepare_rgba, unit_rgb
from decoupage.rgba_vae import widen_vae
from pipelines.scenes.parts import Layer, SceneParts
from training.losses import (
    clean_estimate,
    decode_layers,
    draw_sigma,
    flow_matching_loss,
    hidden_loss,
    jaccard_loss,
    low_sigma_weight,
    over,
    pixels_loss,
    recomposition_loss,
    without_overshoot,
)

BASE = find_base("small-fill")


class PredictsNoise(SmallFill):
    """A base with a cosine path that predicts the noise, as older models do."""

    def mix(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return (1 - sigma**2).sqrt() * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return noise


class PredictsVelocity(PredictsNoise):
    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return (1 - sigma**2).sqrt() * noise - sigma * clean


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(seed: int) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, 3, 4, 8, generator=random(seed))
    return drawn[0], drawn[1]


def level(value: float, batch: int = 3) -> Tensor:
    return torch.full((batch,), value)


@pytest.mark.parametrize("mu", [0.0, 1.15])
def test_sigma_is_logit_normal_and_shifted(mu):
    sigma = draw_sigma(20_000, mu, random())
    assert sigma.shape == (20_000,) and sigma.dtype == torch.float32
    # Shifting by mu moves the normal's mean by mu: e^mu u / (1 + (e^mu - 1) u) = sigmoid(logit(u) + mu).
    test = stats.kstest(torch.logit(sigma.double()).numpy(), stats.norm(loc=mu).cdf)
    assert test.pvalue > 0.01
    expected = [float(torch.tensor(stats.norm(loc=mu).ppf(q)).sigmoid()) for q in (0.05, 0.5, 0.95)]
    assert torch.quantile(sigma, torch.tensor([0.05, 0.5, 0.95])).tolist() == pytest.approx(expected, abs=0.012)


def test_the_paper_size_has_its_published_shift():
    u = torch.randn(1000, generator=random(3)).sigmoid()
    torch.testing.assert_close(draw_sigma(1000, 1.15, random(3)), 3.158 * u / (1 + 2.158 * u), atol=2e-4, rtol=0)


def test_sigma_follows_its_generator():
    assert torch.equal(draw_sigma(8, 0.5, random(1)), draw_sigma(8, 0.5, random(1)))
    assert not torch.equal(draw_sigma(8, 0.5, random(1)), draw_sigma(8, 0.5, random(2)))


def test_a_perfect_prediction_costs_nothing_and_each_half_counts_alike():
    clean, noise, sigma = tokens(1), tokens(2), torch.tensor([0.1, 0.5, 0.9])
    right = tuple(e - x for x, e in zip(clean, noise, strict=True))
    assert flow_matching_loss(BASE, right, clean, noise, sigma).total == 0
    off = flow_matching_loss(BASE, (right[0] + 0.5, right[1]), clean, noise, sigma)
    assert off.background == pytest.approx(0.25, abs=1e-5) and off.foreground == 0 and off.total == off.background
    other = flow_matching_loss(BASE, (right[0], right[1] - 0.5), clean, noise, sigma)
    assert other.total == pytest.approx(float(off.total), abs=1e-5) and other.background == 0


def test_predictions_learn_towards_the_target():
    clean, noise, sigma = tokens(1), tokens(2), level(0.4)
    predictions = tuple(torch.zeros_like(x, requires_grad=True) for x in clean)
    flow_matching_loss(BASE, predictions, clean, noise, sigma).total.backward()
    for prediction, x, e in zip(predictions, clean, noise, strict=True):
        assert torch.equal(prediction.grad.sign(), (x - e).sign())


def test_half_precision_predictions_are_judged_in_full():
    clean, noise = tokens(1), tokens(2)
    rough = tuple((e - x).bfloat16() for x, e in zip(clean, noise, strict=True))
    loss = flow_matching_loss(BASE, rough, clean, noise, level(0.5))
    assert loss.total.dtype == torch.float32 and 0 < loss.total < 1e-4


def test_shapes_that_would_broadcast_are_refused():
    clean, noise = tokens(1), tokens(2)
    with pytest.raises(ValueError, match=r"shapes differ: prediction \[3, 1, 8\], clean \[3, 4, 8\]"):
        flow_matching_loss(BASE, (clean[0][:, :1], clean[1]), clean, noise, level(0.5))


@pytest.mark.parametrize("base", [BASE, PredictsNoise(), PredictsVelocity()], ids=["flow", "noise", "velocity"])
@given(sigma=st.floats(0, 0.95))
def test_the_target_gives_back_the_clean_tokens(base: Base, sigma: float):
    (clean, _), (noise, _) = tokens(1), tokens(2)
    at = level(sigma)
    per_sample = at[:, None, None]
    noisy, target = base.mix(clean, noise, per_sample), base.target(clean, noise, per_sample)
    torch.testing.assert_close(clean_estimate(base, noisy, target, at), clean, atol=2e-5, rtol=1e-4)


def test_flow_matching_estimates_stay_finite_in_pure_noise():
    (clean, _), (noise, _) = tokens(1), tokens(2)
    estimate = clean_estimate(BASE, noise, noise - clean, level(1.0))
    torch.testing.assert_close(estimate, clean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(clean_estimate(BASE, noise, clean, level(0.3)), noise - 0.3 * clean)


def layers() -> tuple[Tensor, Tensor, Tensor]:
    drawn = torch.rand(2, 7, 16, 16, generator=random(5)) * 2 - 1
    background, foreground = drawn[:, :3], drawn[:, 3:]
    colours, alpha = (foreground[:, :3] + 1) / 2, (foreground[:, 3:] + 1) / 2
    composite = (colours * alpha + (background + 1) / 2 * (1 - alpha)) * 2 - 1  # as in [0, 1], and back
    return composite, background, foreground


def test_true_layers_recompose():
    composite, background, foreground = layers()
    truth = (background, foreground)
    assert recomposition_loss(composite, truth, truth, level(1.0, 2)) < 1e-6


def occluded(size_px: int) -> tuple[Tensor, tuple[Tensor, Tensor], slice, slice]:
    """Picture and true layers of a target that another object hides by half, and columns where it shows and where not.

    The scene is 64 px wide; the target reaches from column 8 to 40, what hides it from 24 to 56.
    """
    rng = np.random.default_rng(3)

    def cutout() -> np.ndarray:
        return np.concatenate([rng.integers(0, 256, (32, 32, 3)), np.full((32, 32, 1), 255)], 2).astype(np.uint8)

    layers = (Layer(cutout(), (8, 16, 40, 48)), Layer(cutout(), (24, 16, 56, 48)))
    parts = SceneParts("key", rng.integers(0, 256, (64, 64, 3), np.uint8), layers, {})
    geometry = plan_geometry(parts.size, 1, size_px**2)
    background, composite = (
        prepare_rgb(unit_rgb(rgb), geometry) for rgb in (parts.flatten(without=0), parts.composite)
    )
    foreground = prepare_rgba(unit_rgb(parts.foreground(0)), geometry)
    unit = size_px // 8
    return composite[None], (background[None], foreground[None]), slice(unit, 3 * unit), slice(3 * unit, 5 * unit)


@pytest.mark.parametrize("size_px", [64, 32])
def test_completing_what_another_object_hides_is_no_error(size_px: int):
    composite, truth, shows, hidden = occluded(size_px)
    assert (over(truth[1], truth[0]) - composite).abs().mean() > 0.03  # As it would be judged everywhere.
    assert recomposition_loss(composite, truth, truth, level(1.0)) < 0.001
    for columns, is_judged in ((shows, True), (hidden, False)):
        foreground = truth[1].clone()
        foreground[..., :3, :, columns] *= -1
        wrong = recomposition_loss(composite, (truth[0], foreground), truth, level(1.0))
        assert (wrong > 0.03) if is_judged else (wrong < 0.001)


def test_a_sample_that_is_covered_all_over_has_no_recomposition():
    composite, background, foreground = layers()
    truth = (background, foreground)
    far = recomposition_loss((composite + 3).requires_grad_(), truth, truth, level(1.0, 2))
    assert far == 0 and far.isfinite()


def test_recomposition_is_a_weighted_pixel_difference():
    composite, background, foreground = layers()
    opaque, invisible = foreground.clone(), foreground.clone()
    opaque[:, 3], invisible[:, 3] = 1, -1
    torch.testing.assert_close(over(opaque, background), foreground[:, :3])
    torch.testing.assert_close(over(invisible, background), background)
    shift = torch.tensor([0.5, 0.25]).reshape(2, 1, 1, 1)
    shifted = (background + shift, torch.cat([foreground[:, :3] + shift, foreground[:, 3:]], dim=1))
    weighed = recomposition_loss(composite, shifted, (background, foreground), torch.tensor([1.0, 0.0]))
    assert weighed == pytest.approx(0.25, abs=1e-5)


def test_recomposition_moves_both_layers_where_each_shows():
    composite, background, foreground = layers()
    truth = (background, foreground)
    background = (background + 1).requires_grad_()
    foreground = torch.cat([foreground[:, :3] + 1, foreground[:, 3:]], dim=1).requires_grad_()
    recomposition_loss(composite, (background, foreground), truth, level(1.0, 2)).backward()
    # The layers are too bright: both colours are to fall.
    assert (background.grad >= 0).all() and (foreground.grad[:, :3] >= 0).all() and background.grad.sum() > 0


def test_only_low_noise_is_judged():
    weight = low_sigma_weight(torch.tensor([0.0, 0.25, 0.5, 0.9]), up_to_sigma=0.5)
    torch.testing.assert_close(weight, torch.tensor([1.0, 0.5, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"up_to_sigma must be in \(0, 1\], got 0"):
        low_sigma_weight(weight, 0)


def test_recomposition_reaches_the_prediction_through_the_codecs():
    composite, background, foreground = layers()
    codec = SmallCodec().eval()
    codec.fit([composite, background])
    wide = widen_vae(codec)
    codec.requires_grad_(False), wide.requires_grad_(False)
    clean = (BASE.pack(BASE.encode_mode(codec, background)), BASE.pack(BASE.encode_mode(wide, foreground)))
    sigma = torch.tensor([0.1, 0.2])
    predictions = tuple(torch.zeros_like(x, requires_grad=True) for x in clean)
    noisy = tuple(BASE.mix(x, torch.randn(x.shape, generator=random(7)), sigma[:, None, None]) for x in clean)
    estimates = tuple(clean_estimate(BASE, z, v, sigma) for z, v in zip(noisy, predictions, strict=True))
    decoded = decode_layers(BASE, codec, wide, estimates, 16, 16)
    assert [list(layer.shape) for layer in decoded] == [[2, 3, 16, 16], [2, 4, 16, 16]]
    recomposition_loss(composite, decoded, (background, foreground), low_sigma_weight(sigma)).backward()
    assert predictions[1].grad.abs().sum() > 0  # alpha starts opaque: the background does not show yet


def test_pixels_loss_counts_what_shows():
    truth = true_background, true_foreground = torch.zeros(1, 3, 2, 2), torch.full((1, 4, 2, 2), -1.0)
    assert pixels_loss(true_background, truth, truth) == 0
    brighter = (true_background + 0.5, true_foreground)
    torch.testing.assert_close(pixels_loss(true_background, brighter, truth), torch.tensor(0.5))
    # Colour under alpha 0 does not count; alpha does, by its soft IoU.
    other_colour, half = true_foreground.clone(), true_foreground.clone()
    other_colour[:, :3] = 0.7
    half[:, :3], half[:, 3] = 0.0, 0.0
    assert pixels_loss(true_background, (true_background, other_colour), truth) == 0
    torch.testing.assert_close(pixels_loss(true_background, (true_background, half), truth), torch.tensor(1.0))
    with pytest.raises(ValueError, match="shapes differ"):
        pixels_loss(true_background, (true_background, true_foreground[..., :1]), truth)


def test_what_is_covered_of_a_target_is_judged_by_its_own_area():
    true_alpha = torch.zeros(2, 1, 8, 8)
    true_alpha[:, :, :, :4] = 1.0  # In the first picture something covers the last of its columns.
    covered_B1HW = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    covered_B1HW[0, :, :, 3] = True
    shown_only = true_alpha.clone()
    shown_only[..., 3] = 0.0
    assert hidden_loss(true_alpha, true_alpha, covered_B1HW) == 0
    assert hidden_loss(shown_only, true_alpha, covered_B1HW) == 0.5  # All of the first; the second hides none.
    too_much = true_alpha.clone()
    too_much[..., 4] = 1.0
    assert hidden_loss(too_much, true_alpha, covered_B1HW) == 0.25  # What is found beyond the target counts too.
    nothing_covered = torch.zeros_like(covered_B1HW)
    alpha = shown_only.clone().requires_grad_()
    hidden_loss(alpha, true_alpha, nothing_covered).backward()
    assert alpha.grad.abs().sum() == 0


@given(seed=st.integers(0, 1000), scale=st.floats(0.05, 1.0))
def test_the_loss_of_alpha_is_one_less_its_soft_iou(seed, scale):
    alpha, truth = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * scale
    iou = [torch.minimum(a, t).sum() / torch.maximum(a, t).sum() for a, t in zip(alpha, truth, strict=True)]
    # An area below a pixel counts as one: such a target has no shape to speak of.
    assert torch.maximum(alpha, truth).flatten(1).sum(1).min() > 1
    torch.testing.assert_close(jaccard_loss(alpha, truth), 1 - torch.stack(iou).mean())


def test_a_small_objects_alpha_weighs_as_much_as_a_large_ones():
    losses = []
    for side in (4, 16):
        truth = torch.zeros(1, 1, 32, 32)
        truth[..., :side, :side] = 1.0
        half = truth.clone()
        half[..., : side // 2, :side] = 0.0
        losses.append(jaccard_loss(half, truth))
    torch.testing.assert_close(losses[0], losses[1])


def test_alpha_beyond_its_end_is_no_error_and_elsewhere_it_is_one():
    truth = torch.zeros(1, 4, 1, 5)
    truth[0, 3, 0] = torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0])
    decoded = torch.zeros(1, 4, 1, 5)
    decoded[0, 3, 0] = torch.tensor([1.5, -1.5, 1.5, -1.5, 0.5])
    kept = without_overshoot(decoded, truth)
    assert kept[0, 3, 0].tolist() == [1.0, -1.0, 1.5, -1.5, 0.5]
    assert torch.equal(kept[:, :3], decoded[:, :3])


def test_a_weight_moves_the_mean_of_the_background_alone():
    shape, random = (2, 4, 64), torch.Generator().manual_seed(0)
    clean, noise, predicted = (
        (torch.randn(shape, generator=random), torch.randn(shape, generator=random)) for _ in "abc"
    )
    sigma, weight = torch.tensor([0.3, 0.9]), torch.ones(2, 4, 1)
    plain = flow_matching_loss(BASE, predicted, clean, noise, sigma)
    same = flow_matching_loss(BASE, predicted, clean, noise, sigma, weight)
    torch.testing.assert_close(same.total, plain.total)
    weight[:, 1:] = 0.0
    first = flow_matching_loss(BASE, predicted, clean, noise, sigma, weight)
    alone = flow_matching_loss(BASE, *((pair[0][:, :1], pair[1]) for pair in (predicted, clean, noise)), sigma)
    torch.testing.assert_close(first.background, alone.background)
    assert first.foreground == plain.foreground
