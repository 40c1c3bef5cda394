"""The gate as an asset: a worse, an equal and a better adapter, a leak, missing outputs, and the way back."""

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
import torch
from typer.testing import CliRunner

from commands import main as cli
from decoupage import AdapterConfig, LayerDecompositionPipeline
from evaluation.methods.models import adapter_facts
from pipelines import checks
from pipelines.stages.store import Store
from profiles.profile import Profile
from tests.assets_defs.small import make_base, materializations, run_job, small_profile
from tests.evaluation.gate.made_up import better, evaluation_files, names

LEAK = checks.CheckResult(False, "3 training assets are in evaluation too")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A root with data, and three published adapters of different weights on one base."""
    root = tmp_path_factory.mktemp("champion")
    profile = small_profile(root / "root", make_base(root / "base"))
    held_out = [dg.AssetKey("held_out_scenes")]
    with dg.DagsterInstance.ephemeral() as instance:
        assert run_job(profile, instance).success
        assert run_job(profile, instance, "evaluate", asset_selection=held_out).success
    for number in range(3):
        config = AdapterConfig(base="small-fill", rank=2, num_latents=4, fusion_dim=16, size_px=32)
        torch.manual_seed(number)
        pipe = LayerDecompositionPipeline.from_base(config, str(root / "base"))
        pipe.save_pretrained(root / f"adapter{number}")
    return root


@pytest.fixture
def root(world, tmp_path) -> Path:
    """A copy of the data, without any champion."""
    shutil.copytree(world / "root", tmp_path / "root")
    return tmp_path / "root"


def profile_of(root: Path, world: Path) -> Profile:
    return small_profile(root, world / "base")


def train(root: Path, adapter: Path, gains: dict[str, float], **more) -> None:
    """An adapter in training's place, and an evaluation with made-up scores in the report's."""
    folder = root / "training" / "adapter"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(adapter, folder / "export")
    (folder / "export.json").write_text(json.dumps({"recipe": adapter.name, "data": "data0"}))
    for name, data in evaluation_files(adapter_facts(str(adapter))["files"], gains, **more).items():
        Store(str(root)).write(f"report/{name}", data)


def decide(profile: Profile):
    """(materialization, checks) of the asset alone."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(profile, instance, "evaluate", asset_selection=[dg.AssetKey("champion")])
        assert result.success
        return materializations(result)["champion"], {e.check_name: e for e in result.get_asset_check_evaluations()}


def verdict(made: dg.AssetMaterialization) -> str:
    return made.metadata["verdict"].value


def test_from_the_first_champion_to_the_way_back(root, world):
    profile = profile_of(root, world)
    train(root, world / "adapter0", better(1.0))
    made, found = decide(profile)
    assert (made.metadata["decision"].value, made.metadata["champion"].value) == ("promoted", "v0001")
    assert "Promoted: v0001" in verdict(made)
    assert found["decided_for_a_reason"].passed and found["champion_is_whole"].passed
    demands = made.metadata["demands"].value.records
    assert demands[0].data["metric"] == "background.psnr_mask" and demands[0].data["met"] == "yes"
    assert (demands[0].data["must be"], demands[0].data["than"]) == ("better", "base")
    fingerprints = {record.data["name"]: record.data["value"] for record in made.metadata["fingerprints"].records}
    assert fingerprints["recipe"] == "adapter0"

    train(root, world / "adapter1", better(0.5))
    made, found = decide(profile)
    assert (made.metadata["decision"].value, made.metadata["champion"].value) == ("refused", "v0001")
    assert "worse: background.psnr_mask" in verdict(made) or "worse: background.psnr_whole" in verdict(made)
    assert found["decided_for_a_reason"].passed and "refused: " in found["decided_for_a_reason"].description

    train(root, world / "adapter1", better(1.0))
    made, _ = decide(profile)
    assert made.metadata["decision"].value == "refused" and "; not better: background.psnr_mask" in verdict(made)
    assert "; worse" not in verdict(made)

    train(root, world / "adapter2", better(2.0))
    made, _ = decide(profile)
    assert (made.metadata["decision"].value, made.metadata["champion"].value) == ("promoted", "v0002")
    again, _ = decide(profile)
    assert again.metadata["decision"].value == "refused" and "not better" in verdict(again)
    assert again.metadata["champion"].value == "v0002"

    done = CliRunner().invoke(cli.app, ["champion", "rollback", "--root", str(root), "--why", "halos"])
    assert done.exit_code == 0 and "v0001 is the champion again" in done.output
    made, _ = decide(profile)
    assert made.metadata["champion"].value == "v0001" and "a person rolled back" in verdict(made)
    shown = CliRunner().invoke(cli.app, ["champion", "show", "--root", str(root), "--json"])
    history = json.loads(shown.output)["history"]
    assert [event["kind"] for event in history] == [
        "promoted", "refused", "refused", "promoted", "refused", "rolled_back", "refused",
    ]  # fmt: skip
    LayerDecompositionPipeline.from_pretrained(json.loads(shown.output)["adapter"], str(world / "base"))


def test_a_leak_refuses(root, world, monkeypatch):
    train(root, world / "adapter0", better(2.0))
    monkeypatch.setattr(checks, "no_leak", lambda found: LEAK)
    made, _ = decide(profile_of(root, world))
    assert made.metadata["decision"].value == "refused" and made.metadata["champion"].value == "none"
    assert f"leak: {LEAK.sentence}" in verdict(made)
    assert not (root / "champion" / "current.json").exists()


def test_missing_outputs_refuse(root, world):
    train(root, world / "adapter0", better(2.0), failed=tuple(names()[:3]))
    made, _ = decide(profile_of(root, world))
    assert made.metadata["decision"].value == "refused" and "missing outputs: 3 of 24" in verdict(made)


def test_on_a_new_list_the_champion_is_judged_by_its_weights(root, world):
    """From a made-up list to the held-out scenes themselves: the real evaluation of both, of one and the same."""
    profile = profile_of(root, world)
    train(root, world / "adapter0", better(1.0))
    assert decide(profile)[0].metadata["champion"].value == "v0001"
    with dg.DagsterInstance.ephemeral() as instance:
        selected = [dg.AssetKey("evaluation"), dg.AssetKey("champion")]
        result = run_job(profile, instance, "evaluate", asset_selection=selected)
    made = materializations(result)["champion"]
    # The very weights of the champion, so neither a gain nor a loss on any metric that was measured. These scenes
    # have three photographs behind them, too few to decide anything.
    demands = [row.data for row in made.metadata["demands"].value.records]
    measured = [demand for demand in demands if demand["gain"] != "-" and demand["than"] == "v0001"]
    assert {demand["than"] for demand in demands} == {"base", "given_mask", "-", "v0001"}
    assert "background.psnr_mask" in {demand["metric"] for demand in measured}
    found = {demand["metric"]: (demand["gain"], demand["95 %"], demand["met"]) for demand in measured}
    assert set(found.values()) == {("+0", "[+0, +0]", "undecided")}
    assert made.metadata["decision"].value == "refused"
    assert "; undecided (too few photographs: 3" in verdict(made)
    assert "background.psnr_mask gains +0.00 dB over v0001, 95% in [+0.00, +0.00] (6 images, 3 photographs" in verdict(
        made
    )
    report = json.loads((root / "report" / "report.json").read_text())
    assert made.metadata["list_sha256"].value == report["list_sha256"]
    assert len(list((root / "champion" / "v0001" / "scores").iterdir())) == 2


def test_without_an_evaluation_it_says_what_is_missing(root, world):
    profile = profile_of(root, world)
    train(root, world / "adapter0", {})
    (root / "report" / "report.json").unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        options = {"asset_selection": [dg.AssetKey("champion")], "raise_on_error": False}
        result = run_job(profile, instance, "evaluate", **options)
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert "evaluate first" in (error.cause or error).message
