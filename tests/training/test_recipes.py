import dataclasses
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from benchmarks.model_geometry import count_parameters
from decoupage.adapter import AdapterConfig, adapt, make_fusion
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill
from decoupage.maps.table import MAPS
from training.config import (
    AdapterSection,
    BatchConfig,
    OptimiserConfig,
    ScheduleConfig,
    TrainingConfig,
    with_changes,
)
from training.recipes import RECIPES, difference, find_recipe, paper

ABLATIONS = {
    "rank_128": ("adapter.rank", 128),
    "rank_1024": ("adapter.rank", 1024),
    "no_foreground_context": ("adapter.foreground_context", "background"),
    "no_fused_context": ("adapter.maps", ()),
    "no_edges": ("adapter.maps", ("segmentation", "depth")),
    "no_segmentation": ("adapter.maps", ("edges", "depth")),
    "no_depth": ("adapter.maps", ("edges", "segmentation")),
    "kontext_base": ("adapter.base", "flux-kontext"),
    "seed_1": ("seed", 1),
    "seed_2": ("seed", 2),
}
ON_SMALL_BASES = {
    "adapter.base",
    "adapter.rank",
    "adapter.num_latents",
    "adapter.fusion_dim",
    "adapter.num_inference_steps",
    "adapter.refine_masks",
    "optimiser.learning_rate",
    "optimiser.new_modules_factor",
    "schedule.kind",
    "schedule.num_steps",
    "schedule.warmup_steps",
    "batch.micro_batch",
    "batch.accumulation",
    "objective.pure_noise_share",
    "objective.hole_weight",
    "objective.pixels_weight",
    "data.size_px",
    "data.recolour_share",
    "data.validation_share",
    "compute.precision",
    "compute.compile",
    "compute.loader_workers",
    "output.save_every_steps",
    "output.sample_every_steps",
}
OTHERS = {
    "paper": set(),
    "paper_exact": {"optimiser.new_modules_factor"},
    "small_gpu": {
        "adapter.rank",
        "optimiser.name",
        "compute.base_quantisation",
        "compute.checkpoint_every_blocks",
        "compute.compile",
    },
    "small": ON_SMALL_BASES - {"schedule.warmup_steps"},
    "demo": ON_SMALL_BASES,
    "demo_from_scratch": ON_SMALL_BASES,
}


def test_the_paper_is_the_papers():
    run = paper()
    assert (run.adapter.base, run.adapter.rank, run.batch.size) == ("flux-fill", 256, 8)
    assert (run.optimiser.learning_rate, run.schedule.num_steps, run.data.size_px) == (5e-5, 7200, 1024)
    assert (run.optimiser.betas, run.optimiser.weight_decay, run.optimiser.max_grad_norm) == ((0.9, 0.999), 1e-2, 1.0)
    assert (run.schedule.kind, run.schedule.warmup_steps, run.ema_decay) == ("constant", 100, 0.999)
    assert (run.objective.guidance, run.objective.modality_dropout) == (1.0, 0.1)
    assert run.objective.recomposition_weight == 0.0
    assert run.optimiser.new_modules_factor == 10.0  # Ours.
    assert find_recipe("paper_exact").optimiser.new_modules_factor == 1.0


def test_blocks_are_compiled_where_a_run_takes_hours():
    compiled = {name for name in RECIPES if find_recipe(name).compute.compile}
    assert compiled == {"paper", "paper_exact", *ABLATIONS}


def test_every_recipe_has_its_difference_written_down():
    assert set(RECIPES) == {*ABLATIONS, *OTHERS}


@pytest.mark.parametrize("name", RECIPES)
def test_difference_from_the_paper(name):
    """Printed with `pytest -s`."""
    found = difference(paper(), find_recipe(name))
    print(f"\n{name}", *(f"  {key}: {theirs!r} -> {ours!r}" for key, (theirs, ours) in found.items()), sep="\n")
    if name in ABLATIONS:
        key, value = ABLATIONS[name]
        assert {key: value} == {key: ours for key, (_, ours) in found.items()}
    else:
        assert set(found) == OTHERS[name]


def test_recipes_have_fingerprints_of_their_own():
    assert len({find_recipe(name).fingerprint() for name in RECIPES}) == len(RECIPES)


def test_small_gpu_keeps_to_its_memory():
    run = find_recipe("small_gpu")
    assert run.needs_gpu
    assert run.adapter.rank <= 128 and run.batch.micro_batch == 1 and run.batch.size == paper().batch.size
    assert not find_recipe("demo").needs_gpu


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no recipe 'papre'; known: paper, paper_exact, rank_128"):
        find_recipe("papre")


def test_adapter_section_is_the_adapters_config():
    assert TrainingConfig().adapter_config() == AdapterConfig()
    # Measured at the end of a run, not asked for at its start.
    measured = {"size_px", "alpha_levels", "map_makers", "map_picture_px"}
    assert {*AdapterSection.model_fields, *measured} == {field.name for field in dataclasses.fields(AdapterConfig)}
    assert AdapterSection().maps == tuple(MAPS)


@pytest.mark.parametrize("name", RECIPES)
def test_bases_and_sizes_exist(name):
    run = find_recipe(name)
    base = find_base(run.adapter_config().base)
    assert run.data.size_px % base.pixel_multiple == 0


@pytest.mark.parametrize("name", ["no_fused_context", "no_edges", "demo"])
def test_adapters_of_recipes_can_be_made_on_the_small_base(name):
    torch.manual_seed(0)
    base = SmallFill()
    network = base.new()["transformer"]
    run = with_changes(find_recipe(name), {"adapter.base": base.name, "adapter.rank": 4})
    adapter = run.adapter_config()
    adapt(network, base, adapter)
    fusion = make_fusion(base, adapter)
    assert count_parameters(network, base)["lora_parameters"] > 0
    assert network.config.in_channels == (770 if name == "no_fused_context" else 1026)
    assert (fusion.modalities if fusion else ()) == run.adapter.maps


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("compute.compile", False),
        ("compute.checkpoint_every_blocks", 2),
        ("output.save_every_steps", 7),
        ("output.sample_every_steps", 0),
        ("output.keep_last", 9),
        ("data.max_unreadable_share", 0.5),
    ],
)
def test_fingerprint_is_blind_to_what_does_not_decide_weights(key, value):
    changed = with_changes(paper(), {key: value})
    assert changed != paper()
    assert changed.fingerprint() == paper().fingerprint()


def test_fingerprint_knows_the_batch_and_not_its_split():
    split = with_changes(paper(), {"batch.micro_batch": 4, "batch.accumulation": 2})
    assert split.fingerprint() == paper().fingerprint()
    assert with_changes(split, {"batch.accumulation": 4}).fingerprint() != paper().fingerprint()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("ema_decay", 0.0),
        ("compute.precision", "fp32"),
        ("compute.base_quantisation", "int8"),
        ("data.flip", False),
        ("data.redraw_masks", False),
        ("optimiser.name", "adamw8bit"),
        ("optimiser.new_modules_factor", 1.0),
        ("schedule.kind", "cosine"),
        ("objective.guidance", 30.0),
        ("objective.recomposition_weight", 0.1),
    ],
)
def test_fingerprint_sees_what_decides_weights(key, value):
    assert with_changes(paper(), {key: value}).fingerprint() != paper().fingerprint()


def test_fingerprint_survives_writing_and_reading():
    run = find_recipe("no_depth")
    assert TrainingConfig.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("adapter.rank", 0, "adapter.rank must be greater than or equal to 1, got 0"),
        ("adapter.fusion_dim", 63, "adapter.fusion_dim must be a multiple of 8, got 63"),
        ("optimiser.name", "sgd", "optimiser.name must be 'adamw' or 'adamw8bit', got 'sgd'"),
        ("optimiser.learning_rate", float("nan"), "optimiser.learning_rate must be .*, got nan"),
        ("objective.guidance", float("inf"), "objective.guidance must be .*, got inf"),
        ("schedule.warmup_steps", 7200, r"schedule.warmup_steps must be below num_steps \(7200\), got 7200"),
        ("adapter.maps", ("depth", "depth"), "adapter.maps must name each map once"),
        ("data.flipp", True, "unknown key data.flipp"),
        ("seed.deep", 1, "unknown key seed.deep"),
    ],
)
def test_impossible_values_are_named(key, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        with_changes(paper(), {key: value})


def test_sections_are_frozen_and_closed():
    with pytest.raises(ValidationError):
        paper().seed = 3
    with pytest.raises(ValidationError, match="lr"):
        OptimiserConfig(lr=1e-4)


def test_two_changes_are_judged_together():
    assert with_changes(paper(), {"schedule.num_steps": 50, "schedule.warmup_steps": 5}).schedule == ScheduleConfig(
        num_steps=50, warmup_steps=5
    )


def test_the_batch_is_the_same_on_any_number_of_processes():
    batch = BatchConfig(micro_batch=2, accumulation=4)
    assert [batch.accumulation_for(n) for n in (1, 2, 4)] == [4, 2, 1]
    with pytest.raises(ValueError, match=r"multiple of the number of processes \(3\), got 4"):
        batch.accumulation_for(3)


def test_recipes_load_without_torch():
    program = "import sys, training.recipes as r; r.find_recipe('paper').fingerprint(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
