"""Memory estimates: against the reckoned table of the real geometry, and against what autograd really keeps."""

import pytest
import torch
from diffusers import FluxTransformer2DModel

from decoupage.adapter import adapt, trainable
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from decoupage.bases.spec import Text
from decoupage.contexts import Contexts
from decoupage.geometry import Size, network_size
from decoupage.sequences import Condition, predict_layers
from training.config import with_changes
from training.kept import kept_bytes
from training.memory import KEPT, estimate
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
        (changed(compute__compile=True), 100, 110),
        (changed(compute__compile=False), 118, 128),
        (changed(compute__compile=True, compute__checkpoint_every_blocks=1, batch__micro_batch=8), 74, 84),
        (changed(compute__compile=True, compute__checkpoint_every_blocks=2), 70, 80),
        (small_gpu(), 12, 24),
    ],
    ids=["one sample", "not compiled", "eight samples, all recomputed", "every second block", "small GPU"],
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


@pytest.mark.parametrize(("processes", "total_gb"), [(1, 106), (8, 110)])
def test_processes_that_share_nothing_hold_their_gradients_once_more(processes, total_gb):
    found = estimate(changed(compute__compile=True), num_processes=processes)
    assert found.exchange == (found.gradients if processes > 1 else 0)
    assert found.total_gb == pytest.approx(total_gb, abs=1)


def test_a_sharded_run_shares_out_all_but_activations():
    whole, config = estimate(changed(compute__compile=True)), changed(compute__compile=True, compute__sharded=True)
    shared = estimate(config, num_processes=8)
    for part in ("base", "trained", "gradients", "moments", "averages"):
        assert getattr(shared, part) == pytest.approx(getattr(whole, part) / 8)
    assert shared.activations == whole.activations
    # Two of the largest blocks whole: weights in bf16, LoRA and its gradients in fp32.
    assert shared.exchange == pytest.approx(2 * (339_831_296 * 2 + 2 * 28_311_552 * 4) / 1e9)
    assert estimate(config, num_processes=1) == whole
    # With more than one micro-batch an update, gradients stay whole until the last one.
    assert estimate(config, num_processes=4).gradients == whole.gradients


WIDE = {"num_attention_heads": 4, "attention_head_dim": 64, "axes_dims_rope": (16, 24, 24), "joint_attention_dim": 32}
WIDE |= {"in_channels": 384, "out_channels": 64, "pooled_projection_dim": 32, "guidance_embeds": True}


def network_of(num_double, num_single):
    return FluxTransformer2DModel(num_layers=num_double, num_single_layers=num_single, **WIDE).to(torch.bfloat16)


@pytest.mark.parametrize(("num_double", "num_single"), [(1, 2), (3, 1)])
@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_activations_are_what_autograd_keeps(num_double, num_single, mode, tmp_path):
    base, network = find_base("flux-fill"), network_of(num_double, num_single)
    network.save_config(tmp_path / "transformer")
    changes = {"adapter.rank": 8, "adapter.mode": mode, "adapter.maps": (), "data.size_px": 256}
    config = with_changes(paper(), changes | {"compute.compile": False})
    adapt(network, base, config.adapter_config())
    reckoned = estimate(config, str(tmp_path)).activations * 1e9
    assert kept_bytes(call(base, network, mode), network) == pytest.approx(reckoned, rel=0.08)


def test_a_block_keeps_what_is_said():
    """FLUX.1 has two single blocks for each double one, and so has the network of which the mean is taken."""
    assert (kept_by_blocks(1, 2) - outside_blocks()) / 3 == pytest.approx(KEPT["eager"], rel=0.02)


@pytest.mark.slow
def test_a_compiled_block_keeps_what_is_said():
    """The back end computes eagerly; what is saved is chosen by the partitioner that compiled runs have."""
    kept = kept_by_blocks(1, 2, "aot_eager_decomp_partition")
    assert (kept - outside_blocks()) / 3 == pytest.approx(KEPT["compiled"], rel=0.02)


def outside_blocks():
    return 3 * kept_by_blocks(1, 1) - kept_by_blocks(1, 2) - kept_by_blocks(2, 1)


def kept_by_blocks(num_double, num_single, backend=None):
    """Multiples of tokens x width that a network keeps, without LoRA's factors and the copies of its weights."""
    base, network = find_base("flux-fill"), network_of(num_double, num_single)
    adapt(network, base, changed(adapter__rank=8, adapter__maps=()).adapter_config())
    if backend:
        network.compile_repeated_blocks(backend=backend)
    copies = 2 * sum(parameter.numel() for parameter in trainable(network))
    lora = 6 * 8 * (num_double + num_single) * 1024 * 2
    return (kept_bytes(call(base, network, "joint"), network) - copies - lora) / (1024 * 256 * 2)


def call(base, network, mode):
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, 256, 64, generator=generator).bfloat16()
    context = torch.randn(1, 256, base.context_dim, generator=generator).bfloat16()
    text = Text(torch.zeros(1, 512, 32).bfloat16(), torch.zeros(1, 32).bfloat16(), torch.zeros(512, 3))
    condition = Condition(Contexts(context, context, None), None, text, (16, 16))
    return lambda: predict_layers(base, network, noisy, noisy, condition, torch.tensor([0.5]), 1.0, mode)


def test_what_is_recomputed_is_kept_as_its_inputs_only():
    """By the numbers of the real geometry: 57 blocks, 8704 tokens of 3072 numbers."""
    runs = {every: changed(compute__checkpoint_every_blocks=every, compute__compile=False) for every in (0, 1, 2)}
    kept = {every: estimate(run).activations for every, run in runs.items()}
    inputs_gb = 8704 * 3072 * 2 / 1e9
    block_gb = (23.8 * 3072 + 6 * 256) * 8704 * 2 / 1e9
    assert kept[0] - kept[1] == pytest.approx(56 * block_gb - 57 * inputs_gb)
    assert kept[0] - kept[2] == pytest.approx(28 * block_gb - 29 * inputs_gb)


def test_the_geometry_is_that_of_the_given_base(tmp_path):
    save_base(SmallFill().new(num_double=1, num_single=3), str(tmp_path))
    adapter = demo().adapter_config()
    assert network_size(adapter).num_blocks == 5
    size = network_size(adapter, str(tmp_path))
    assert isinstance(size, Size) and (size.num_blocks, size.num_double) == (4, 1)
    assert size.num_linear < network_size(adapter).num_linear
    assert estimate(demo(), on_gpu=False).total_gb < 2.5


def test_an_estimate_says_that_it_is_one():
    assert "an estimate" in str(estimate(demo()))
