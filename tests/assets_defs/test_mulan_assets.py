"""MULAN's assets: what is shown of annotations, photographs, split and shards."""

import json
from pathlib import Path

import dagster as dg

from assets_defs.plan import Plan
from assets_defs.sources import mulan
from assets_defs.sources.mulan import mulan_assets
from pipelines.foregrounds.mulan.split import hash_of
from profiles.profile import load_profile
from tests.assets_defs.small import materializations
from tests.pipelines.downloads.server import serving
from tests.pipelines.foregrounds.mulan.test_coco_info import write_info
from tests.pipelines.foregrounds.mulan.trees import (
    COCO_GONE,
    COCO_TRAIN,
    COCO_VAL,
    LAION,
    annotate,
    photograph,
    serve,
)


def shown(folder: Path, **changes: str) -> dict[str, dict[str, dg.MetadataValue]]:
    overrides = {
        "mulan.source": "folder",
        "mulan.annotations": str(folder / "annotations"),
        "mulan.images": str(folder / "images"),
        "mulan.num_shards": "3",
        "checks.max_drop_share.mulan": "{ unreadable = 1.0, filtered = 1.0 }",
        "engine.kind": "serial",
    }
    profile = load_profile("demo", str(folder / "root"), overrides | changes)
    result = dg.materialize(mulan_assets(Plan(profile)))
    assert result.success
    return {name: event.metadata for name, event in materializations(result).items()}


def rows(value: dg.MetadataValue) -> list[dict[str, object]]:
    return [record.data for record in value.records]


def numbers(value: dg.MetadataValue) -> dict[object, object]:
    return dict(row.values() for row in rows(value))


def test_annotations_are_counted_by_part_and_each_shard_is_told(tmp_path: Path, monkeypatch) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL, COCO_GONE, LAION)
    annotate(tmp_path, COCO_VAL, below="twice")
    photograph(tmp_path, "train2017", COCO_TRAIN)
    photograph(tmp_path, "val2017", COCO_VAL)
    monkeypatch.setattr(mulan, "SHARDS_SHOWN", 2)
    found = shown(tmp_path)
    observed = found["mulan_annotations"]
    assert observed["annotations"].value == 5 and observed["refused_clashes"].value == 1
    assert numbers(observed["annotations_by_part"]) == {"coco": 3, "laion": 1}
    assert numbers(observed["photographs"]) == {"val2017": 1, "train2017": 1, "absent": 1, "not used": 1}
    assert observed["test_pictures"].value == 1 and observed["test_ids_sha256"].value == hash_of([COCO_VAL])
    assert Path(observed["index"].value).is_file() and "photographs_fetched_now" not in observed
    shards = rows(found["mulan_foregrounds"]["shards"])
    assert [shard["shard"] for shard in shards] == ["00000", "00001"]
    manifests = [
        json.loads((tmp_path / f"root/foregrounds/mulan/{name}.json").read_text()) for name in ("00000", "00001")
    ]
    assert [shard["files"] for shard in shards] == [manifest["counts"].get("files", 0) for manifest in manifests]
    assert [shard["dropped"] for shard in shards] == [len(manifest["drops"]) for manifest in manifests]
    assert all((shard["drops_by_reason"] == "") == (shard["dropped"] == 0) for shard in shards)


def test_licences_of_photographs_are_shown_with_those_that_are_used(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL, COCO_GONE)
    photograph(tmp_path, "train2017", COCO_TRAIN)
    photograph(tmp_path, "val2017", COCO_VAL)
    write_info(tmp_path / "info", {int(COCO_TRAIN): 6}, {int(COCO_VAL): 4})
    limits = {"checks.max_drop_share.mulan": "{ unreadable = 1.0, unlicensed = 0.7, filtered = 1.0 }"}
    info = {"mulan.coco.info": str(tmp_path / "info"), "mulan.licences": '["cc-by-2.0"]'}
    found = shown(tmp_path, **info, **limits)
    assert {tuple(row.values()) for row in rows(found["mulan_annotations"]["photographs_by_licence"])} == {
        ("cc-by-nd-2.0", 1, False), ("cc-by-2.0", 1, True), ("unknown", 1, False),
    }  # fmt: skip
    kinds = numbers(found["mulan_foregrounds"]["dropped_by_kind"])
    assert kinds["unlicensed"] == 2 and kinds["unreadable"] == 0


def test_photographs_are_fetched_and_told(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_GONE)
    with serving() as files:
        serve(files, "train2017", COCO_TRAIN)
        url = {"mulan.coco": f'{{ download = true, url = "{files.url}/{{subset}}/{{id}}.jpg" }}'}
        observed = shown(tmp_path, **url)["mulan_annotations"]
    assert observed["photographs_fetched_now"].value == 1
    assert numbers(observed["photographs_not_to_be_had"]) == {"gone": 1}
    assert numbers(observed["photographs"]) == {"train2017": 1, "absent": 1}
