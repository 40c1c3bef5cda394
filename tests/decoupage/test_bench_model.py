"""The model's benchmark: its counts are those of a formula, and everything it would time on a GPU runs."""

import pytest
import torch

from benchmarks import bench_model, model_timing
from benchmarks.model_geometry import FLUX_FILL, Geometry
from benchmarks.model_timing import CHECKPOINTED, USUAL, Option, Phase
from benchmarks.pipeline_timing import time_pipeline
from decoupage.adapter import AdapterConfig

torch.set_num_threads(1)

TINY = Geometry(
    transformer={
        "in_channels": 384,
        "out_channels": 64,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "guidance_embeds": True,
        "axes_dims_rope": (4, 4, 8),
    },
    vae={
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (8, 8, 8, 8),
        "layers_per_block": 1,
        "latent_channels": 16,
        "norm_num_groups": 4,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    size_px=32,
    text_tokens=8,
    adapter=AdapterConfig(rank=4, num_latents=4, fusion_dim=32),
)


def formula_tflop(geometry, num_tokens, training):
    """Base, LoRA and attention of one sequence, from the sizes of a block alone.

    Every token passes 12 d^2 weights a block, of either kind: queries, keys, values and output d^2 each and 8 d^2 of
    feed-forward. LoRA adds r (in + out) for each of these products.
    """
    config, rank = geometry.transformer, geometry.adapter.rank
    dim = config["attention_head_dim"] * config["num_attention_heads"]
    double, single = config["num_layers"], config["num_single_layers"]
    length = num_tokens + geometry.text_tokens
    base = 2 * 12 * dim**2 * (double + single) * length
    lora = 2 * rank * (18 * double + 17 * single) * dim * length
    attention = 4 * length**2 * dim * (double + single)
    # Backward: activations' gradients everywhere, weights' only of the LoRA; attention has two operands.
    passes = (2, 3, 3) if training else (1, 1, 1)
    return sum(n * part for n, part in zip(passes, (base, lora, attention), strict=True)) / 1e12


@pytest.fixture(scope="module")
def real():
    # One block of each kind at full width and length: the count is linear in the blocks, and this takes a second.
    return Geometry(transformer={**FLUX_FILL, "num_layers": 1, "num_single_layers": 2})


@pytest.fixture(scope="module")
def counts(real):
    return bench_model.count(real)


@pytest.mark.parametrize("training", [False, True])
def test_counted_operations_are_those_of_the_formula(real, counts, training):
    kind = "training" if training else "forward"
    joint, batch = formula_tflop(real, 8192, training), 2 * formula_tflop(real, 4096, training)
    # What the formula leaves out (projections in and out, modulation) weighs more over three blocks than over 57.
    assert counts[f"{kind}_tflop_joint"] == pytest.approx(joint, rel=0.02)
    assert counts[f"{kind}_tflop_batch"] == pytest.approx(batch, rel=0.02)


@pytest.mark.slow
def test_compiled_blocks_run_in_training_and_sampling():
    training = Phase(True, True, torch.float32, (USUAL, CHECKPOINTED))
    sampling = Phase(False, True, torch.bfloat16, (USUAL,))
    figures, notes = model_timing.time_network(TINY, "cpu", 1, {False: 1.0, True: 3.0}, 989.0, (training, sampling))
    assert notes == {}
    assert figures["forward_backward_compiled_checkpointed_ms"] > 0 and figures["forward_compiled_ms"] > 0


@pytest.mark.slow
def test_real_network_at_1024_px():
    counts, geometry = bench_model.count(Geometry()), Geometry()
    assert counts["forward_tflop_joint"] == pytest.approx(179.0, abs=0.05)
    assert counts["training_tflop_joint"] == pytest.approx(424.5, abs=0.1)
    for kind in ("forward", "training"):
        training = kind == "training"
        joint, batch = formula_tflop(geometry, 8192, training), 2 * formula_tflop(geometry, 4096, training)
        assert counts[f"{kind}_tflop_joint"] == pytest.approx(joint, rel=0.005)
        assert counts[f"{kind}_tflop_batch"] == pytest.approx(batch, rel=0.005)
    assert counts["lora_modules"] == 418
    assert counts["lora_parameters"] == 1_045_954_560
    assert counts["projection_parameters"] == 1_382_400


def test_fusion_costs_next_to_nothing(counts):
    assert counts["fusion_parameters"] < 20e6
    assert counts["fusion_gflop"] < 50


PHASES = (
    Phase(True, False, torch.float32, (USUAL, CHECKPOINTED, Option(attention="math"))),
    Phase(False, False, torch.bfloat16, (USUAL,)),
)


def test_every_run_has_its_figures():
    figures, notes = model_timing.time_network(TINY, "cpu", 1, {False: 1.0, True: 3.0}, 989.0, PHASES)
    assert list(figures) == model_timing.figure_names(PHASES) and notes == {}
    for name in ("forward_backward", "forward_backward_checkpointed", "forward_backward_math", "forward"):
        assert figures[f"{name}_ms"] > 0
        assert figures[f"{name}_peak_gb"] is None
    # 3 TFLOP in so many ms, of 989 TFLOP/s.
    expected = 100 * 3.0 / (figures["forward_backward_ms"] / 1000) / 989
    assert figures["forward_backward_mfu_percent"] == pytest.approx(expected)


def test_a_run_without_enough_memory_leaves_a_note_and_the_others_go_on(monkeypatch):
    true = model_timing.backward

    def backward(network, predicted):
        if not network.gradient_checkpointing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        true(network, predicted)

    monkeypatch.setattr(model_timing, "backward", backward)
    figures, notes = model_timing.time_network(TINY, "cpu", 1, {False: 1.0, True: 3.0}, 989.0, PHASES)
    assert notes == {"forward_backward": "out of memory", "forward_backward_math": "out of memory"}
    assert figures["forward_backward_ms"] is None and figures["forward_backward_checkpointed_ms"] > 0


def test_a_kernel_that_cannot_be_had_leaves_a_note():
    phase = Phase(False, False, torch.bfloat16, (Option(attention="cudnn"), USUAL))
    figures, notes = model_timing.time_network(TINY, "cpu", 1, {False: 1.0}, 989.0, (phase,))
    assert list(notes) == ["forward_cudnn"] and notes["forward_cudnn"].startswith("no cudnn attention: ")
    assert figures["forward_cudnn_ms"] is None and figures["forward_ms"] > 0


def test_a_fault_of_another_kind_is_not_hidden(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(model_timing, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        model_timing.time_network(TINY, "cpu", 1, {False: 1.0, True: 3.0}, 989.0, PHASES)


def test_pipeline_is_timed_against_bare_calls():
    figures = time_pipeline(TINY, "cpu", steps=2, repeats=1, dtype=torch.float32)
    assert 0 < figures["bare_calls_s"] < figures["pipeline_s"]


def test_without_a_gpu_times_are_null_and_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    figures = bench_model.measure(TINY, steps=2, repeats=1, peak_tflops=989.0)
    missing = figures["not_measured"]
    assert {"forward_backward_compiled_ms", "forward_cudnn_mfu_percent", "pipeline_to_bare_calls_ratio"} <= set(missing)
    assert all(figures[name] is None for name in missing)
    assert figures["gpu"] == "none" and figures["lora_modules"] == 12 + 5


def test_size_must_fit_the_base():
    with pytest.raises(ValueError, match=r"size_px must be a multiple of 16, got 1000"):
        Geometry(size_px=1000)
