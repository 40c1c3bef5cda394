"""Partitions of several shards: keys that keep their meaning, the same bytes, each event with what it holds."""

from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets_defs.automation import stale as stale_module
from assets_defs.automation.stale import RANGE_END, RANGE_START, stale_assets
from assets_defs.definitions import build_defs
from assets_defs.plan import Plan
from assets_defs.shards import shard_assets
from pipelines.factory import Factory
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from profiles.profile import Profile, load_profile
from tests.assets_defs.small import SMALL
from tests.library import write_library

GROUPED = ("scenes", "imperfect_masks", "edge_maps", "segmentation_maps", "depth_maps", "shards")
FOLDERS = ("scenes", "masks", "edges", "segmentation", "depth", "shards")


def profile_of(root: Path | str, num_scenes: int, shards_per_partition: int) -> Profile:
    """A scene in each shard, drawn from the library of `tests.library`."""
    overrides = {"scenes.num_scenes": str(num_scenes), "scenes.scenes_per_shard": "1"}
    overrides |= {"backgrounds.source": "'folder'", "backgrounds.folder": f"'{root}/photographs'"}
    overrides["automation.shards_per_partition"] = str(shards_per_partition)
    overrides["checks.max_sharpness_log2_ratio"] = "16.0"  # What a handful of layers shows means nothing.
    return load_profile("demo", str(root), {**SMALL, **overrides})


def run(profile: Profile, instance: dg.DagsterInstance, first: str, last: str, *assets: str) -> None:
    """A run of a backfill over some partitions, of all partitioned assets where none is named."""
    tags = {RANGE_START: first, RANGE_END: last}
    made = shard_assets(Plan(profile))
    assert dg.materialize(made, instance=instance, tags=tags, selection=list(assets) or list(GROUPED)).success


BASE = profile_of("root", 1, 1)


def plan_of(num_shards: int, shards_per_partition: int, scenes_per_shard: int = 1) -> Plan:
    """The plan alone, without reading a file each time; the last shard is whole."""
    scenes = BASE.scenes.model_copy(
        update={"num_scenes": num_shards * scenes_per_shard, "scenes_per_shard": scenes_per_shard}
    )
    automation = BASE.automation.model_copy(update={"shards_per_partition": shards_per_partition})
    return Plan(BASE.model_copy(update={"scenes": scenes, "automation": automation}))


numbers = st.integers(1, 400)


@settings(max_examples=40)
@given(num=numbers, more=st.integers(0, 400), size=st.integers(1, 60))
def test_more_shards_append_keys_and_change_none(num, more, size):
    before, after = plan_of(num, size).groups, plan_of(num + more, size).groups
    keys = list(after)
    assert keys[: len(before)] == list(before) and keys == sorted(keys)
    # Only the last of the old partitions may have grown, by what comes after its shards.
    for key, shards in before.items():
        assert after[key][: len(shards)] == shards
        assert after[key] == shards or key == list(before)[-1]


@settings(max_examples=40)
@given(num=numbers, size=st.integers(1, 60))
def test_every_shard_is_in_one_partition(num, size):
    plan = plan_of(num, size)
    keys = plan.partitions.get_partition_keys()
    assert plan.shards_of(keys) == plan.factory.scenes.shards()
    assert len(keys) == -(-num // size) and all(len(shards) <= size for shards in plan.groups.values())


@settings(max_examples=40)
@given(num=numbers, one=st.integers(1, 30), other=st.integers(1, 30))
def test_a_key_means_the_same_shards_whatever_the_size_of_groups(num, one, other):
    here, there = plan_of(num, one).groups, plan_of(num, other).groups
    assert all(here[key] == there[key] for key in here.keys() & there.keys())


def test_keys_are_read_at_a_glance():
    assert list(plan_of(3, 1).groups) == ["00000", "00001", "00002"]
    plan = plan_of(23, 10, scenes_per_shard=5)
    assert list(plan.groups) == ["00000-00009", "00010-00019", "00020-00029"]
    assert plan.contents("00010-00019") == "00010 to 00019: scenes 00000050 to 00000099"
    assert plan.last_contents == "00020 to 00022: scenes 00000100 to 00000114"
    assert plan_of(21, 10).last_contents == "00020: scenes 00000020 to 00000020"


@pytest.mark.parametrize(("size", "per_run"), [(1, 50), (10, 5), (50, 1), (1000, 1)])
def test_a_run_takes_fifty_shards_or_one_partition(size, per_run):
    assert plan_of(1, size).backfill_policy.max_partitions_per_run == per_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(profile, instance) of five shards in partitions of two, made in one run; the last partition is half full."""
    root = tmp_path_factory.mktemp("grouped")
    write_library(str(root))
    profile, instance = profile_of(root, 5, 2), dg.DagsterInstance.ephemeral()
    run(profile, instance, "00000-00001", "00004-00005")
    return profile, instance


def events(instance: dg.DagsterInstance, asset: str) -> dict[str, dict[str, dg.MetadataValue]]:
    """Partition -> metadata of its newest event."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    return {record.partition_key: dict(record.asset_materialization.metadata) for record in reversed(records)}


def test_each_partition_shows_its_own_shards(made):
    profile, instance = made
    store, plan = Store(profile.root), Plan(profile)
    for asset, folder in zip(GROUPED, FOLDERS, strict=True):
        found = events(instance, asset)
        assert sorted(found) == ["00000-00001", "00002-00003", "00004-00005"]
        for key, metadata in found.items():
            manifests = [read_manifest(store, folder, shard) for shard in plan.groups[key]]
            assert metadata["holds"].value == plan.contents(key)
            assert metadata["items"].value == len(manifests) == len(plan.groups[key])
            assert metadata["dagster/partition_row_count"].value == sum(m.num_rows for m in manifests)
            assert metadata["dagster/row_count"].value == sum(
                read_manifest(store, folder, shard).num_rows for shard in plan.factory.scenes.shards()
            )
            assert len(metadata["preview"].md_str) < 25_000
    rows = events(instance, "scenes")["00000-00001"]["layers_by_occlusion"].records
    assert (
        sum(row.data["number"] for row in rows)
        == events(instance, "scenes")["00000-00001"]["dagster/partition_row_count"].value
    )


def test_grouping_changes_no_byte_and_no_fingerprint(made, tmp_path):
    profile, _ = made
    write_library(str(tmp_path))
    other = profile_of(tmp_path, 5, 1)
    factory = Factory(other, Store(other.root))
    for stage in factory.training.stages:
        factory.run(stage)
    for folder in FOLDERS:
        names = [name for name in Store(other.root).names(folder) if name.endswith((".tar", ".parquet", "recipe.json"))]
        assert len(names) == 11
        for name in names:
            assert Store(profile.root).read(f"{folder}/{name}") == Store(other.root).read(f"{folder}/{name}")
    versions = [
        {s.key: s.code_version for s in build_defs(found).resolve_all_asset_specs()} for found in (profile, other)
    ]
    assert versions[0] == versions[1]


def test_a_range_of_a_backfill_makes_its_shards_alone(made):
    profile, instance = made
    removed = ("00001", "00002", "00004")
    store = Store(profile.root)
    before = {shard: store.read(f"edges/{shard}.tar") for shard in removed}
    for shard in removed:
        store.remove(f"edges/{shard}.json")
    run(profile, instance, "00000-00001", "00002-00003", "edge_maps")
    assert store.exists("edges/00001.json") and store.exists("edges/00002.json")
    assert not store.exists("edges/00004.json")
    found = events(instance, "edge_maps")
    assert "dagster/row_count" not in found["00000-00001"] and "nothing_to_do" not in found["00000-00001"]
    run(profile, instance, "00000-00001", "00004-00005", "edge_maps", "shards")
    assert {shard: store.read(f"edges/{shard}.tar") for shard in removed} == before


def stale(profile: Profile, instance: dg.DagsterInstance) -> set[str]:
    graph = dg.Definitions(shard_assets(Plan(profile))).get_repository_def().asset_graph
    among = {dg.AssetKey(name) for name in GROUPED}
    return {key.to_user_string() for key in stale_assets(instance, graph, among)}


def test_a_last_partition_that_grows_is_stale(made):
    profile, instance = made
    assert stale(profile, instance) == set()
    # The key is there and made, yet a sixth shard belongs to it now.
    assert stale(profile_of(profile.root, 6, 2), instance) == set(GROUPED)


def test_other_groups_are_new_partitions_that_nothing_made_yet(made):
    profile, instance = made
    regrouped = profile_of(profile.root, 5, 5)
    assert list(Plan(regrouped).groups) == ["00000-00004"]
    assert stale(regrouped, instance) == set(GROUPED)
    run(regrouped, instance, "00000-00004", "00000-00004")
    assert "nothing_to_do" in events(instance, "scenes")["00000-00004"]
    assert stale(regrouped, instance) == set()


@pytest.mark.parametrize("size", ["0", "100001", "'ten'"])
def test_impossible_groups_are_refused(size):
    with pytest.raises(ValueError, match=r"automation\.shards_per_partition"):
        load_profile("demo", "root", {"automation.shards_per_partition": size})


def two_hundred(changes: dict[str, str]):
    """Two assets of 200 partitions, one after the other; the data version of the first follows `changes`."""
    parts = dg.StaticPartitionsDefinition([f"{i:03d}" for i in range(200)])
    policy = dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=parts, backfill_policy=policy, code_version=changes.get("above", "1"))
    def above() -> None: ...

    @dg.asset(partitions_def=parts, backfill_policy=policy, deps=[above], code_version=changes.get("below", "1"))
    def below() -> None: ...

    return above, below, dg.Definitions([above, below]).get_repository_def().asset_graph


def test_many_partitions_are_judged_by_few_questions(monkeypatch):
    above, below, graph = two_hundred({})
    asked = []
    true = stale_module.CachingStaleStatusResolver.get_status
    monkeypatch.setattr(
        stale_module.CachingStaleStatusResolver,
        "get_status",
        lambda self, key, partition=None: asked.append(partition) or true(self, key, partition),
    )
    keys = {above.key, below.key}

    def make(asset: dg.AssetsDefinition, first: str, last: str) -> None:
        tags = {RANGE_START: first, RANGE_END: last}
        assert dg.materialize([above, below], instance=instance, tags=tags, selection=[asset]).success

    with dg.DagsterInstance.ephemeral() as instance:
        assert stale_assets(instance, graph, keys) == [above.key, below.key]
        for asset in (above, below):
            make(asset, "000", "099")
            make(asset, "100", "199")
        assert stale_assets(instance, graph, keys) == [] and len(asked) <= 4
        # Made again from the same code: Dagster sees equal data versions, and asks about these alone.
        make(above, "007", "008")
        asked.clear()
        assert stale_assets(instance, graph, keys) == [] and {"007", "008"} <= set(asked) and len(asked) <= 6
        # Too many to ask about.
        make(above, "000", "199")
        assert stale_assets(instance, graph, keys) == [below.key]
        make(below, "000", "199")
        assert stale_assets(instance, graph, keys) == []
        # Of 200 partitions one was made by other code.
        newer, _, _ = two_hundred({"above": "2"})
        tags = {RANGE_START: "150", RANGE_END: "150"}
        assert dg.materialize([newer], instance=instance, tags=tags).success
        assert stale_assets(instance, graph, keys) == [above.key, below.key]
