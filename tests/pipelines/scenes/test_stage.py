"""Scenes: same recipe, same bytes, whatever the engine, the shards, an interruption or an unrelated asset."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from pipelines.config import BorderConfig, SizeConfig
from pipelines.library.catalogue import read_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.scenes.parts import SceneParts, pixels_sha256
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.library import scenes_config, write_library


def stage_at(root, **changes):
    return ScenesStage(Store(str(root)), Store(f"{root}/photographs"), scenes_config(**changes))


def make(root, engine=None, **changes):
    return run_stage(stage_at(root, **changes), Store(str(root)), engine or SerialEngine())


def scenes_of(root):
    """Key -> its members, by suffix, over all shards."""
    store, scenes = Store(str(root)), {}
    for name in store.names("scenes", ".tar"):
        manifest = read_manifest(store, "scenes", name.removesuffix(".tar"))
        for member in manifest.members:
            key, suffix = member.name.split(".", 1)
            data = store.read_range(f"scenes/{name}", member.offset, member.num_bytes)
            scenes.setdefault(key, {})[suffix] = data
    return scenes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_library(str(root))
    return root, make(root)


def test_the_report_counts_everything(made):
    root, report = made
    assert report.num_items == 8 and not report.drops
    assert report.counts["attempts"] == 8 + sum(n for name, n in report.counts.items() if name.startswith("rejected"))
    assert make(root).num_made == 0
    for shard, manifest in report.shards.items():
        rows = pq.read_table(f"{root}/scenes/{shard}.parquet").to_pylist()
        assert manifest.assets == sorted(
            {row["foreground_id"] for row in rows} | {row["background_id"] for row in rows}
        )


def test_parts_and_record_agree(made):
    root, _ = made
    config = scenes_config()
    rows = rows_of(root)
    store = Store(str(root))
    records = [found for kind in (ForegroundRecord, BackgroundRecord) for found in read_catalogue(store, kind)[0]]
    origins = {found.id: found.origin for found in records}
    for key, members in scenes_of(root).items():
        parts = SceneParts.decode(key, members)
        record = parts.record
        assert pixels_sha256(parts.composite) == record["composite_sha256"]
        assert list(members)[-1] == "json" and record["key"] == key
        assert [row["layer"] for row in rows if row["key"] == key] == list(range(len(parts.layers)))
        for i, (layer, entry) in enumerate(zip(parts.layers, record["layers"], strict=True)):
            assert layer.rgba.shape[:2] == (entry["box"][3] - entry["box"][1], entry["box"][2] - entry["box"][0])
            assert layer.rgba[..., 3].any(axis=0)[[0, -1]].all() and layer.rgba[..., 3].any(axis=1)[[0, -1]].all()
            assert parts.occluded_fraction(i) == entry["occluded_fraction"]
            low, high = getattr(config.occlusion, entry["occlusion_level"])
            assert low <= entry["occluded_fraction"] <= high
            assert parts.visible_mask(i).any()
            (row,) = [row for row in rows if row["key"] == key and row["layer"] == i]
            assert (row["foreground_id"], row["box"]) == (entry["foreground"]["id"], entry["box"])
            for part, source in (("foreground", entry["foreground"]), ("background", record["background"])):
                assert source["origin"] == row[f"{part}_origin"] == origins[source["id"]]


def light_on_canvas(parts, i):
    """[H, W]: what the layers above let through, computed in floats, without boxes."""
    light = np.full(parts.size, 255.0)
    for above in range(i + 1, len(parts.layers)):
        light *= 1 - parts.foreground(above)[..., 3] / 255
    return light


def test_areas_follow_from_the_whole_canvas(made):
    root, _ = made
    for key, members in scenes_of(root).items():
        parts = SceneParts.decode(key, members)
        for i in range(len(parts.layers)):
            alpha, light = parts.foreground(i)[..., 3] / 255, light_on_canvas(parts, i) / 255
            assert parts.areas(i) == pytest.approx((alpha.sum(), (alpha * light).sum()), rel=2e-3, abs=2)
            clearly = np.abs(light - 0.5) > 0.01
            assert (parts.visible_mask(i) == ((alpha >= 26 / 255) & (light > 0.5)))[clearly].all()


def test_hidden_parts_are_in_the_foreground(made):
    root, _ = made
    hidden = 0
    for key, members in scenes_of(root).items():
        parts = SceneParts.decode(key, members)
        for i in range(len(parts.layers)):
            hidden += int(((parts.foreground(i)[..., 3] > 200) & (light_on_canvas(parts, i) < 50)).sum())
            without = parts.flatten(without=i)
            unchanged = parts.foreground(i)[..., 3] == 0
            assert (without[unchanged] == parts.composite[unchanged]).all()
    assert hidden > 100


@pytest.mark.parametrize("changes", [{"scenes_per_shard": 8}, {"scenes_per_shard": 2}, {"num_scenes": 12}])
def test_shards_and_number_do_not_change_scenes(made, tmp_path, changes):
    root, _ = made
    write_library(str(tmp_path))
    make(tmp_path, **changes)
    theirs = scenes_of(tmp_path)
    assert {key: theirs[key] for key in scenes_of(root)} == scenes_of(root)


def test_processes_make_the_same_bytes(made, tmp_path):
    root, _ = made
    write_library(str(tmp_path))
    make(tmp_path, ProcessEngine(2))
    for name in ("00000.tar", "00001.tar", "00000.parquet", "00001.parquet"):
        assert (tmp_path / "scenes" / name).read_bytes() == (root / "scenes" / name).read_bytes()


def test_more_scenes_append_shards(tmp_path):
    write_library(str(tmp_path))
    make(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "scenes").iterdir()}
    report = make(tmp_path, num_scenes=12)
    assert report.num_made == 1
    after = {path.name: path.read_bytes() for path in (tmp_path / "scenes").iterdir()}
    assert before.items() <= after.items() and set(after) - set(before) == {"00002.tar", "00002.parquet", "00002.json"}


def test_another_recipe_is_refused(tmp_path):
    write_library(str(tmp_path))
    make(tmp_path)
    with pytest.raises(BadSetup, match=r"scenes\.seed \(3 there, 4 here\)"):
        make(tmp_path, seed=4)
    with pytest.raises(BadSetup, match="scenes_per_shard"):
        make(tmp_path, scenes_per_shard=2)


@pytest.mark.parametrize("change", ["remove", "add"])
def test_a_library_change_remakes_only_the_scenes_it_touches(tmp_path, change):
    sizes = {"num_scenes": 24, "scenes_per_shard": 2}
    write_library(str(tmp_path))
    make(tmp_path, **sizes)
    before, rows, trails = scenes_of(tmp_path), rows_of(tmp_path), trails_of(tmp_path)
    used = [row["foreground_id"] for row in rows]
    rare = min((id_ for id_ in set(used) if id_.startswith("real")), key=used.count)
    numbers = [n for n in range(8) if f"real-{n}" != rare] if change == "remove" else [*range(8), 50]
    write_library(str(tmp_path), real=tuple(numbers))
    report = make(tmp_path, **sizes)
    after = scenes_of(tmp_path)
    moved = {key for key in before if before[key] != after.get(key)}
    now = trails_of(tmp_path)
    # A draw that was rejected counts too: what replaces it might have been accepted.
    drew = {key for key in before if trails[key] != now.get(key)}
    asset = rare if change == "remove" else "real-50"
    there = trails if change == "remove" else now
    assert {key for key, tokens in there.items() if any(token.startswith(asset + "@") for token in tokens)} <= drew
    assert moved and moved <= drew and len(drew) < 24
    assert report.num_made == len({int(key) // 2 for key in drew})


def trails_of(root):
    """Key -> tokens of all its draws."""
    return {row["key"]: row["draws"] for row in rows_of(root)}


def rows_of(root):
    tables = [pq.read_table(f"{root}/scenes/{name}") for name in Store(str(root)).names("scenes", ".parquet")]
    return [row for table in tables for row in table.to_pylist()]


def test_a_scene_that_cannot_be_made_is_dropped_with_its_reasons(tmp_path):
    write_library(str(tmp_path), photographs=(0,))
    # Hardly any position leaves exactly this much inside.
    border = BorderConfig(contact_share=1.0, inside=(0.7, 0.70001))
    report = make(tmp_path, border=border, max_attempts=3, num_scenes=2, scenes_per_shard=2)
    assert report.num_items == 0 and report.drops_by_reason == {"no_scene": 2}
    line = json.loads((tmp_path / "quarantine" / "scenes.jsonl").read_text().splitlines()[0])
    assert line["id"] == "00000000" and "rejected.no_room 3" in line["detail"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"size_px": 512}, "no real foreground in split 'train' can fill the size class large at 512 px"),
        ({"size_px": 256, "max_background_enlargement": 1.0}, "no background in split 'train' can fill 256 px"),
    ],
)
def test_a_library_of_small_pictures_stops_before_work(tmp_path, changes, fault):
    write_library(str(tmp_path))
    with pytest.raises(BadSetup, match=fault):
        make(tmp_path, **changes)
    # What no plan asks for need not be there.
    weights = SizeConfig(weights=(1.0, 0.0, 0.0))
    assert make(tmp_path, size_px=256, size=weights, num_scenes=2).num_items == 2


def test_a_library_without_a_wanted_kind_stops_before_work(tmp_path):
    write_library(str(tmp_path), generated=())
    with pytest.raises(BadSetup, match="no generated foreground"):
        make(tmp_path)
    # Nothing was written, so the mended profile may start at once.
    assert make(tmp_path, generated_share=0.0).num_items == 8


@pytest.mark.parametrize(("reason", "num_made"), [("no_scene", 0), ("small_library", 0), ("truncated", 1)])
def test_a_scene_lost_to_an_asset_that_could_not_be_read_is_made_once_it_is_restored(tmp_path, reason, num_made):
    write_library(str(tmp_path))
    make(tmp_path)
    before = scenes_of(tmp_path)
    manifest = read_manifest(Store(str(tmp_path)), "scenes", "00000")
    lost = replace(manifest, drops=[{"id": "00000000", "reason": reason, "detail": "cut off"}])
    Store(str(tmp_path)).write("scenes/00000.json", lost.to_json())
    assert make(tmp_path).num_made == num_made
    assert scenes_of(tmp_path) == before
