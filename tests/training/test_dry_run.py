"""A dry run says what is missing, what a run takes and what its first step looks like, and runs the recipe in small."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from commands.main import app
from decoupage.bases.small import SmallFill
from decoupage.rgba_vae import widen_vae
from pipelines.synthetic import FakeScenes, build_dataset
from training.config import with_changes
from training.costs import RGBA_VAE_FLOP, sample_flop
from training.dry_run import missing, rehearsal
from training.dry_run.first_step import first_step
from training.dry_run.missing import requirements
from training.dry_run.rehearsal import rehearse, small
from training.dry_run.report import dry_run
from training.fitting import estimate
from training.preflight import disk_gb_of
from training.recipes import ALL, find_recipe, paper
from training.run import RunPlan


@pytest.fixture(scope="module")
def found():
    return dry_run(RunPlan("paper", Path("runs/paper")))


def test_what_is_missing_is_named_with_what_gets_it(found):
    fixes = {requirement.name: requirement.fix for requirement in found.missing}
    assert {"data", "RGBA VAE"} <= set(fixes)
    assert "decoupage train rgba_vae" in fixes["RGBA VAE"] and "--data" in fixes["data"]
    if "weights" in fixes:
        assert "hf download black-forest-labs/FLUX.1-Fill-dev" in fixes["weights"]
        command = next(line for line in found.to_text().splitlines() if "hf download" in line)
        assert command.strip().startswith("hf download") and command.endswith("--include '*/*'")
    assert not found.is_ready


def test_libraries_of_a_small_gpus_run_are_named_once():
    plan = RunPlan("small_gpu", Path("runs"))
    named = [one for one in requirements(plan, plan.config(), torch.device("cpu")) if one.name == "bitsandbytes"]
    assert [one.found for one in named] == ["for compute.base_quantisation = nf4 and optimiser.name = adamw8bit"]


def test_on_a_gpu_its_own_memory_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(missing, "free_gb", lambda device: 84.0)
    plan = RunPlan("paper", Path("runs"), changes={"compute.compile": True})
    named = {one.name: one for one in requirements(plan, plan.config(), torch.device("cuda"))}
    assert named["GPU"].present and named["GPU"].found == "a card"
    assert named["memory"].found == "about 106 GB by estimate, 84 GB are free"
    assert named["memory"].fix == "with compute.checkpoint_every_blocks = 2 it needs about 79 GB"


def test_figures_are_those_of_the_estimates(found):
    assert found.memory == estimate(paper())
    assert (found.checkpoints_gb, found.export_gb) == disk_gb_of(paper())
    assert found.num_trained == 1_065_538_112
    assert found.step.tflop == pytest.approx(
        (sample_flop(paper()).training + sample_flop(paper()).encoding) / 1e12, rel=1e-2
    )
    assert [row.card.memory_gb for row in found.cards[::2]] == [24, 48, 80, 96, 141]


def test_the_first_step_has_the_shapes_of_the_real_size(found):
    shapes = found.step.shapes
    assert shapes["noisy tokens of both halves"] == "2 x [1, 4096, 64]"
    assert shapes["context tokens of both halves"] == "2 x [1, 4096, 320]"
    assert shapes["fused context"] == "[1, 4096, 64]"
    assert shapes["input projection [3072, 450]"] == "[1, 8192, 450] to [1, 8192, 3072]"
    assert shapes["LoRA of 38 layers: 15360 to 3072"] == "[256, 15360], [3072, 256]"
    assert shapes["predictions of both halves"] == "2 x [1, 4096, 64]"
    order = list(shapes)
    assert order.index("latents of the picture") < order.index("fused context") < order.index("loss")


def test_the_recipe_runs_in_small_from_data_to_export(found):
    small_run = found.rehearsal
    assert not small_run.fault and "small-fill instead of flux-fill" in small_run.stand_in
    assert "adapter.loss = " in small_run.done["one update"] and "adapter.safetensors" in small_run.done["checkpoint"]
    assert small_run.done["read back"] == "step 1"
    assert small_run.done["export"] == "loads as LayerDecompositionPipeline"


def test_it_is_printed_for_a_person_and_for_a_script(found):
    text, values = found.to_text(), json.loads(found.to_json())
    for title in ("requirements", "memory of the recipe", "the fastest settings that fit", "disk (GB)", "small run"):
        assert f"\n{title}" in text
    assert text.splitlines()[-1].startswith("missing: ") and "stand-in" in text
    assert values["missing"] == [requirement.name for requirement in found.missing]
    assert values["cards"][0]["fits"] and values["memory_gb"]["total"] == found.memory.total_gb


def test_the_training_page_shows_what_is_printed(found):
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    shown = page.partition("```\ndry run of paper\n")[2].partition("```")[0].splitlines()
    assert len(shown) > 15
    assert set(shown) - {"..."} <= set(found.to_text().splitlines())


def test_the_command_ends_with_1_where_something_is_missing_and_with_0_where_nothing_is(tmp_path):
    build_dataset(tmp_path / "data", FakeScenes(num_scenes=8, scenes_per_shard=8, size_px=128))
    widen_vae(SmallFill().load()["vae"]).save_pretrained(tmp_path / "vae")
    words = ["train", "demo", "--dry-run", "--out", str(tmp_path / "run"), "--data", str(tmp_path / "data")]
    short = CliRunner().invoke(app, words)
    assert short.exit_code == 1 and "missing: RGBA VAE" in short.output
    whole = CliRunner().invoke(app, [*words, "--rgba-vae", str(tmp_path / "vae"), "--json"])
    values = json.loads(whole.stdout)
    assert whole.exit_code == 0 and values["missing"] == [] and values["rehearsal"]["fault"] == ""
    assert not (tmp_path / "run").exists()


def test_a_small_run_that_fails_is_a_fault_with_its_reason(monkeypatch):
    monkeypatch.setattr(rehearsal, "FakeScenes", lambda **options: FakeScenes(**{**options, "size_px": 32}))
    failed = rehearse(RunPlan("demo", Path("runs")), find_recipe("demo"))
    assert "scenes of 32x32 px" in failed.fault and "one update" not in failed.done


def test_the_rgba_vae_and_its_adversary_run_in_small():
    config = find_recipe("rgba_vae")
    done = rehearse(RunPlan("rgba_vae", Path("runs")), config).done
    assert "discriminator.loss" in done["one update"] and done["export"] == "loads as SmallCodec of four channels"
    step = first_step(config)
    assert step.shapes["decoded"] == "[1, 4, 1024, 1024]"
    assert 0.8 * RGBA_VAE_FLOP < step.tflop * 1e12 / 1024**2 < RGBA_VAE_FLOP


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_has_a_small_form_that_keeps_what_tells_it_apart(name):
    config = find_recipe(name)
    form = small(config)
    assert form.schedule.num_steps == 1 and not form.needs_gpu and not form.compute.compile
    if hasattr(config, "objective"):
        assert form.objective == config.objective
    if hasattr(config, "adapter"):
        assert (form.adapter.mode, form.adapter.maps) == (config.adapter.mode, config.adapter.maps)
        assert form.adapter.foreground_context == config.adapter.foreground_context


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_recipe_runs_dry(name):
    found = dry_run(RunPlan(name, Path("runs")))
    assert not found.rehearsal.fault and found.rehearsal.done["read back"] == "step 1"


@pytest.mark.slow
def test_a_base_that_takes_its_context_in_sequence_has_a_first_step():
    step = first_step(with_changes(paper(), {"adapter.base": "flux-kontext-native"}))
    assert step.shapes["first FluxSingleTransformerBlock"].endswith("[1, 12288, 3072]")
