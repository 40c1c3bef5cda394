"""The averaged weights of a run."""

from pathlib import Path

import pytest
import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from torch import nn

from training.averages import Averages
from training.state import read_weights


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    torch.manual_seed(seed)
    return {"weight": nn.Parameter(torch.randn(3, 2)), "bias": nn.Parameter(torch.randn(4))}


def change(trained: dict[str, nn.Parameter], step: int) -> None:
    torch.manual_seed(100 + step)
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(torch.randn_like(parameter))


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in left)


def test_the_decay_grows_up_to_the_given_one():
    averages = Averages(parameters(), decay=0.6)
    decays = [averages.decay_at(step) for step in range(30)]
    assert decays[:3] == pytest.approx([0.0, 2 / 11, 3 / 12])
    assert decays[-1] == 0.6


def test_averages_follow_the_formula_and_diffusers_to_the_bit():
    trained = parameters()
    averages, theirs = Averages(trained, decay=0.3), EMAModel(trained.values(), decay=0.3, foreach=True)
    expected = {name: p.detach().clone() for name, p in trained.items()}
    for step in range(15):
        change(trained, step)
        averages.update(step)
        theirs.step(trained.values())
        decay = min(0.3, (1 + step) / (10 + step)) if step else 0.0
        expected = {name: decay * expected[name] + (1 - decay) * p.detach() for name, p in trained.items()}
    for name, value in expected.items():
        torch.testing.assert_close(averages.values[name], value, rtol=1e-5, atol=1e-5)
    assert equal(averages.values, dict(zip(trained, theirs.shadow_params, strict=True)))


def test_saved_averages_go_on_as_if_never_stopped(tmp_path: Path):
    whole, halves = parameters(), parameters()
    averages, first = Averages(whole, decay=0.9), Averages(halves, decay=0.9)
    for step in range(10):
        change(whole, step)
        averages.update(step)
    for step in range(4):
        change(halves, step)
        first.update(step)
    save_file(first.values, tmp_path / "averaged.safetensors")
    rest = parameters(seed=7)
    second = Averages(rest, decay=0.9)
    read_weights(tmp_path / "averaged.safetensors", second.values)
    with torch.no_grad():
        for name, parameter in rest.items():
            parameter.copy_(halves[name])
    for step in range(4, 10):
        change(rest, step)
        second.update(step)
    assert equal(second.values, averages.values)


@pytest.mark.parametrize(
    "other",
    [{"weight": torch.zeros(2, 3), "bias": torch.zeros(4)}, {"weight": torch.zeros(3, 2), "bais": torch.zeros(4)}],
)
def test_averages_of_other_parameters_are_refused_and_nothing_changes(tmp_path: Path, other: dict[str, torch.Tensor]):
    averages = Averages(parameters(), decay=0.9)
    before = {name: value.clone() for name, value in averages.values.items()}
    save_file(other, tmp_path / "averaged.safetensors")
    with pytest.raises(ValueError, match="holds other parameters than this run trains"):
        read_weights(tmp_path / "averaged.safetensors", averages.values)
    assert equal(averages.values, before)


def test_parameters_hold_their_averages_only_within():
    trained = parameters()
    averages = Averages(trained, decay=0.9)
    for step in range(3):
        change(trained, step)
        averages.update(step)
    own = {name: p.detach().clone() for name, p in trained.items()}
    with averages.held():
        assert equal(trained, averages.values)
        assert not equal(trained, own)
    assert equal(trained, own)
    with pytest.raises(KeyError), averages.held():
        raise KeyError
    assert equal(trained, own)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"must be float32, got torch\.bfloat16"):
        Averages({"weight": nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))}, decay=0.999)
