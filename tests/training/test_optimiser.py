"""The optimiser and the learning rate of a run."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from decoupage.adapter import AdapterConfig, adapt, make_fusion
from decoupage.bases.small import SmallFill
from decoupage.faults import BadSetup
from training import network
from training.config import AdapterOptimiserConfig, OptimiserConfig, ScheduleConfig
from training.optimiser import learning_rate_factor, make_optimiser, make_scheduler, parameter_groups
from training.state import Learner, copied_optimiser, restore_optimiser

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


def learner(layer, optimiser):
    return Learner(layer, optimiser, make_scheduler(optimiser, ScheduleConfig(warmup_steps=0)))


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_a_stored_state_goes_on_as_if_nothing_had_happened(name):
    if name == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    config = CONFIG.model_copy(update={"name": name})
    whole, first, second = linear(), linear(), linear()
    steps(whole, make_optimiser(whole.parameters(), config, CPU), 6)
    optimiser = make_optimiser(first.parameters(), config, CPU)
    steps(first, optimiser, 3)
    stored = copied_optimiser(learner(first, optimiser), keep=True)
    second.load_state_dict(first.state_dict())
    again = make_optimiser(second.parameters(), config, CPU)
    restore_optimiser(learner(second, again), stored)
    steps(second, again, 3, start=3)
    assert torch.equal(second.weight, whole.weight) and torch.equal(second.bias, whole.bias)


def test_a_stored_state_of_other_parameters_or_groups_is_refused():
    layer = linear()
    optimiser = make_optimiser(layer.parameters(), CONFIG, CPU)
    steps(layer, optimiser, 1)
    stored = copied_optimiser(learner(layer, optimiser), keep=True)
    split = make_optimiser([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 1.0}], CONFIG, CPU)
    with pytest.raises(ValueError, match="other parameters, or to other groups"):
        restore_optimiser(learner(layer, split), stored)
    steps(layer, split, 1)
    kept = copied_optimiser(learner(layer, split), keep=True)
    again = make_optimiser([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.5}], CONFIG, CPU)
    restore_optimiser(learner(layer, again), kept)
    assert [group["initial_lr"] for group in again.param_groups] == [1e-2, 1.0]


def test_an_absent_library_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    with pytest.raises(BadSetup, match=r"optimiser.name = adamw8bit needs bitsandbytes.*'\.\[gpu\]'"):
        make_optimiser(linear().parameters(), OptimiserConfig(name="adamw8bit"), CPU)


def an_adapter(maps=("depth",)):
    base = SmallFill()
    config = AdapterConfig(base=base.name, rank=2, num_latents=2, fusion_dim=8, maps=maps)
    network = base.new()[base.network]
    adapt(network, base, config)
    fusion = make_fusion(base, config)
    return nn.ModuleDict({"network": network} | ({"fusion": fusion} if fusion else {}))


@pytest.mark.parametrize("maps", [("depth",), ()])
def test_what_is_new_in_an_adapter_learns_at_a_rate_of_its_own(maps):
    module = an_adapter(maps)
    config = AdapterOptimiserConfig(learning_rate=1e-3, new_modules_factor=10.0, weight_decay=0.1)
    optimiser = make_optimiser(parameter_groups(module, config), config, CPU)
    names = {parameter: name for name, parameter in module.named_parameters()}
    known, new = ({names[parameter] for parameter in group["params"]} for group in optimiser.param_groups)
    assert known | new == {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert all(".lora_" in name or name == "network.x_embedder.published.weight" for name in known)
    fusion = {name for name in names.values() if name.startswith("fusion.")}
    assert new == fusion | {"network.x_embedder.added.weight"} and bool(fusion) == bool(maps)
    before = {name: parameter.detach().clone() for parameter, name in names.items()}
    scheduler = make_scheduler(optimiser, ScheduleConfig(warmup_steps=1, num_steps=4))
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    optimiser.step()
    # At the first step Adam moves every number by the rate, here half of it, whatever the gradient; beside the decay.
    for name, parameter in module.named_parameters():
        rate = 0.5 * 1e-3 * {name in known: 1.0, name in new: 10.0}.get(True, 0.0)
        expected = before[name] * (1 - rate * 0.1) - rate
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-7)
    scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([1e-3, 1e-2])
    (group,) = parameter_groups(module, OptimiserConfig())
    assert len(group["params"]) == len(known) + len(new)


# --- learning rate ------------------------------------------------------------------------------------------------


def optimiser(rate: float = 0.5) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def rates(optimiser: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler, num: int) -> list[float]:
    found = []
    for _ in range(num):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("kind", ["constant", "cosine"])
@pytest.mark.parametrize("warmup_steps", [0, 1, 5])
def test_rates_are_those_of_transformers(kind, warmup_steps):
    config = ScheduleConfig(kind=kind, warmup_steps=warmup_steps, num_steps=20)
    ours, theirs = optimiser(), optimiser()
    reference = (
        get_constant_schedule_with_warmup(theirs, warmup_steps + 1)
        if kind == "constant"
        else get_cosine_schedule_with_warmup(theirs, warmup_steps + 1, num_training_steps=21)
    )
    # Theirs with a step more, from its second update on: the first one has the rate 0.
    assert rates(theirs, reference, 1) == [0.0]
    # 21: the one after the last too. From there transformers' cosine rises.
    assert rates(ours, make_scheduler(ours, config), 21) == pytest.approx(rates(theirs, reference, 21), abs=1e-12)


def test_cosine_stays_at_zero_after_its_end():
    config = ScheduleConfig(kind="cosine", warmup_steps=2, num_steps=10)
    assert [learning_rate_factor(step, config) for step in (10, 11, 18)] == [0.0, 0.0, 0.0]


def test_known_points():
    config = ScheduleConfig(kind="cosine", warmup_steps=100, num_steps=7200)
    found = [learning_rate_factor(step, config) for step in (0, 49, 100, 3650, 7200)]
    assert found == pytest.approx([1 / 101, 50 / 101, 1.0, 0.5, 0.0])


@given(st.sampled_from(["constant", "cosine"]), st.integers(0, 50), st.integers(1, 100), st.integers(0, 300))
def test_a_factor_is_a_share_that_rises_then_never_rises_again(kind, warmup_steps, more, step):
    config = ScheduleConfig(kind=kind, warmup_steps=warmup_steps, num_steps=warmup_steps + more)
    here, after = (learning_rate_factor(at, config) for at in (step, step + 1))
    assert 0.0 <= here <= 1.0 and (step > 0 or here > 0.0)
    assert (after > here) if step < warmup_steps else (after <= here)


def test_a_resumed_scheduler_goes_on_where_it_was():
    config = ScheduleConfig(kind="cosine", warmup_steps=3, num_steps=12)
    whole = optimiser()
    expected = rates(whole, make_scheduler(whole, config), 12)
    first = optimiser()
    scheduler = make_scheduler(first, config)
    rates(first, scheduler, 5)
    second = optimiser()
    resumed = make_scheduler(second, config)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert rates(second, resumed, 7) == expected[5:]
