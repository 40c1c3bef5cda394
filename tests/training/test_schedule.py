import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from training.config import ScheduleConfig
from training.schedule import learning_rate_factor, make_scheduler


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
        get_constant_schedule_with_warmup(theirs, warmup_steps)
        if kind == "constant"
        else get_cosine_schedule_with_warmup(theirs, warmup_steps, num_training_steps=20)
    )
    # 21: the one after the last too. From there transformers' cosine rises.
    assert rates(ours, make_scheduler(ours, config), 21) == pytest.approx(rates(theirs, reference, 21), abs=1e-12)


def test_cosine_stays_at_zero_after_its_end():
    config = ScheduleConfig(kind="cosine", warmup_steps=2, num_steps=10)
    assert [learning_rate_factor(step, config) for step in (10, 11, 18)] == [0.0, 0.0, 0.0]


def test_known_points():
    config = ScheduleConfig(kind="cosine", warmup_steps=100, num_steps=7200)
    found = [learning_rate_factor(step, config) for step in (0, 50, 100, 3650, 7200)]
    assert found == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


@given(st.sampled_from(["constant", "cosine"]), st.integers(0, 50), st.integers(1, 100), st.integers(0, 300))
def test_a_factor_is_a_share_that_rises_then_never_rises_again(kind, warmup_steps, more, step):
    config = ScheduleConfig(kind=kind, warmup_steps=warmup_steps, num_steps=warmup_steps + more)
    here, after = (learning_rate_factor(at, config) for at in (step, step + 1))
    assert 0.0 <= here <= 1.0
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
