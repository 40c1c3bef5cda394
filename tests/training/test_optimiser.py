"""The optimiser: AdamW as configured, and with 8-bit moments close to it; both can be stored and taken up again."""

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from decoupage.faults import BadSetup
from training import network
from training.config import OptimiserConfig
from training.optimiser import make_optimiser

CPU = torch.device("cpu")
CONFIG = OptimiserConfig(learning_rate=1e-2, betas=(0.8, 0.95), weight_decay=0.1)


def linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(96, 64)


def steps(layer, optimiser, count, start=0):
    for i in range(start, start + count):
        x = torch.randn(8, 96, generator=torch.manual_seed(i))
        optimiser.zero_grad()
        (layer(x) - 1).square().mean().backward()
        optimiser.step()


def test_it_is_adamw_with_the_configured_values():
    ours, theirs = linear(), linear()
    steps(ours, make_optimiser(ours.parameters(), CONFIG, CPU), 3)
    steps(theirs, torch.optim.AdamW(theirs.parameters(), lr=1e-2, betas=(0.8, 0.95), weight_decay=0.1), 3)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


def test_eight_bit_moments_are_a_byte_each_and_move_weights_nearly_as_adamw():
    pytest.importorskip("bitsandbytes")
    config = CONFIG.model_copy(update={"name": "adamw8bit"})
    ours, theirs = linear(), linear()
    optimiser = make_optimiser(ours.parameters(), config, CPU)
    steps(ours, optimiser, 10)
    steps(theirs, make_optimiser(theirs.parameters(), CONFIG, CPU), 10)
    state = optimiser.state[ours.weight]
    assert state["state1"].dtype == state["state2"].dtype == torch.uint8
    moved = (theirs.weight - linear().weight).norm()
    assert (ours.weight - theirs.weight).norm() < 0.1 * moved


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_a_stored_state_goes_on_as_if_nothing_had_happened(name):
    if name == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    config = CONFIG.model_copy(update={"name": name})
    whole, first, second = linear(), linear(), linear()
    steps(whole, make_optimiser(whole.parameters(), config, CPU), 6)
    optimiser = make_optimiser(first.parameters(), config, CPU)
    steps(first, optimiser, 3)
    stored = get_optimizer_state_dict(first, optimiser)
    second.load_state_dict(first.state_dict())
    again = make_optimiser(second.parameters(), config, CPU)
    set_optimizer_state_dict(second, again, stored)
    steps(second, again, 3, start=3)
    assert torch.equal(second.weight, whole.weight) and torch.equal(second.bias, whole.bias)


def test_an_absent_library_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    with pytest.raises(BadSetup, match=r"optimiser.name = adamw8bit needs bitsandbytes.*decoupage\[gpu\]"):
        make_optimiser(linear().parameters(), OptimiserConfig(name="adamw8bit"), CPU)
