"""The RGBA VAE's losses: the closed form against drawn backgrounds, divergences against torch's, a late adversary."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from decoupage.bases.small_codec import SmallCodec
from decoupage.faults import BadSetup
from decoupage.rgba_vae import widen_vae
from tests.decoupage.tiny import flux_vae
from training.losses import over
from training.rgba_vae import requirements as perception
from training.rgba_vae.config import RgbaLossWeights, rgba_vae, small_rgba_vae
from training.rgba_vae.losses import (
    BACKGROUND_MEAN,
    BACKGROUND_SQUARE,
    NOT_MEASURED,
    RgbaObjective,
    expected_squared_error,
    kl_to_standard,
    latent_tie,
    load_lpips,
    opaque_samples,
    perceptual_loss,
    reconstruction_loss,
)
from training.rgba_vae.networks import PatchDiscriminator
from training.rgba_vae.requirements import FILE, SHA256_START, requirements


def rgba(seed: int, batch: int = 2, size: int = 4) -> Tensor:
    return torch.rand(batch, 4, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def posterior(seed: int, batch: int = 2, deterministic: bool = False) -> DiagonalGaussianDistribution:
    moments = torch.randn(batch, 8, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return DiagonalGaussianDistribution(moments, deterministic=deterministic)


def drawn_backgrounds(number: int) -> Tensor:
    """[number, 3, 1, 1] colours with the constants' first two moments, and none of their other ones: two-valued."""
    mean = torch.tensor(BACKGROUND_MEAN, dtype=torch.float64)
    deviation = (torch.tensor(BACKGROUND_SQUARE, dtype=torch.float64) - mean.square()).sqrt()
    signs = torch.randint(0, 2, (number, 3), generator=torch.Generator().manual_seed(9)) * 2 - 1
    return (mean + deviation * signs)[:, :, None, None]


def normal_backgrounds(number: int) -> Tensor:
    two_valued = drawn_backgrounds(number)
    mean = torch.tensor(BACKGROUND_MEAN, dtype=torch.float64)[:, None, None]
    deviation = (torch.tensor(BACKGROUND_SQUARE, dtype=torch.float64)[:, None, None] - mean.square()).sqrt()
    noise = torch.randn(two_valued.shape, generator=torch.Generator().manual_seed(10), dtype=torch.float64)
    return mean + deviation * noise


# --- reconstruction


@pytest.mark.parametrize("backgrounds", [drawn_backgrounds, normal_backgrounds])
def test_the_closed_form_is_the_mean_over_drawn_backgrounds(backgrounds):
    decoded, target = rgba(1, 1).double(), rgba(2, 1).double()
    plains = backgrounds(20_000).expand(-1, -1, 4, 4)
    drawn = (over(decoded, plains) - over(target, plains)).square()
    standard_error = drawn.std(dim=0) / 20_000**0.5
    difference = (drawn.mean(dim=0) - expected_squared_error(decoded, target)[0]).abs()
    # 48 values: five standard errors, so that none fails by chance; a wrong sign is off by hundreds of them.
    assert (difference < 5 * standard_error + 1e-6).all()


def test_the_wrong_sign_would_be_seen():
    decoded, target = rgba(1, 1), rgba(2, 1)
    flipped = expected_squared_error(decoded, target, tuple(-value for value in BACKGROUND_MEAN))
    plains = drawn_backgrounds(20_000).expand(-1, -1, 4, 4)
    drawn = (over(decoded.double(), plains) - over(target.double(), plains)).square()
    standard_error = drawn.std(dim=0) / 20_000**0.5
    assert ((drawn.mean(dim=0) - flipped[0]).abs() > 5 * standard_error).double().mean() > 0.5


@given(st.integers(0, 1000))
def test_the_error_is_symmetric_and_never_negative(seed):
    first, second = rgba(seed), rgba(seed + 1)
    error = expected_squared_error(first, second)
    torch.testing.assert_close(error, expected_squared_error(second, first))
    assert error.min() > -1e-6


@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_equal_pictures_cost_nothing_and_give_finite_gradients(kind):
    decoded = rgba(3).requires_grad_()
    loss = reconstruction_loss(decoded, rgba(3), kind)
    loss.backward()
    assert abs(loss) < 1e-7 and decoded.grad.isfinite().all() and decoded.grad.abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_gradients_point_to_the_target(kind):
    target = rgba(4) * 0.5
    decoded = torch.cat([target[:, :3] + 0.3, target[:, 3:]], dim=1).requires_grad_()  # too bright, alpha right
    reconstruction_loss(decoded, target, kind).backward()
    assert (decoded.grad[:, :3] > 0).all()
    # A gray object that is too solid: what stands behind it is hidden, so alpha is to fall; and the other way round.
    for shift in (0.2, -0.2):
        gray = torch.zeros(1, 4, 2, 2)
        solid = (gray + torch.tensor([0.0, 0.0, 0.0, shift]).view(1, 4, 1, 1)).requires_grad_()
        reconstruction_loss(solid, gray, kind).backward()
        assert torch.equal(solid.grad[:, 3].sign(), torch.full((1, 2, 2), shift).sign())


def test_colour_under_alpha_zero_is_free():
    target, decoded = rgba(5), rgba(6)
    target[:, 3] = decoded[:, 3] = -1
    assert reconstruction_loss(decoded, target) == 0


def test_l1_is_the_absolute_difference_where_alpha_is_right_and_a_bound_elsewhere():
    decoded, target = rgba(7, 1), rgba(8, 1)
    plains = drawn_backgrounds(5000).float().expand(-1, -1, 4, 4)
    drawn = (over(decoded, plains) - over(target, plains)).abs().mean()
    assert drawn <= reconstruction_loss(decoded, target, "l1") + 2e-3
    decoded[:, 3] = target[:, 3] = 1
    expected = (decoded - target)[:, :3].abs().mean()
    assert reconstruction_loss(decoded, target, "l1") == pytest.approx(float(expected), abs=1e-3)
    with pytest.raises(ValueError, match="must be 'l2' or 'l1', got 'huber'"):
        reconstruction_loss(decoded, target, "huber")


# --- latents


def test_divergences_are_those_of_torch():
    first, second = posterior(1), posterior(2)
    one, other = Normal(first.mean, first.std), Normal(second.mean, second.std)
    standard = Normal(torch.zeros_like(first.mean), torch.ones_like(first.mean))
    assert kl_to_standard(first) == pytest.approx(float(kl_divergence(one, standard).mean()), rel=1e-5)
    assert latent_tie(first, second, "kl") == pytest.approx(float(kl_divergence(one, other).mean()), rel=1e-5)
    assert latent_tie(first, first, "kl") == pytest.approx(0, abs=1e-6) and latent_tie(first, first) == 0
    # diffusers sums over the latents of a picture
    num_values = first.mean[0].numel()
    assert kl_to_standard(first) == pytest.approx(float(first.kl().mean()) / num_values, rel=1e-5)


def test_posteriors_without_spread():
    flat = posterior(1, deterministic=True)
    assert kl_to_standard(flat) == 0
    assert latent_tie(flat, posterior(2, deterministic=True)) > 0
    with pytest.raises(ValueError, match="use 'mse'"):
        latent_tie(flat, flat, "kl")


def test_only_wholly_opaque_samples_are_tied():
    target = rgba(1, batch=3)
    target[:2, 3] = 1
    target[1, 3, 0, 0] = 0.99
    assert opaque_samples(target).tolist() == [True, False, False]
    mine = posterior(1, batch=3)
    reference = DiagonalGaussianDistribution(mine.parameters[:1] + 0.5)
    objective = RgbaObjective(RgbaLossWeights())
    tied = objective.for_vae(rgba(2, batch=3), target, mine, reference, step=0)
    assert tied.tie == pytest.approx(0.25, abs=1e-5)
    expected = tied.reconstruction + 1e-6 * tied.kl + tied.tie
    assert tied.total == pytest.approx(float(expected), rel=1e-6)
    free = objective.for_vae(rgba(2, batch=3), target, mine, None, step=0)
    assert free.tie is None and free.total == pytest.approx(float(tied.total - tied.tie), rel=1e-5)
    with pytest.raises(ValueError, match=r"latents differ in shape: \[1, 4, 3, 3\] and \[2, 4, 3, 3\]"):
        objective.for_vae(rgba(2, batch=3), target, mine, posterior(2, batch=2), step=0)


def test_the_tie_trains_the_encoder_and_not_the_reference():
    moments = torch.randn(2, 8, 3, 3, requires_grad=True)
    frozen_moments = torch.randn(2, 8, 3, 3, requires_grad=True)
    for kind in ("mse", "kl"):
        latent_tie(DiagonalGaussianDistribution(moments), DiagonalGaussianDistribution(frozen_moments), kind).backward()
    assert moments.grad.abs().sum() > 0 and frozen_moments.grad is None


# --- perception


def test_perception_is_asked_on_black_and_on_white():
    seen = []

    def network(first: Tensor, second: Tensor) -> Tensor:
        seen.append((first, second))
        return (first - second).abs().mean(dim=(1, 2, 3), keepdim=True)

    invisible = rgba(1)
    invisible[:, 3] = -1
    score = perceptual_loss(network, rgba(2), invisible)
    assert [float(second.unique()) for _, second in seen] == [-1.0, 1.0]
    assert score == pytest.approx(float(sum((a - b).abs().mean() for a, b in seen) / 2))
    assert perceptual_loss(network, rgba(2), rgba(2)) == 0
    loss = RgbaObjective(RgbaLossWeights(), perceptual=network).for_vae(rgba(2), invisible, posterior(1), None, step=0)
    assert loss.total == pytest.approx(float(loss.reconstruction + 0.5 * score + 1e-6 * loss.kl), rel=1e-6)


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Path:
    """Torch's hub folder, empty, and a package of LPIPS."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(perception, "find_spec", lambda name: object())
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_lpips_without_package_or_weights_is_named_and_nothing_starts(monkeypatch, hub):
    with pytest.raises(BadSetup, match=r"LPIPS lacks .*vgg16-397923af\.pth .*553 MB.*weights\.perceptual = 0"):
        load_lpips(rgba_vae())  # never downloaded
    (hub / FILE).write_bytes(b"cut off")
    with pytest.raises(BadSetup, match="its sha256 does not begin with 397923af"):
        load_lpips(rgba_vae())
    monkeypatch.setattr(perception, "find_spec", lambda name: None)
    with pytest.raises(BadSetup, match=r"lpips, torchvision not installed. Fix: in a checkout .*'\.\[gpu\]'"):
        load_lpips(rgba_vae())
    lacking = requirements(rgba_vae())
    assert [one.present for one in lacking] == [False, False] and not lacking[1].space
    (hub / FILE).unlink()
    assert sum(space.gb for one in requirements(rgba_vae()) for space in one.space) == pytest.approx(0.553)


def test_without_a_weight_lpips_is_not_asked_for_and_not_measured(hub):
    assert requirements(small_rgba_vae()) == [] and load_lpips(small_rgba_vae()) is None
    loss = RgbaObjective(RgbaLossWeights(), perceptual=None).for_vae(rgba(1), rgba(2), posterior(1), None, step=0)
    assert loss.parts()["perceptual"] == NOT_MEASURED and isinstance(loss.parts()["total"], float)


def test_lpips_is_frozen_where_it_is_there(monkeypatch, hub):
    (hub / FILE).touch()
    monkeypatch.setattr(perception, "read_sha256", lambda path: f"{SHA256_START}0")
    stand_in = SimpleNamespace(LPIPS=lambda net, verbose: torch.nn.Conv2d(3, 1, 1))
    monkeypatch.setitem(sys.modules, "lpips", stand_in)
    network = load_lpips(rgba_vae())
    assert network is not None and not any(p.requires_grad for p in network.parameters())


# --- adversary


def adversary() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(width=8, num_layers=2)


def test_the_adversary_starts_late():
    objective = RgbaObjective(RgbaLossWeights(adversarial_from_step=5), discriminator=adversary())
    decoded, target = rgba(1, size=16), rgba(2, size=16)
    early, late = (objective.for_vae(decoded, target, posterior(1), None, step=step) for step in (4, 5))
    assert early.adversarial is None and early.parts()["adversarial"] == NOT_MEASURED
    assert late.adversarial is not None and late.total == pytest.approx(float(early.total + late.adversarial))
    assert objective.for_discriminator(decoded, target, 4) is None
    assert objective.for_discriminator(decoded, target, 5) is not None
    without = RgbaObjective(RgbaLossWeights(adversarial_from_step=0))
    assert without.for_vae(decoded, target, posterior(1), None, step=0).adversarial is None


def test_each_side_of_the_adversary_learns_alone():
    network = adversary()
    objective = RgbaObjective(RgbaLossWeights(adversarial_from_step=0), discriminator=network)
    decoded = rgba(1, size=16).requires_grad_()
    objective.for_vae(decoded, rgba(2, size=16), posterior(1), None, step=0).total.backward()
    assert decoded.grad.abs().sum() > 0 and all(p.grad is None for p in network.parameters())
    assert all(p.requires_grad for p in network.parameters())
    decoded.grad = None
    objective.for_discriminator(decoded, rgba(2, size=16), step=0).backward()
    assert decoded.grad is None and all(p.grad is not None for p in network.parameters())


# --- all of it


def test_a_codec_may_aim_past_opaque():
    target = rgba(3, size=8)
    target[:, 3] = 1.0
    beyond = target.clone()
    beyond[:, 3] = 1.2
    codec = SmallCodec()
    posterior = codec.encode(target[:, :3]).latent_dist
    loss = RgbaObjective(RgbaLossWeights()).for_vae(beyond, target, posterior, posterior, step=0)
    assert loss.reconstruction == 0
    assert reconstruction_loss(beyond, target) > 0


def test_a_widened_vae_learns_alpha():
    torch.manual_seed(0)
    target = torch.nn.functional.interpolate(rgba(3, batch=4), scale_factor=4, mode="bilinear")
    target[2:, 3] = 1
    codec = flux_vae().requires_grad_(False)
    wide = widen_vae(codec).train()
    objective = RgbaObjective(RgbaLossWeights(adversarial_from_step=5), discriminator=adversary())
    optimiser = torch.optim.AdamW(wide.parameters(), lr=2e-3)
    history = []
    for step in range(120):
        encoded = wide.encode(target).latent_dist
        decoded = wide.decode(encoded.mean).sample
        reference = codec.encode(target[opaque_samples(target), :3]).latent_dist
        last = wide.decoder.conv_out.weight
        loss = objective.for_vae(decoded, target, encoded, reference, step, last)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        history.append(loss.parts())
    assert history[0]["tie"] == pytest.approx(0, abs=1e-10)  # widening changes no latent
    assert history[-1]["reconstruction"] < 0.5 * history[0]["reconstruction"]
    assert history[-1]["adversarial"] != NOT_MEASURED and history[-1]["tie"] < 0.05
