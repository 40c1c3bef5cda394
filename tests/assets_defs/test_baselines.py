"""Baselines as an asset: recorded by Dagster, each one's state in a table, and a check that names what is missing."""

import dagster as dg
import pytest

from pipelines.synthetic import FakeScenes, build_dataset
from profiles.profile import load_profile
from tests.assets_defs.small import materializations, run_job
from tests.evaluation.methods.made_up import COPY, ECHO, program


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    build_dataset(str(tmp_path / "root" / "held_out"), FakeScenes(num_scenes=2, scenes_per_shard=1))
    return tmp_path / "root"


def record(root, **overrides):
    """(materialization, check) of the asset alone."""
    profile = load_profile("demo", str(root), {f"evaluation.baselines.{key}": v for key, v in overrides.items()})
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(profile, instance, "evaluate", asset_selection=[dg.AssetKey("baselines")])
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        return materializations(result)["baselines"], check


def rows(made):
    return {row.data["baseline"]: row.data for row in made.metadata["baselines"].value.records}


def test_in_the_demo_none_runs_and_the_table_says_how_to_get_each(root):
    made, check = record(root)
    found = rows(made)
    assert check.passed and made.metadata["recorded"].value == 0
    assert "hf download black-forest-labs/FLUX.1-Fill-dev" in found["FLUX.1 Fill [dev]"]["detail"]
    assert "docs/baselines/lama.md" in found["LaMa"]["detail"]
    assert {row["state"] for row in found.values()} == {"not enabled"}


def test_what_runs_is_recorded_and_what_does_not_is_a_warning(root, tmp_path):
    entry = program(tmp_path, ECHO, COPY)
    command = ", ".join(f'"{argument}"' for argument in entry.command)
    external = f'[{{name = "theirs", command = [{command}], gives = ["background"]}}]'
    first, check = record(root, enabled='["theirs", "flux_fill"]', external=external)
    found = rows(first)
    assert (found["theirs"]["state"], found["theirs"]["failures"]) == ("recorded", 0) and found["theirs"]["images"] > 0
    assert found["FLUX.1 Fill [dev]"]["state"] == "not here"
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN and "flux_fill" in check.description
    assert (root / "records" / "held_out" / "theirs" / "list.json").is_file()
    again, _ = record(root, enabled='["theirs", "flux_fill"]', external=external)
    versions = {made.tags["dagster/data_version"] for made in (first, again)}
    assert len(versions) == 1, "nothing new, and yet another version"
