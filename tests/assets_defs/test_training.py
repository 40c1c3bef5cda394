"""Training and evaluation as assets: from photographs to a judged adapter; cancelled, taken up, refused."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest

from assets_defs import training
from assets_defs.processes import run_process
from assets_defs.training_unchanged import ASKED
from pipelines.stages.store import Store
from tests.assets_defs.small import make_base, materializations, run_job, small_profile
from tests.warm.python import PYTHON
from training.journal import read_metrics

TRAINED = ("rgba_vae", "adapter")


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """(profile, instance, result) of one run over all assets."""
    root = tmp_path_factory.mktemp("everything")
    profile = small_profile(root / "root", make_base(root / "base"))
    instance = dg.DagsterInstance.ephemeral()
    return profile, instance, run_job(profile, instance, "everything")


@pytest.fixture(autouse=True)
def _later_processes_are_warm(everything, monkeypatch):
    """That Python itself starts them, the run over all assets has shown."""
    monkeypatch.setattr(sys, "executable", PYTHON)


def child_processes() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_one_run_goes_from_photographs_to_a_judged_adapter(everything):
    profile, _, result = everything
    assert result.success
    made = materializations(result)
    for name in TRAINED:
        metadata = made[name].metadata
        assert metadata["status"].value == "done" and metadata["step"].value == metadata["num_steps"].value == 3
        assert {"loss", "validation_loss", "best_validation_loss", "figures", "checkpoint"} <= set(metadata)
        assert {"recipe", "data", "base"} <= {row.data["name"] for row in metadata["identity"].records}
        assert "nothing_to_do" not in metadata
        assert "data:image/jpeg" in metadata["loss_curve"].value and "data:image/jpeg" in metadata["preview"].value
        assert Path(metadata["export"].value).is_dir() and Path(metadata["tensorboard"].value).is_dir()
    report = json.loads((Path(profile.root) / "report" / "report.json").read_text())
    assert {"adapter", "base", "telea", "given_mask"} <= set(report["methods"])
    assert (Path(profile.root) / "report" / "answer.png").is_file()
    found = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert found["opaque_pictures_kept"].passed and found["opaque_pictures_kept"].blocking
    assert found["no_origin_in_both_splits"].passed and found["no_origin_in_both_splits"].blocking
    assert found["every_output_there"].passed
    # Three steps teach nothing: the check says so, and stops nobody.
    assert not found["alpha_beats_given_mask"].passed and not found["alpha_beats_given_mask"].blocking
    assert found["alpha_beats_given_mask"].severity == dg.AssetCheckSeverity.WARN
    assert found["alpha_beats_given_mask"].description.startswith("undecided (too few photographs: ")


def test_losses_appear_in_the_run_while_it_trains(everything):
    _, instance, result = everything
    lines = [entry.user_message for entry in instance.all_logs(result.run_id) if entry.step_key == "adapter"]
    assert any("step 3 of 3" in line and "adapter.loss" in line for line in lines)


def test_training_again_does_nothing_and_changes_no_version(everything, monkeypatch):
    profile, instance, result = everything
    before = materializations(result)
    started = []
    monkeypatch.setattr(training, "run_process", lambda *asked: started.append(1) or run_process(*asked))
    again = run_job(profile, instance, "train")
    assert again.success and not started
    for name in TRAINED:
        now = materializations(again)[name]
        assert now.metadata["status"].value == "unchanged"
        assert f"remove {Path(profile.root) / 'training' / name}" in now.metadata["nothing_to_do"].value
        assert now.tags["dagster/data_version"] == before[name].tags["dagster/data_version"]
        (Path(profile.root) / "training" / name / ASKED).unlink()
    # Without that memory the process looks itself, and finds nothing to do either.
    once_more = run_job(profile, instance, "train")
    assert once_more.success and len(started) == 2
    for name in TRAINED:
        now = materializations(once_more)[name]
        assert now.metadata["status"].value == "unchanged"
        assert now.tags["dagster/data_version"] == before[name].tags["dagster/data_version"]
    base = [run["base_model"].tags["dagster/data_version"] for run in (before, materializations(again))]
    assert base[0] == base[1]


def test_an_interrupted_run_is_not_materialized_and_goes_on_the_next_time(everything):
    profile, instance, _ = everything
    changes = dict(profile.training.changes) | {"schedule.num_steps": 40, "output.save_every_steps": 1000}
    longer = profile.model_copy(update={"training": profile.training.model_copy(update={"changes": changes})})
    runs = Path(profile.root) / "training" / "adapter" / "runs"
    before = set(runs.iterdir())

    def interrupt() -> None:
        """Once the new run has made a few steps."""
        deadline_s = time.monotonic() + 120
        while time.monotonic() < deadline_s:
            if any(len(read_metrics(folder)) >= 3 for folder in set(runs.iterdir()) - before):
                for child in child_processes():
                    if "training_process" in Path(f"/proc/{child}/cmdline").read_text():
                        os.kill(child, signal.SIGINT)
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    selected = {"asset_selection": [dg.AssetKey("adapter")], "raise_on_error": False}
    first = run_job(longer, instance, "train", **selected)
    watcher.join()
    assert not first.success and "adapter" not in materializations(first)
    error = first.get_step_failure_events()[0].step_failure_data.error
    assert "the next materialization continues from there" in (error.cause or error).message
    (run,) = set(runs.iterdir()) - before
    left_at = len(read_metrics(run))
    assert 3 <= left_at < 40 and (run / "checkpoints" / f"{left_at:07d}").is_dir()
    second = run_job(longer, instance, "train", **selected)
    assert second.success
    assert materializations(second)["adapter"].metadata["step"].value == 40
    assert [line["step"] for line in read_metrics(run)] == list(range(1, 41))


def test_an_rgba_vae_that_spoils_opaque_pictures_stops_the_adapter(everything, tmp_path):
    profile, instance, _ = everything
    root = shutil.copytree(profile.root, tmp_path / "root")
    changes = dict(profile.training.rgba_vae_changes) | {"optimiser.learning_rate": 0.5}
    section = profile.training.model_copy(update={"rgba_vae_changes": changes})
    spoilt = profile.model_copy(update={"training": section, "root": str(root)})
    selected = {"asset_selection": [dg.AssetKey("rgba_vae"), dg.AssetKey("adapter")], "raise_on_error": False}
    result = run_job(spoilt, instance, "train", **selected)
    assert not result.success and set(materializations(result)) == {"rgba_vae"}
    (found,) = result.get_asset_check_evaluations()
    assert not found.passed and "at most 0.3 dB are allowed" in found.description


def test_absent_weights_stop_before_anything_is_trained(everything, tmp_path):
    profile, instance, _ = everything
    section = profile.training.model_copy(update={"base": str(tmp_path / "nowhere")})
    result = run_job(profile.model_copy(update={"training": section}), instance, "train", raise_on_error=False)
    assert not result.success and materializations(result) == {}
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert "nowhere" in (error.cause or error).message


@pytest.mark.slow
def test_a_root_in_an_object_store_gives_the_same_on_any_machine(everything, s3, tmp_path, monkeypatch):
    """The data of the local run in a bucket: the same versions; then a machine that has nothing finds nothing to do."""
    profile, instance, result = everything
    store = Store(f"{s3.bucket()}/root")
    for name in ("shards", "plans"):
        for path in (Path(profile.root) / name).glob("*.*"):
            store.write(f"{name}/{path.name}", path.read_bytes())
    there = profile.model_copy(update={"root": store.root})
    selected = {"asset_selection": [dg.AssetKey(name) for name in ("base_model", *TRAINED)]}
    made = []
    for machine in ("one", "another"):
        monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / machine))
        made.append(materializations(run_job(there, instance, "train", **selected)))
    local = materializations(result)
    for name in TRAINED:
        versions = {run[name].tags["dagster/data_version"] for run in (local, *made)}
        assert len(versions) == 1
        assert [run[name].metadata["status"].value for run in made] == ["done", "unchanged"]
        assert made[1][name].metadata["export"].value == f"{store.root}/training/{name}/export"
        assert "data:image/jpeg" in made[1][name].metadata["loss_curve"].value
        assert store.exists(f"training/{name}/export.json")


def process_asset(section, plan):
    @dg.asset
    def trained(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        run_process(context, section, str(plan))
        return dg.MaterializeResult()

    return dg.materialize([trained], instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)


def test_a_wrong_plan_fails_with_its_sentence(everything, tmp_path):
    profile, _, _ = everything
    result = process_asset(profile.training, tmp_path / "plan.json")
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert not result.success and "holds no plan of a training run" in (error.cause or error).message


def test_launchers_that_are_not_installed_name_their_extra(everything, tmp_path):
    if find_spec("dagster_k8s"):
        pytest.skip("they are installed")
    profile, _, _ = everything
    pod = profile.training.model_copy(update={"launcher": "k8s", "pod_spec": "pod.yaml"})
    result = process_asset(pod, tmp_path / "plan.json")
    error = result.get_step_failure_events()[0].step_failure_data.error
    assert "--editable '.[k8s]'" in (error.cause or error).message
