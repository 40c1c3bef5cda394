"""The adversary: what it sees, how it learns, and how much it weighs."""

import pytest
import torch
from torch import Tensor

from training.rgba_vae.config import RgbaLossWeights
from training.rgba_vae.losses import RgbaObjective
from training.rgba_vae.networks import PatchDiscriminator, adaptive_weights, frozen, hinge_loss


def rgba(seed: int, size: int) -> Tensor:
    return torch.rand(2, 4, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def adversary() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(width=8, num_layers=2)


def test_frozen_restores_what_was_frozen_before():
    network = adversary()
    network.layers[0].bias.requires_grad_(False)
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["layers.0.bias"]


def test_hinge():
    assert hinge_loss(torch.tensor([1.5]), torch.tensor([-1.0])) == 0
    assert hinge_loss(torch.tensor([0.0]), torch.tensor([0.0])) == 1
    assert hinge_loss(torch.tensor([-1.0]), torch.tensor([1.0])) == 2


def test_the_adversary_judges_patches_of_what_shows():
    network = PatchDiscriminator()
    assert network(rgba(1, size=64)).shape == (2, 1, 6, 6)
    first, second = rgba(1, size=32), rgba(2, size=32)
    first[:, 3] = second[:, 3] = -1
    assert torch.equal(network(first), network(second))


def test_the_adversary_learns_to_tell_pictures_apart():
    network = adversary()
    objective = RgbaObjective(RgbaLossWeights(adversarial_from_step=0), discriminator=network)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    real, decoded = rgba(1, size=16).round(), rgba(2, size=16) * 0.1
    losses = []
    for step in range(20):
        loss = objective.for_discriminator(decoded, real, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 < losses[0]


def test_the_adaptive_weight_levels_each_samples_gradients():
    layer = torch.tensor([1.0, 2.0], requires_grad=True)
    decoded_B4HW = layer.view(1, 2, 1, 1) * torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    loss_B, adversarial_B = (decoded_B4HW.sum(dim=(1, 2, 3)) * torch.tensor(each) for each in ([3.0, 3.0], [1.5, 0.5]))
    found = adaptive_weights(loss_B.mean(), adversarial_B.mean(), decoded_B4HW, layer)
    assert found.tolist() == pytest.approx([2.0, 6.0], rel=1e-3) and not found.requires_grad
    without = adaptive_weights(loss_B.mean(), 0 * adversarial_B.mean(), decoded_B4HW, layer)
    assert without.tolist() == pytest.approx([1e4, 1e4])
