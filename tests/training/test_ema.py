from pathlib import Path

import pytest
import torch
from torch import nn

from training.ema import averaged, load_ema, make_ema


def parameters(seed: int = 0) -> list[nn.Parameter]:
    torch.manual_seed(seed)
    return [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4))]


def change(trained: list[nn.Parameter], step: int) -> None:
    torch.manual_seed(100 + step)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(torch.randn_like(parameter))


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_decay_grows_up_to_the_given_one():
    trained = parameters()
    ema = make_ema(trained, decay=0.6)
    decays = []
    for _ in range(30):
        ema.step(trained)
        decays.append(ema.cur_decay_value)
    assert decays[:3] == pytest.approx([0.0, 2 / 11, 3 / 12])
    assert decays[-1] == 0.6


def test_averages_follow_the_formula():
    trained = parameters()
    ema = make_ema(trained, decay=0.3)
    expected = [p.detach().clone() for p in trained]
    for step in range(15):
        change(trained, step)
        ema.step(trained)
        decay = min(0.3, (1 + step) / (10 + step)) if step else 0.0
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, trained, strict=True)]
    for ours, theirs in zip(ema.shadow_params, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_saved_averages_go_on_as_if_never_stopped(tmp_path: Path):
    whole, halves = parameters(), parameters()
    ema, first = make_ema(whole, decay=0.9), make_ema(halves, decay=0.9)
    for step in range(10):
        change(whole, step)
        ema.step(whole)
    for step in range(4):
        change(halves, step)
        first.step(halves)
    torch.save(first.state_dict(), tmp_path / "ema.pt")
    second = make_ema(parameters(seed=7), decay=0.9)
    load_ema(second, torch.load(tmp_path / "ema.pt", weights_only=True))
    for step in range(4, 10):
        change(halves, step)
        second.step(halves)
    assert equal(second.shadow_params, ema.shadow_params)


def test_averages_of_other_parameters_are_refused_and_nothing_changes():
    ema = make_ema(parameters(), decay=0.9)
    before = [p.clone() for p in ema.shadow_params]
    other = make_ema([nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))], decay=0.5)
    with pytest.raises(ValueError, match="must match the trained parameters: 2 tensors of 10 numbers, got 2 of 10"):
        load_ema(ema, other.state_dict())
    assert equal(ema.shadow_params, before)
    assert ema.decay == 0.9


def test_parameters_hold_their_averages_only_within():
    trained = parameters()
    ema = make_ema(trained, decay=0.9)
    for step in range(3):
        change(trained, step)
        ema.step(trained)
    own = [p.detach().clone() for p in trained]
    with averaged(ema, iter(trained)):
        assert equal(trained, ema.shadow_params)
        assert not equal(trained, own)
    assert equal(trained, own)
    with pytest.raises(KeyError), averaged(ema, trained):
        raise KeyError
    assert equal(trained, own)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"must be float32, got torch\.bfloat16"):
        make_ema([nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))], decay=0.999)
