"""The asset graph: what data engineers see, and that it makes the same bytes as the command line."""

import json
import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets_defs.definitions import build_defs
from pipelines.factory import Factory
from pipelines.index_rows import IndexRows
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.assets_defs.small import SMALL, run_job

ASSETS = {
    "mulan_annotations", "foreground_prompts", "mulan_foregrounds", "layerdiffuse_foregrounds", "openimages_index",
    "foreground_library", "background_library", "scenes", "imperfect_masks", "edge_maps", "segmentation_maps",
    "depth_maps", "shards", "dataset",
}  # fmt: skip
INPUTS = {"prompt_list", "takedown_list", "exclusion_list"}
TRAINED = {"base_model", "rgba_vae", "adapter", "held_out_scenes", "evaluation", "report"}
JUDGED = {"baselines", "champion", "real_only_scenes", "ablations", "ablation_table", "fiftyone_dataset"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("assets")
    profile = load_profile("demo", str(root), SMALL)
    instance = dg.DagsterInstance.ephemeral()
    return profile, instance, run_job(profile, instance)


def specs():
    return {spec.key.to_user_string(): spec for spec in build_defs().resolve_all_asset_specs()}


def test_every_asset_is_there_and_explained():
    found = specs()
    assert set(found) == ASSETS | INPUTS | TRAINED | JUDGED
    for spec in found.values():
        assert spec.description and spec.owners and spec.kinds and spec.group_name != "default"


def test_stand_ins_are_named_where_they_are_used():
    found = specs()
    for name, word in (
        ("mulan_annotations", "stands in"),
        ("layerdiffuse_foregrounds", "Rendered objects"),
        ("openimages_index", "stand in"),
        ("segmentation_maps", "felzenszwalb"),
        ("depth_maps", "dark_channel"),
        ("base_model", "stands in for FLUX.1-Fill"),
    ):
        assert word in found[name].description


def test_the_launchpad_takes_the_example_of_the_docs():
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    example = yaml.safe_load(re.search(r"```yaml\n(ops:.*?)```", text, re.DOTALL)[1])
    assert example["ops"]["adapter"]["config"]["changes"] == {"schedule.num_steps": 500}
    dg.validate_run_config(build_defs().resolve_job_def("train"), example)


def test_the_job_makes_a_dataset_with_checks_and_pictures(made):
    profile, instance, result = made
    assert result.success
    for name in ("scenes", "imperfect_masks", "edge_maps", "segmentation_maps", "depth_maps", "shards"):
        assert instance.get_materialized_partitions(dg.AssetKey(name)) == {"00000", "00001"}
    evaluations = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    assert len(evaluations) == 22 and all(e.passed for e in evaluations.values())
    assert {name for (_, name), e in evaluations.items() if not e.blocking} == {"enough_photographs"}
    shown = {True: set(), False: set()}
    for event in result.all_events:
        if event.is_step_materialization:
            shown["preview" in event.materialization.metadata].add(event.asset_key.to_user_string())
    # Every partition of the rest has its own.
    assert shown[False] == {"mulan_annotations", "foreground_prompts"} and shown[True] == ASSETS - shown[False]
    assert (Store(profile.root)).exists("dataset/README.md")


def test_every_shard_shows_its_enlargement_sharpness_and_mask_areas(made):
    profile, instance, _ = made
    store = Store(profile.root)
    for asset, names in {
        "scenes": ("cutout_enlargement", "background_enlargement", "sharpness_log2_ratio"),
        "imperfect_masks": ("mask_area_ratio",),
    }.items():
        records = instance.fetch_materializations(dg.AssetKey(asset), limit=9).records
        assert {record.partition_key for record in records} == {"00000", "00001"}
        for record in records:
            found = record.asset_materialization.metadata
            manifest = read_manifest(store, "scenes", record.partition_key)
            measured = sum(row["sharpness"] is not None for row in IndexRows.read(store, [manifest]))
            numbers = {"background_enlargement": manifest.num_items, "sharpness_log2_ratio": measured}
            for name in names:
                bars = {row.data["range"]: row.data["number"] for row in found[f"{name}_histogram"].records}
                assert sum(bars.values()) == numbers.get(name, manifest.num_rows)
                assert f"median_{name}" in found
    assert list(bars) == ["below 0.5", "0.5 to 0.75", "0.75 to 0.95", "0.95 to 1.05", "1.05 to 1.5", "1.5 to 2",
                          "2 to 3", "3 to 4", "4 and more"]  # fmt: skip


def test_making_it_again_changes_nothing(made):
    profile, instance, _ = made
    store = Store(profile.root)
    before = {name: store.read(f"shards/{name}") for name in store.names("shards")}
    result = run_job(profile, instance)
    made_now = [
        event.materialization.metadata["shards_made_now"].value
        for event in result.all_events
        if event.is_step_materialization and "shards_made_now" in event.materialization.metadata
    ]
    assert made_now and set(made_now) == {0}
    idle = {}
    for event in result.all_events:
        if event.is_step_materialization:
            nothing = event.materialization.metadata.get("nothing_to_do")
            idle.setdefault(event.asset_key.to_user_string(), []).append(nothing)
    named = {name for name, found in idle.items() if None not in found}
    assert named == ASSETS - {"mulan_annotations", "foreground_prompts", "foreground_library", "background_library"}
    assert f"remove {profile.root}/scenes/00001.json" in idle["scenes"][1].value or "00000" in idle["scenes"][1].value
    assert before == {name: store.read(f"shards/{name}") for name in store.names("shards")}


def test_the_command_line_makes_the_same_bytes(made, tmp_path):
    profile, _, _ = made
    other = profile.model_copy(update={"root": str(tmp_path)})
    Factory(other, Store(other.root)).make_shards()
    sources, joined = (
        ("foregrounds/mulan", "foregrounds/generated"),
        ("scenes", "masks", "edges", "segmentation", "depth"),
    )
    for folder in (*sources, *joined, "shards"):
        names = Store(profile.root).names(folder, ".tar")
        assert names and names == Store(other.root).names(folder, ".tar")
        for name in names:
            assert Store(profile.root).read(f"{folder}/{name}") == Store(other.root).read(f"{folder}/{name}")


def test_a_failed_check_stops_what_comes_after(made, tmp_path):
    profile, _, _ = made
    strict = profile.model_copy(
        update={"checks": profile.checks.model_copy(update={"min_foregrounds": 10_000}), "root": str(tmp_path)}
    )
    result = run_job(strict, dg.DagsterInstance.ephemeral(), raise_on_error=False)
    assert not result.success
    assert not Store(str(tmp_path)).exists("scenes")
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [e.check_name for e in failed] == ["enough_foregrounds"]
    assert "at least 10000 wanted" in failed[0].description


def test_data_versions_follow_content(made):
    profile, _, result = made
    library = json.loads(Store(profile.root).read("library/foregrounds.json"))
    event = next(
        e for e in result.all_events if e.is_step_materialization and e.asset_key == dg.AssetKey("foreground_library")
    )
    assert event.materialization.tags["dagster/data_version"] == library["sha256"][:16]
