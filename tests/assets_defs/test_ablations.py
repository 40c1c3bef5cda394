"""Ablations as assets and as a command: two rows trained, judged and compared; one that cannot be; nothing twice."""

import json
import sys
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets_defs.ablations import plan_row
from assets_defs.definitions import build_defs
from assets_defs.plan import Plan
from commands import main as cli
from tests.assets_defs.small import make_base, materializations, run_job, small_profile
from training.data import open_index
from training.journal import read_metrics

pytestmark = pytest.mark.slow  # Five trainings, of two steps each.

OWN_DATA = "no_generated_foregrounds"
CHANGES = '{"schedule.num_steps" = 2}'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(profile, instance) with a dataset, an RGBA VAE and held-out scenes."""
    root = tmp_path_factory.mktemp("ablations")
    profile = small_profile(root / "root", make_base(root / "base"), evaluation__ablations__changes=CHANGES)
    instance = dg.DagsterInstance.ephemeral()
    assert run_job(profile, instance).success
    for job, assets in (("train", ["base_model", "rgba_vae"]), ("evaluate", ["held_out_scenes"])):
        selected = [dg.AssetKey(name) for name in assets]
        assert run_job(profile, instance, job, asset_selection=selected).success
    return profile, instance


def row(profile, instance, name):
    job = build_defs(profile, dg.in_process_executor).resolve_job_def("ablate")
    result = job.execute_in_process(instance=instance, partition_key=name)
    assert result.success
    return materializations(result)


def table_of(profile):
    table = json.loads((Path(profile.root) / "ablations" / "table.json").read_text())
    return {row["row"]: row for row in table["rows"]}


@pytest.fixture
def command(world, monkeypatch, capsys):
    """Runs `decoupage ablations` on the same profile; gives (exit status, standard output, standard error)."""
    profile, _ = world
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr("commands.main.load_permitted", lambda name, root: profile)

    def command(*options):
        monkeypatch.setattr(sys, "argv", ["decoupage", "ablations", *options])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return command


def test_one_command_trains_two_rows_apart_and_compares_them_in_one_table(world, command):
    profile, _ = world
    status, out, err = command("paper", "no_fused_context", "--json")
    assert status == 0, err
    rows = {row["row"]: row for row in json.loads(out)["rows"]}
    assert rows == table_of(profile)
    assert rows["no_fused_context"]["differences"]["background.psnr_mask"]["num_images"] >= 3
    assert rows["no_fused_context"]["changes"] == {"adapter.maps": []} and rows["no_fused_context"]["note"] == ""
    assert rows["no_depth"]["status"] == "not_trained"
    folders = [Path(profile.root) / "training" / "ablations" / name for name in ("paper", "no_fused_context")]
    assert [len(read_metrics(next((folder / "runs").iterdir()))) for folder in folders] == [2, 2]
    exports = [json.loads((folder / "export" / "adapter.json").read_text()) for folder in folders]
    assert exports[0]["adapter"]["maps"] and not exports[1]["adapter"]["maps"]
    assert not (folders[1] / "export" / "fusion").exists()
    assert not (Path(profile.root) / "training" / "adapter").exists()


def test_a_row_that_is_there_is_not_trained_again(world):
    profile, instance = world
    made = row(profile, instance, "paper")
    assert made["ablations"].metadata["status"].value == "unchanged" and made["ablations"].partition == "paper"
    assert made["ablation_table"].metadata["rows_judged"].value == 2
    assert made["ablation_table"].metadata["table"].value.startswith("# Ablations")


def test_a_row_without_generated_foregrounds_has_data_of_its_own(world, command):
    profile, instance = world
    job = build_defs(profile, dg.in_process_executor).resolve_job_def("ablate")
    alone = job.execute_in_process(instance=instance, partition_key=OWN_DATA, raise_on_error=False)
    (failed,) = [event for event in alone.all_node_events if event.is_step_failure]
    assert "materialize real_only_scenes first" in str(failed.step_failure_data.error)
    status, out, err = command(OWN_DATA, "--json")
    assert status == 0, err
    assert err.index("making its data") < err.index("training and judging")
    found = {row["row"]: row for row in json.loads(out)["rows"]}[OWN_DATA]
    assert found["differences"]["background.psnr_mask"]["num_images"] >= 3
    assert found["changes"] == {"scenes.generated_share": 0.0} and "intentionally" in found["note"]
    own, full = (open_index(str(Path(profile.root, *folder))) for folder in (("real_only",), ()))
    assert list(own.keys) == list(full.keys) and own.num_triplets == full.num_triplets
    assert kinds(profile, "real_only/shards") == {"real"} < kinds(profile, "shards")
    plan = json.loads(Path(profile.root, "training/ablations", OWN_DATA, "plan.json").read_text())
    assert plan["data"] == [f"{profile.root}/real_only/shards"]


def kinds(profile, folder):
    tables = [pq.read_table(path) for path in Path(profile.root, folder).glob("*.parquet")]
    return {kind for table in tables for kind in table["foreground_kind"].to_pylist()}


def test_a_row_that_cannot_be_says_why(world):
    profile, instance = world
    made = row(profile, instance, "kontext_base")["ablations"]
    assert made.metadata["status"].value == "does not apply" and "small-fill" in made.metadata["why"].value
    assert "small-fill" in table_of(profile)["kontext_base"]["note"]


def test_without_common_changes_the_full_row_is_the_adapter_itself(world):
    profile, _ = world
    assert plan_row(Plan(profile), "paper").folder == "ablations/paper"
    settings = profile.evaluation.ablations.model_copy(update={"changes": {}})
    same = profile.model_copy(update={"evaluation": profile.evaluation.model_copy(update={"ablations": settings})})
    assert plan_row(Plan(same), "paper").folder == "adapter"
    assert plan_row(Plan(same), "no_depth").folder == "ablations/no_depth"


def test_a_wrong_change_is_named_before_anything_starts(world):
    profile, _ = world
    settings = profile.evaluation.ablations.model_copy(update={"changes": {"schedule.num_stepz": 3}})
    wrong = profile.model_copy(update={"evaluation": profile.evaluation.model_copy(update={"ablations": settings})})
    with pytest.raises(ValueError, match=r"evaluation\.ablations\.changes: unknown key schedule\.num_stepz"):
        build_defs(wrong)


def test_the_command_knows_its_rows_and_prints_the_table(command):
    status, _, err = command("no_luck")
    assert status == 2 and "known: paper" in err
    status, out, _ = command("kontext_base")
    assert status == 0 and out.startswith("# Ablations") and "paper: PSNR" in out
