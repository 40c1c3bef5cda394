"""What fits is found by search: the fastest settings first, and nothing that alters the result without need."""

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.model_geometry import Geometry, backward, forward, make_network, make_sample
from decoupage.adapter import AdapterConfig
from training.config import with_changes
from training.costs import CARDS, hours, sample_cost, sample_flop
from training.fitting import CARD_SHARE, by_card, estimate, what_fits
from training.recipes import find_recipe, paper

SMALL = {"num_layers": 2, "num_single_layers": 3, "num_attention_heads": 8, "attention_head_dim": 64}
SMALL |= {"axes_dims_rope": (16, 24, 24), "joint_attention_dim": 64, "pooled_projection_dim": 32}
SMALL |= {"in_channels": 384, "out_channels": 64, "guidance_embeds": True}
PAPER = with_changes(paper(), {"compute.compile": False})


def changed(**changes):
    return with_changes(PAPER, {key.replace("__", "."): value for key, value in changes.items()})


def test_one_card_of_80_gb_recomputes_and_compiles():
    (found,) = what_fits(PAPER, 79.9)
    assert found.changes == {"compute.checkpoint_every_blocks": 2, "compute.compile": True}
    assert str(found) == "with compute.checkpoint_every_blocks = 2 and compute.compile = true it needs about 79 GB"


def test_eight_cards_of_79_gb_are_offered_the_fastest_and_what_shares_nothing():
    shared, whole = what_fits(PAPER, 79.0, num_processes=8)
    assert shared.changes == {"compute.compile": True, "compute.sharded": True}
    assert not whole.config.compute.sharded and whole.config.compute.checkpoint_every_blocks
    assert sample_cost(shared.config, 8) < sample_cost(whole.config, 8)


@pytest.mark.parametrize("memory_gb", [20, 30, 45, 60, 79, 90, 100, 110, 125])
@pytest.mark.parametrize("num_processes", [1, 8])
def test_what_is_found_fits_and_nothing_faster_does(memory_gb, num_processes):
    found = what_fits(PAPER, memory_gb, num_processes)
    for suggestion in found:
        assert suggestion.total_gb <= memory_gb
        asked = with_changes(PAPER, suggestion.changes)
        assert estimate(asked, None, True, num_processes).total_gb == suggestion.total_gb
    tried = [
        changed(compute__compile=compiled, compute__checkpoint_every_blocks=every, compute__sharded=shared)
        for compiled in (False, True)
        for every in (0, 2, 3, 4, 1)
        for shared in {False, num_processes > 1}
    ]
    fitting = [each for each in tried if estimate(each, None, True, num_processes).total_gb <= memory_gb]
    assert (not fitting) == (not found or found[0].alters)
    for each in fitting:
        assert sample_cost(found[0].config, num_processes) <= sample_cost(each, num_processes)


def test_number_formats_come_before_a_smaller_adapter_and_both_say_what_they_do():
    (formats,) = what_fits(PAPER, 40.0)
    assert formats.alters and "adapter.rank" not in formats.changes
    assert str(formats).endswith("(the result will differ)")
    (smaller,) = what_fits(PAPER, 22.0)
    assert smaller.changes["adapter.rank"] == 128


def test_nothing_is_suggested_where_nothing_fits():
    assert what_fits(PAPER, 5.0) == []
    assert what_fits(PAPER, 60.0, on_gpu=False) == []


def test_a_smaller_micro_batch_keeps_the_batch():
    asked = changed(batch__micro_batch=4, batch__accumulation=2)
    first = what_fits(asked, 130.0)[0]
    assert (first.config.batch.micro_batch, first.config.batch.size) == (1, 8)


@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_operations_are_those_that_torch_counts(mode, tmp_path):
    geometry = Geometry(SMALL, size_px=256, adapter=AdapterConfig(rank=16, size_px=256, mode=mode))
    FluxTransformer2DModel(**SMALL).save_config(tmp_path / "transformer")
    sample = make_sample(geometry, "meta", torch.bfloat16)
    network = make_network(geometry, "meta", torch.bfloat16, torch.bfloat16)
    with FlopCounterMode(display=False) as forward_counter:
        predicted = forward(geometry, network, sample, mode)
    with FlopCounterMode(display=False) as backward_counter:
        backward(network, predicted)
    asked = changed(data__size_px=256, adapter__rank=16, adapter__mode=mode)
    flop = sample_flop(asked, str(tmp_path))
    counted = forward_counter.get_total_flops()
    # The small network's layers outside its blocks weigh more than FLUX.1's.
    assert flop.forward == pytest.approx(counted, rel=0.03)
    assert flop.training == pytest.approx(counted + backward_counter.get_total_flops(), rel=0.03)


def test_operations_at_the_real_size():
    """In TFLOP: linear 112.4 + LoRA 13.5 + attention 53.1; with the backward 2 x 112.4 + 3 x 13.5 + 3 x 53.1."""
    flop = sample_flop(PAPER)
    assert flop.forward / 1e12 == pytest.approx(179.0, abs=0.2)
    assert flop.training / 1e12 == pytest.approx(424.5, abs=0.5)


def test_the_papers_run_takes_a_day_on_one_large_card_and_less_compiled():
    large, compiled = CARDS[-1], changed(compute__compile=True)
    assert 24 < hours(PAPER, sample_cost(PAPER), large) < 27
    assert 17 < hours(compiled, sample_cost(compiled), large) < 20
    assert hours(PAPER, 1e15, large, 8) == pytest.approx(hours(PAPER, 1e15, large) / 8)
    rgba_vae = find_recipe("rgba_vae")
    assert 12 < hours(rgba_vae, sample_cost(rgba_vae), large) < 15


def test_the_papers_run_is_for_what_it_says():
    """Its docstring: one GPU of 141 GB, or eight of 80 GB with compute.sharded."""
    assert estimate(PAPER).total_gb < 141 * CARD_SHARE
    shared = changed(compute__compile=True, compute__sharded=True)
    assert estimate(shared, None, True, 8).total_gb < 80 * CARD_SHARE
    assert "one GPU of 141 GB" in paper.__doc__
    assert "eight of 80 GB with compute.sharded" in paper.__doc__


def test_every_card_has_what_fits_it():
    rows = by_card(PAPER)
    assert [(row.card.memory_gb, row.num_cards) for row in rows][:2] == [(24, 1), (24, 8)]
    for row in rows:
        assert row.run.total_gb <= row.card.memory_gb * CARD_SHARE
    by_size = {(row.card.memory_gb, row.num_cards): row for row in rows}
    assert by_size[24, 1].run.alters and not by_size[24, 8].run.alters
    assert by_size[80, 8].settings == "compiled, sharded, rank 256"
    assert by_size[141, 1].settings == "compiled, rank 256"


def test_small_gpu_is_for_one_card_of_24_gb():
    assert estimate(find_recipe("small_gpu")).total_gb < 24 * CARD_SHARE
