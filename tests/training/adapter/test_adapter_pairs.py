"""Before/after pairs in the adapter's loss: they teach the background half alone, unless they have a foreground."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decoupage.sequences import HALVES
from tests.pairs import build_pairs, write_pairs
from tests.training.adapter.adapter_runs import (
    Place64,
    lay_out,
    loss_of,
    pipeline_of,
    take,
    teach,
    tiny_task,
)
from training.adapter.task import NAME, AdapterTask
from training.data import TripletBatch

ALL_LOSSES = {"objective__pixels_weight": 1.0, "objective__recomposition_weight": 1.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    """Twelve scenes, and four pairs of which the last has a foreground."""
    root = tmp_path_factory.mktemp("adapter")
    place = lay_out(root)
    build_pairs(Path(place.data), write_pairs(root / "own", 4, with_foreground=(3,)))
    return place


def pairs_task(place: Place64, recipe: str = "demo", share: float = 1.0, **changes: Any) -> AdapterTask:
    return tiny_task(place, recipe, data__pairs_share=share, data__redraw_masks=False, **ALL_LOSSES | changes)


def rows(batch: TripletBatch, chosen: list[int]) -> TripletBatch:
    index = torch.tensor(chosen)
    values: dict[str, Any] = {item.name: getattr(batch, item.name) for item in fields(batch)}
    tensors = {name: value[index] for name, value in values.items() if isinstance(value, torch.Tensor)}
    tuples = {name: tuple(value[i] for i in chosen) for name, value in values.items() if isinstance(value, tuple)}
    return replace(batch, maps={name: picture[index] for name, picture in batch.maps.items()}, **tensors, **tuples)


def split(batch: TripletBatch) -> tuple[TripletBatch, TripletBatch]:
    """Samples without and with a foreground."""
    known = list(enumerate(batch.has_foreground_B.tolist()))
    return rows(batch, [i for i, has in known if not has]), rows(batch, [i for i, has in known if has])


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_what_stands_for_an_unknown_foreground_changes_nothing(place: Place64, recipe: str):
    task = pairs_task(place, recipe, batch__micro_batch=4)
    teach(task, take(task, 1))
    bare, whole = split(take(task, 1)[0])
    assert len(bare) == 3 and len(whole) == 1
    other = torch.rand_like(bare.foreground_B4HW) * 2 - 1
    with torch.no_grad():
        assert float(loss_of(task, bare).total) == float(loss_of(task, replace(bare, foreground_B4HW=other)).total)
        theirs = torch.rand_like(whole.foreground_B4HW) * 2 - 1
        assert float(loss_of(task, whole).total) != float(loss_of(task, replace(whole, foreground_B4HW=theirs)).total)


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_only_the_background_half_learns_from_a_pair_without_a_foreground(place: Place64, recipe: str):
    """By the gradients at the predictions of both halves."""
    task = pairs_task(place, recipe, batch__micro_batch=4)
    made: list[tuple[torch.Tensor, ...]] = []

    def keep(module: Any, inputs: Any, predictions: tuple[torch.Tensor, ...]) -> None:
        for half in predictions:
            half.retain_grad()
        made.append(predictions)

    task.modules[NAME].register_forward_hook(keep)
    bare, whole = split(take(task, 1)[0])
    for batch, learns in ((bare, False), (whole, True)):
        loss_of(task, batch).total.backward()
        background, foreground = (half.grad for half in made[-1])
        assert background is not None and background.abs().sum() > 0
        assert (foreground is not None and bool(foreground.abs().sum() > 0)) == learns


def test_what_only_the_foreground_uses_has_no_gradient(place: Place64):
    """With halves as samples of their own, the column that marks the foreground half is such a parameter."""
    task = pairs_task(place, adapter__mode="batch", batch__micro_batch=4)
    bare, _ = split(take(task, 1)[0])
    loss_of(task, bare).total.backward()
    pipe = pipeline_of(task)
    added = getattr(pipe.transformer, pipe.base.input_projection).added.weight.grad
    first = added.shape[1] - pipe.base.token_dim - len(HALVES)
    background, foreground = added[:, first], added[:, first + 1]
    assert background.abs().sum() > 0 and not foreground.any()


def test_the_loss_of_a_mixed_batch_is_the_mean_of_its_samples(place: Place64):
    task = pairs_task(place, share=0.5, batch__micro_batch=4)
    teach(task, take(task, 1))
    (batch,) = take(task, 1, start=8)
    assert set(batch.has_foreground_B.tolist()) == {True, False}
    with torch.no_grad():
        whole = float(loss_of(task, batch).total)
        each = [float(loss_of(task, rows(batch, [i])).total) for i in range(4)]
    assert np.mean(each) == pytest.approx(whole, rel=1e-5)


def test_noise_between_two_photographs_is_not_what_the_background_half_must_generate(place: Place64):
    task = pairs_task(place, batch__micro_batch=4)
    bare, _ = split(take(task, 1)[0])
    seen: list[Any] = []
    task.modules[NAME].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    loss_of(task, bare)
    share = seen[0].generated_B1HW.mean()
    assert (bare.composite_B3HW != bare.background_B3HW).any(dim=1).float().mean() > 0.9
    assert bare.hole_B1HW.mean() < share < 2 * bare.hole_B1HW.mean()  # The object, and its shadow.


def test_pairs_alone_teach_the_background(place: Place64):
    task = pairs_task(place, batch__micro_batch=4, objective__pixels_weight=0.0, objective__recomposition_weight=0.0)
    (batch,) = take(task, 1)
    bare, _ = split(batch)
    losses = teach(task, [bare] * 12)
    assert losses[-1] < 0.9 * losses[0]
    with torch.no_grad():
        assert float(loss_of(task, bare).parts["foreground"]) == 0.0


def test_validation_and_samples_work_beside_pairs(place: Place64):
    task = pairs_task(place, share=0.5)
    assert np.isfinite(task.validation_loss(task.modules))
    assert "pairs" in task.identity
    assert task.samples(task.modules).ndim == 3
