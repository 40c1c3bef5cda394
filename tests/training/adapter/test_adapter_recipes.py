"""Every recipe of an adapter learns, and every ablation changes what is computed: none is a dead switch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from decoupage.bases.flux import FluxFill, FluxKontext
from decoupage.contexts import make_contexts
from tests.training.adapter.adapter_runs import (
    Place64,
    lay_out,
    loss_of,
    pipeline_of,
    take,
    teach,
    tiny_task,
)
from training.adapter.task import AdapterTask
from training.recipes import RECIPES


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    return lay_out(tmp_path_factory.mktemp("adapter_recipes"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_learns(place: Place64, recipe: str):
    """Ten steps on one batch: the noise stays the same, so what is learned shows."""
    task = tiny_task(place, recipe)
    losses = teach(task, take(task, 1) * 10)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.85 * losses[0]


def width_of_projection(task: AdapterTask) -> int:
    network = pipeline_of(task).transformer
    return int(getattr(network, task._base.input_projection).weight.shape[1])


@pytest.mark.parametrize(
    ("recipe", "num_maps", "width"),
    [
        ("paper", 3, 450),
        ("no_fused_context", 0, 386),
        ("no_edges", 2, 450),
        ("no_segmentation", 2, 450),
        ("no_depth", 2, 450),
        ("kontext_base", 3, 450),
        ("demo", 3, 1026),
    ],
)
def test_maps_decide_channels_and_modalities(place: Place64, recipe: str, num_maps: int, width: int):
    task = tiny_task(place, recipe)
    fusion = pipeline_of(task).fusion
    assert width_of_projection(task) == width
    (batch,) = take(task, 1)
    if num_maps == 0:
        assert fusion is None and batch.maps == {}
        return
    assert fusion.modalities == tuple(batch.maps) == task.config.adapter.maps
    assert fusion.modality_embedding.shape[0] == num_maps
    assert recipe.removeprefix("no_") not in batch.maps


@pytest.mark.parametrize("name", ["edges", "segmentation", "depth"])
def test_each_map_is_seen(place: Place64, name: str):
    task = tiny_task(place, "paper", objective__modality_dropout=0.0)
    (batch,) = take(task, 1)
    teach(task, [batch] * 3)  # At first nothing of the fused context passes: its columns are zero.
    before = loss_of(task, batch).total
    other = replace(batch, maps=batch.maps | {name: -batch.maps[name]})
    assert not torch.equal(loss_of(task, other).total, before)


@pytest.mark.parametrize(("recipe", "rank"), [("paper", 4), ("rank_128", 2), ("rank_1024", 16), ("small_gpu", 2)])
def test_ranks_are_those_of_the_lora(place: Place64, recipe: str, rank: int):
    network = pipeline_of(tiny_task(place, recipe)).transformer
    shapes = {tuple(value.shape) for name, value in network.named_parameters() if ".lora_A." in name}
    assert shapes and {shape[0] for shape in shapes} == {rank}


def test_the_foregrounds_context_is_the_backgrounds_in_the_ablation(place: Place64):
    found = {}
    for recipe in ("paper", "no_foreground_context"):
        task = tiny_task(place, recipe)
        (batch,) = take(task, 1)
        contexts = task._encode(batch, seed=0).contexts
        found[recipe] = loss_of(task, batch)
        same = torch.equal(contexts.foreground_BNK, contexts.background_BNK)
        assert same == (recipe == "no_foreground_context")
    assert not torch.equal(found["paper"].total, found["no_foreground_context"].total)


def test_the_context_says_what_to_generate(place: Place64):
    task = tiny_task(place, "demo")
    (batch,) = take(task, 1)
    contexts = task._encode(batch, seed=0).contexts
    inside = make_contexts(task._base, pipeline_of(task).vae, batch.composite_B3HW, batch.hole_B1HW, batch.kept_B1HW)
    assert torch.allclose(contexts.background_BNK, inside.background_BNK)
    assert torch.allclose(contexts.foreground_BNK, inside.foreground_BNK)


def test_kontext_is_another_base(place: Place64):
    kontext, paper = tiny_task(place, "kontext_base"), tiny_task(place, "paper")
    assert isinstance(kontext._base, FluxKontext) and isinstance(paper._base, FluxFill)
    assert kontext.identity["base"] != paper.identity["base"]


def test_small_gpu_recomputes_its_blocks_and_learns_the_same(place: Place64):
    recomputed = tiny_task(place, "small_gpu")
    plain = tiny_task(place, "small_gpu", compute__checkpoint_every_blocks=0)
    assert pipeline_of(recomputed).transformer.gradient_checkpointing
    assert not pipeline_of(plain).transformer.gradient_checkpointing
    first, second = (teach(task, take(task, 3)) for task in (recomputed, plain))
    assert first == pytest.approx(second, rel=1e-5)
