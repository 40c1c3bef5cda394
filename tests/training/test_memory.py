"""Memory estimates: against the reckoned table of the real geometry, and against what autograd really keeps."""

import pytest
import torch
from diffusers import FluxTransformer2DModel

from decoupage.adapter import adapt
from decoupage.bases import find_base
from decoupage.bases.spec import Text
from decoupage.bases.tiny import TinyFill, save_base
from decoupage.contexts import Contexts
from decoupage.sequences import Condition, predict_layers
from training.config import with_changes
from training.memory import estimate, network_size, what_fits
from training.recipes import demo, find_recipe, paper, small_gpu


def changed(**changes):
    return with_changes(paper(), {key.replace("__", "."): value for key, value in changes.items()})


def test_the_real_geometry_has_its_known_counts():
    size = network_size(paper().adapter_config())
    assert (size.num_blocks, size.width) == (57, 3072)
    assert size.num_linear + size.num_other == pytest.approx(11.9e9, rel=0.005)
    assert size.num_trained == pytest.approx(1_045_954_560 + 1_382_400 + 17.9e6, rel=1e-3)


@pytest.mark.parametrize(
    ("config", "low_gb", "high_gb"),
    [
        (changed(compute__compile=True), 95, 100.5),
        (changed(compute__compile=True, compute__checkpoint_every_blocks=1, batch__micro_batch=8), 72, 80),
        (changed(compute__compile=True, compute__checkpoint_every_blocks=2), 65, 76),
        (small_gpu(), 12, 24),
    ],
    ids=["one sample, nothing recomputed", "eight samples, all recomputed", "every second block", "small GPU"],
)
def test_estimates_are_those_of_the_reckoned_table(config, low_gb, high_gb):
    assert low_gb <= estimate(config).total_gb <= high_gb


def test_parts_follow_what_they_are_made_of():
    base = estimate(paper())
    assert base.base == pytest.approx(23.8, rel=0.01)
    assert base.trained == base.gradients == base.averages == pytest.approx(4.26, rel=0.01)
    assert base.moments == 2 * base.trained
    assert estimate(changed(optimiser__name="adamw8bit")).moments == base.moments / 4
    assert estimate(changed(ema_decay=0.0)).averages == 0
    assert estimate(changed(compute__base_quantisation="int8")).base == pytest.approx(base.base / 2, rel=0.01)
    assert estimate(changed(compute__base_quantisation="nf4")).base == pytest.approx(6.14, rel=0.02)
    assert estimate(changed(compute__precision="fp32")).base == 2 * base.base == estimate(paper(), on_gpu=False).base
    assert estimate(find_recipe("rank_128")).trained == pytest.approx(base.trained / 2, rel=0.02)
    assert estimate(changed(data__size_px=512)).activations < base.activations / 3
    assert estimate(changed(adapter__mode="batch")).activations > base.activations


WIDE = {"num_attention_heads": 4, "attention_head_dim": 64, "axes_dims_rope": (16, 24, 24), "joint_attention_dim": 32}
WIDE |= {"in_channels": 384, "out_channels": 64, "pooled_projection_dim": 32, "guidance_embeds": True}


@pytest.mark.parametrize(("num_double", "num_single"), [(1, 2), (3, 1)])
@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_activations_are_what_autograd_keeps(num_double, num_single, mode, tmp_path):
    base = find_base("flux-fill")
    network = FluxTransformer2DModel(num_layers=num_double, num_single_layers=num_single, **WIDE)
    network.save_config(tmp_path / "transformer")
    changes = {"adapter.rank": 8, "adapter.mode": mode, "adapter.maps": (), "data.size_px": 256}
    config = with_changes(paper(), changes)
    adapt(network.to(torch.bfloat16), base, config.adapter_config())
    reckoned = estimate(config, str(tmp_path)).activations * 1e9
    assert kept_bytes(base, network, mode) == pytest.approx(reckoned, rel=0.08)


def test_what_is_recomputed_is_kept_as_its_inputs_only():
    """By the numbers of the real geometry: 57 blocks, 8704 tokens of 3072 numbers."""
    kept = {every: estimate(changed(compute__checkpoint_every_blocks=every)).activations for every in (0, 1, 2)}
    inputs_gb = 8704 * 3072 * 2 / 1e9
    block_gb = (22.3 * 3072 + 6 * 256) * 8704 * 2 / 1e9
    assert kept[0] - kept[1] == pytest.approx(56 * block_gb - 57 * inputs_gb)
    assert kept[0] - kept[2] == pytest.approx(28 * block_gb - 29 * inputs_gb)


def kept_bytes(base, network, mode):
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, 256, 64, generator=generator).bfloat16()
    context = torch.randn(1, 256, base.context_dim, generator=generator).bfloat16()
    text = Text(torch.zeros(1, 512, 32).bfloat16(), torch.zeros(1, 32).bfloat16(), torch.zeros(512, 3))
    condition = Condition(Contexts(context, context, None), None, text, (16, 16))
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        layers = predict_layers(base, network, noisy, noisy, condition, torch.tensor([0.5]), 1.0, mode)
    assert all(layer.requires_grad for layer in layers)
    return sum(storage.nbytes() for storage in kept.values())


def test_the_geometry_is_that_of_the_given_base(tmp_path):
    save_base(TinyFill().new(num_double=1, num_single=3), str(tmp_path))
    adapter = demo().adapter_config()
    assert network_size(adapter).num_blocks == 4
    assert network_size(adapter, str(tmp_path)).num_linear < network_size(adapter).num_linear
    assert estimate(demo(), on_gpu=False).total_gb < 2.5


def test_what_fits_is_the_mildest_change_of_each_kind_and_does_fit():
    found = what_fits(paper(), 90.0)
    assert found[0].changes == {"compute.checkpoint_every_blocks": 2}
    for suggestion in found:
        assert suggestion.total_gb <= 90.0
        assert estimate(with_changes(paper(), suggestion.changes)).total_gb == suggestion.total_gb
    assert "with compute.checkpoint_every_blocks = 2 it needs about" in str(found[0])


def test_several_changes_are_put_together_where_none_is_enough():
    (suggestion,) = what_fits(paper(), 40.0)
    assert (
        suggestion.changes == {"compute.checkpoint_every_blocks": 1, "optimiser.name": "adamw8bit"}
        or len(suggestion.changes) > 1
    )
    assert suggestion.total_gb <= 40.0


def test_a_smaller_micro_batch_keeps_the_batch():
    first = what_fits(changed(batch__micro_batch=4, batch__accumulation=2), 130.0)[0]
    assert first.changes == {"batch.micro_batch": 1, "batch.accumulation": 8}


def test_nothing_is_suggested_where_nothing_fits():
    assert what_fits(paper(), 5.0) == []


def test_an_estimate_says_that_it_is_one():
    assert "an estimate" in str(estimate(demo()))
