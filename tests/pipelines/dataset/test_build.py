"""The dataset folder as a whole: what is there, when it is made again, and when it is refused."""

import csv
import hashlib
import io
import json
import shutil

import pyarrow.parquet as pq
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from pipelines.config import DataConfig
from pipelines.dataset import index
from pipelines.dataset.build import SUMMARY, DatasetReport, write_dataset
from pipelines.dataset.index import data_version, read_shards
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import read_members, scene_keys
from pipelines.stages.engine import SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import Outcome, run_stage
from pipelines.stages.store import Store
from tests.pipelines.dataset.discs import SCENES_PER_SHARD, FixtureStage

FILES = {
    "dataset/README.md",
    "dataset/attributions.csv",
    "dataset/croissant.json",
    "dataset/index.parquet",
    *(f"dataset/figures/{name}.png" for name in ("mask_iou", "occlusion", "overview", "sharpness")),
    *(f"dataset/sheets/{name}.jpg" for name in ("random", "most_occluded", "worst_masks", "preview")),
}


def index_rows(store: Store) -> list[dict]:
    return pq.read_table(io.BytesIO(store.read("dataset/index.parquet"))).to_pylist()


def test_everything_is_written_and_can_be_opened(store: Store, config: DataConfig):
    report = write_dataset(store, "demo", config)
    assert set(report.files) == FILES and all(store.exists(path) for path in FILES)
    assert report.made and report.statistics.num_scenes == config.scenes.num_scenes
    for path in FILES:
        if path.endswith((".png", ".jpg")):
            Image.open(io.BytesIO(store.read(path))).load()
    assert report.preview == store.read("dataset/sheets/preview.jpg") and len(report.preview) <= 25_000


def test_the_index_holds_every_row_with_its_shard(built: Store):
    rows = index_rows(built)
    assert [row["shard"] for row in rows] == sorted(row["shard"] for row in rows)
    for shard in ("00000", "00001", "00002"):
        keys = set(scene_keys(read_manifest(built, "shards", shard)))
        assert {row["key"] for row in rows if row["shard"] == shard} == keys


def test_equal_shards_give_equal_bytes(built: Store, store: Store, config: DataConfig):
    report = write_dataset(store, "demo", config)
    assert all(store.read(path) == built.read(path) for path in (*report.files, "dataset/dataset.json"))


def test_what_is_current_is_left_alone_and_reported_the_same(built: Store, store: Store, config: DataConfig):
    made, found = write_dataset(store, "demo", config), write_dataset(built, "demo", config)
    assert made.made and not found.made
    assert found == DatasetReport(**{**vars(made), "made": False})


@pytest.mark.parametrize("change", ["profile", "lost file", "unfinished", "drops"])
def test_what_is_not_current_is_made_again(built: Store, built_copy: Store, config: DataConfig, change: str):
    if change == "lost file":
        built_copy.remove("dataset/figures/overview.png")
    elif change == "unfinished":
        built_copy.remove("dataset/dataset.json")
    elif change == "drops":
        built_copy.write("quarantine/backgrounds.jsonl", b'{"detail":"","id":"a","reason":"blurred"}\n')
    report = write_dataset(built_copy, "other" if change == "profile" else "demo", config)
    assert report.made
    same = built_copy.read("dataset/README.md") == built.read("dataset/README.md")
    assert same == (change in ("lost file", "unfinished"))


def test_pictures_of_an_earlier_build_are_removed(store: Store, config: DataConfig):
    store.write("dataset/figures/old.png", b"old")
    write_dataset(store, "demo", config)
    assert not store.exists("dataset/figures/old.png")


def test_missing_shards_are_refused_by_name_and_nothing_is_written(store: Store, config: DataConfig):
    store.remove("shards/00001.json")
    with pytest.raises(BadSetup, match=r"lacks 1 of 3 shards \(00001\)"):
        write_dataset(store, "demo", config)
    assert not store.exists("dataset")


def test_an_index_that_is_not_the_manifests_is_refused(store: Store, config: DataConfig):
    store.write("shards/00002.parquet", store.read("shards/00000.parquet"))
    with pytest.raises(BadSetup, match=r"00002.parquet differs from its manifest"):
        write_dataset(store, "demo", config)
    assert not store.exists("dataset/dataset.json")


def test_attributions_name_every_asset_and_count_its_scenes(built: Store):
    table = list(csv.DictReader(io.StringIO(built.read("dataset/attributions.csv").decode())))
    rows = index_rows(built)
    expected = {
        (role, row[f"{role}_id"]): len({other["key"] for other in rows if other[f"{role}_id"] == row[f"{role}_id"]})
        for row in rows
        for role in ("foreground", "background")
    }
    assert {(line["role"], line["id"]): int(line["num_scenes"]) for line in table} == expected
    assert {line["attribution"] for line in table} == {'A. Name, "Discs", 2020', "B. Name"}


def test_the_summary_is_plain_json_with_the_statistics(built: Store):
    summary = json.loads(built.read("dataset/dataset.json"))
    assert summary["data_version"] == data_version(read_shards(built, ["00000", "00001", "00002"]))
    assert summary["statistics"]["num_layers"] == len(index_rows(built))


def test_scenes_read_by_key_are_the_rows_scenes(built: Store):
    row = index_rows(built)[-1]
    manifest = read_manifest(built, "shards", row["shard"])
    parts = SceneParts.decode(row["key"], read_members(built, manifest, row["key"]))
    assert parts.occluded_fraction(row["layer"]) == row["occluded_fraction"]


def test_shards_without_a_scene_are_refused(tmp_path, config: DataConfig):
    class Empty(FixtureStage):
        task = staticmethod(lambda key: Outcome())

    store = Store(str(tmp_path))
    run_stage(Empty("shards"), store, SerialEngine())
    with pytest.raises(BadSetup, match="holds no scene"):
        write_dataset(store, "demo", config)


def test_shards_beyond_the_plan_are_no_part_and_the_card_says_so_until_they_are_gone(built_copy: Store, config, caplog):
    fewer = config.model_copy(update={"scenes": config.scenes.model_copy(update={"num_scenes": 2 * SCENES_PER_SHARD})})
    report = write_dataset(built_copy, "demo", fewer)
    assert report.made and {row["shard"] for row in index_rows(built_copy)} == {"00000", "00001"}
    assert report.statistics.num_scenes == 2 * SCENES_PER_SHARD
    said = "**Not a part of this dataset**, though they lie in `shards/`: 00002,"
    assert said in built_copy.read("dataset/README.md").decode()
    assert "shards beyond the plan (00002) are not part of the dataset" in caplog.text
    for suffix in ("tar", "parquet", "json"):
        built_copy.remove(f"shards/00002.{suffix}")
    assert write_dataset(built_copy, "demo", fewer).data_version == report.data_version
    assert said not in built_copy.read("dataset/README.md").decode()


def test_a_very_large_dataset_lists_its_shards_and_measures_some(shard_files, config, tmp_path, monkeypatch):
    shutil.copytree(shard_files.root, tmp_path / "root")
    store = Store(str(tmp_path / "root"))
    write_dataset(store, "demo", config)
    manifests = read_shards(store, ["00000", "00001", "00002"])
    rows = {shard: manifest.num_rows for shard, manifest in manifests.items()}
    # Room for the first and the last of three shards, not for all.
    monkeypatch.setattr(index, "MAX_ROWS", sum(rows.values()) // 2 + 1)
    store.remove(SUMMARY)
    report = write_dataset(store, "demo", config)
    assert not store.exists("dataset/index.parquet") and "dataset/shards.parquet" in report.files
    listed = pq.read_table(io.BytesIO(store.read("dataset/shards.parquet"))).to_pylist()
    assert [line["shard"] for line in listed] == list(rows)
    assert [line["num_layers"] for line in listed] == list(rows.values())
    assert [line["parquet_sha256"] for line in listed] == [
        hashlib.sha256(store.read(f"shards/{shard}.parquet")).hexdigest() for shard in rows
    ]
    statistics = report.statistics
    assert statistics.num_layers == sum(rows.values()) == sum(m.num_rows for m in manifests.values())
    assert statistics.num_measured == rows["00000"] + rows["00002"] == sum(statistics.size_classes.values())
    # What has a limit is counted in full.
    shown = {r["foreground_id"] for shard in rows for r in store.read_table(f"shards/{shard}.parquet").to_pylist()}
    assert sum(found.num_assets for name, found in statistics.uses.items() if name.startswith("foreground")) == len(
        shown
    )
    card = store.read("dataset/README.md").decode()
    assert "`shards.parquet` lists all shards" in card and f"| {statistics.num_measured:,}, those of every n-th" in card
    described = json.loads(store.read("dataset/croissant.json"))
    assert [found["name"] for found in described["distribution"]] == ["shards.parquet", "shards", "index"]
    monkeypatch.undo()
    store.remove(SUMMARY)
    write_dataset(store, "demo", config)
    assert store.exists("dataset/index.parquet") and not store.exists("dataset/shards.parquet")
