"""The MuLAn stage: which shard holds what, what a foreground's record says, and when a shard is stale."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from pipelines.config import GateConfig
from pipelines.config.foregrounds import LaionConfig
from pipelines.foregrounds.mulan.split import FROZEN, Split, to_text
from pipelines.foregrounds.mulan.stage import MulanForegrounds
from pipelines.foregrounds.mulan.summary import ShardSummary, shard_summaries
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.mulan.annotations import make_annotation, make_photograph, pack, write_pair

GATES = GateConfig(min_side_px=16, min_area_px=100)


def annotation_of_discs(*discs: tuple[int, int, int]) -> dict[str, Any]:
    """120x160, one solid disc (x, y, radius) an instance; the background is kept everywhere."""
    ys, xs = np.mgrid[:120, :160]
    nothing = np.zeros((120, 160, 3), np.int16)
    instances = {}
    for key, (x, y, radius) in enumerate(discs, start=1):
        shape = (xs - x) ** 2 + (ys - y) ** 2 <= radius**2
        alpha = Image.fromarray(shape.astype(np.uint8) * np.uint8(255))
        instances[key] = {
            "blip2": f"disc {key}",
            "original_image_mask": shape[..., None],
            "inpainted_delta": nothing,
            "instance_alpha": alpha,
        }
    mask = np.ones((120, 160, 1), bool)
    return {"background": {"original_image_mask": mask, "inpainted_delta": nothing}, "instances": instances}


def smooth_photograph() -> np.ndarray:
    ys, xs = np.mgrid[:120, :160]
    return np.stack([ys * 2, xs, 255 - xs], axis=-1).astype(np.uint8)


def make_tree(folder: Path) -> None:
    write_pair(folder, "000000000001", pack(annotation_of_discs((60, 60, 30), (5, 60, 20))), smooth_photograph())
    write_pair(folder, "000000000002", pack(annotation_of_discs((60, 60, 30))), smooth_photograph(), "val2017")
    write_pair(folder, "000000000003", pack(annotation_of_discs((60, 60, 30), (80, 60, 5))), smooth_photograph())
    write_pair(folder, "000000000004", b"damaged", smooth_photograph())


def make_stage(folder: Path, num_shards: int = 2) -> MulanForegrounds:
    return MulanForegrounds(folder / "annotations", folder / "images", GATES, num_shards)


def run(folder: Path, root: Path, num_shards: int = 2) -> tuple[Report, dict[str, dict[str, Any]], dict[str, bytes]]:
    report = run_stage(make_stage(folder, num_shards), Store(str(root)), SerialEngine())
    rows: dict[str, dict[str, Any]] = {}
    members: dict[str, bytes] = {}
    for shard in report.shards:
        base = root / "foregrounds/mulan" / shard
        rows |= {row["id"]: row for row in pq.read_table(base.with_suffix(".parquet")).to_pylist()}
        with tarfile.open(base.with_suffix(".tar")) as tar:
            members |= {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    return report, rows, members


def test_foregrounds_carry_their_provenance(tmp_path: Path) -> None:
    make_tree(tmp_path)
    report, rows, members = run(tmp_path, tmp_path / "root")
    assert set(rows) == {
        f"mulan-{id}" for id in ("000000000001-1", "000000000001-2", "000000000002-1", "000000000003-1")
    }
    assert {row["member"] for row in rows.values()} == set(members)
    plain, cut, test = (rows[f"mulan-00000000000{id}"] for id in ("1-1", "1-2", "2-1"))
    # Nothing here states the photographs' own licences.
    assert (plain["origin"], plain["split"]) == ("mulan-000000000001", "train")
    assert plain["licence"] == "cc-by-nc-sa-4.0 AND unknown"
    assert (plain["kind"], plain["completeness"], plain["cut_sides"]) == ("real", "unknown", "")
    assert (cut["completeness"], cut["cut_sides"], cut["caption"]) == ("cut", "l", "disc 2")
    assert test["split"] == "test" and "000000000002" in test["attribution"]
    assert sorted((drop["id"], drop["reason"]) for drop in report.drops) == [
        ("mulan-000000000003-2", "too_small"),
        ("mulan-000000000004", "not_zlib"),
    ]


def test_members_are_cropped_webp_with_the_records_size(tmp_path: Path) -> None:
    make_tree(tmp_path)
    _, rows, members = run(tmp_path, tmp_path / "root")
    for row in rows.values():
        picture = Image.open(io.BytesIO(members[row["member"]]))
        assert picture.format == "WEBP" and picture.size == (row["width_px"], row["height_px"])
        alpha = np.asarray(picture)[..., 3]
        assert alpha.any(axis=0).all() and alpha.any(axis=1).all()
        assert row["area_px"] == pytest.approx(alpha.sum() / 255)


def test_an_image_stays_in_its_shard_when_others_come(tmp_path: Path) -> None:
    make_tree(tmp_path)
    before = {key: shard for shard in ("00000", "00001") for key, _ in make_stage(tmp_path).items(shard)}
    write_pair(tmp_path, "000000000009", pack(annotation_of_discs((60, 60, 30))), smooth_photograph(), below="new")
    after = {key: shard for shard in ("00000", "00001") for key, _ in make_stage(tmp_path).items(shard)}
    assert after == before | {"mulan-000000000009": after["mulan-000000000009"]}


def test_only_the_shard_of_a_changed_file_is_made_again(tmp_path: Path) -> None:
    make_tree(tmp_path)
    report, *_ = run(tmp_path, tmp_path / "root", 8)
    assert report.num_made == 8
    assert run(tmp_path, tmp_path / "root", 8)[0].num_made == 0
    write_pair(tmp_path, "000000000002", pack(annotation_of_discs((60, 60, 25))), smooth_photograph(), "val2017")
    assert run(tmp_path, tmp_path / "root", 8)[0].num_made == 1
    (tmp_path / "images/train2017/000000000001.jpg").unlink()
    report, rows, _ = run(tmp_path, tmp_path / "root", 8)
    assert report.num_made == 1 and "mulan-000000000001-1" not in rows
    assert report.drops_by_reason["missing_image"] == 1


def test_photographs_json_gives_origin_licence_and_category(tmp_path: Path) -> None:
    make_tree(tmp_path)
    run(tmp_path, tmp_path / "root")
    entry = {"name": "astronaut", "licence": "public-domain", "attribution": "NASA", "categories": ["person", "dog"]}
    (tmp_path / "annotations/photographs.json").write_text(json.dumps({"000000000001": entry}))
    report, rows, _ = run(tmp_path, tmp_path / "root")
    assert report.num_made == 1
    second = rows["mulan-000000000001-2"]
    assert [second[name] for name in ("origin", "licence", "attribution", "category")] == [
        *("astronaut", "public-domain", "NASA", "dog")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}[", r"photographs\.json is not JSON: Extra data \(line 1, column 3\)"),
        ("[1]", "is damaged: it is not an object"),
        ('{"1": {"name": "x"}}', "photograph '1': KeyError.'licence'"),
        ('{"1": {"name": "\\ud800", "licence": "", "attribution": "", "categories": []}}', "cannot be printed"),
        ('{"1": {"name": "", "licence": "", "attribution": "", "categories": [3]}}', "'3' is not text"),
    ],
)
def test_a_damaged_photographs_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    make_tree(tmp_path)
    (tmp_path / "annotations/photographs.json").write_text(text)
    with pytest.raises(BadSetup, match=message):
        run(tmp_path, tmp_path / "root")


def test_lists_that_match_no_annotation_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_tree(tmp_path)
    entry = {"name": "x", "licence": "cc0-1.0", "attribution": "", "categories": []}
    (tmp_path / "annotations/photographs.json").write_text("\ufeff" + json.dumps({"1": entry}))
    run(tmp_path, tmp_path / "root")
    assert "photographs.json: 1 of its 1 pictures have no annotation: '1'" in caplog.text


def test_names_and_texts_that_are_not_utf8_are_dropped_and_the_run_goes_on(tmp_path: Path) -> None:
    make_tree(tmp_path)
    _, before, _ = run(tmp_path, tmp_path / "before")
    annotation = make_annotation(1)
    annotation["instances"][1]["blip2"] = "\ud800"
    write_pair(tmp_path, "000000000077", pack(annotation), make_photograph(1))
    (tmp_path / "annotations" / os.fsdecode(b"f\xe4lle")).mkdir()
    for name in (b"f\xe4lle/000000000078.p.zl", b"caf\xe9.p.zl", b"a\\b.p.zl"):
        (tmp_path / "annotations" / os.fsdecode(name)).write_bytes(pack(make_annotation(1)))
    report, rows, _ = run(tmp_path, tmp_path / "root")
    assert report.drops_by_reason["bad_text"] == 1 and report.drops_by_reason["bad_name"] == 3
    assert rows.keys() == before.keys()


def test_each_shard_is_summed_up(tmp_path: Path) -> None:
    make_tree(tmp_path)
    report, rows, _ = run(tmp_path, tmp_path / "root", 1)
    (summary,) = shard_summaries(report, Store(str(tmp_path / "root")))
    # The photograph goes through a JPEG, and a layer that takes all of it from there changes nothing.
    drops = {"too_small": 1, "not_zlib": 1}
    assert summary == ShardSummary("00000", 4, 5, len(rows), drops, 0.0) and len(rows) == 4
    assert report.counts == {"files": 4, "instances": 5, "unusable_files": 1}


def test_the_mean_error_counts_a_file_once_and_only_where_it_is_known(tmp_path: Path) -> None:
    changed = annotation_of_discs((60, 60, 30), (110, 60, 25))
    changed["instances"][1]["inpainted_delta"] = np.full((120, 160, 3), 40, np.int16)
    unknown = annotation_of_discs((60, 60, 30))
    for layer in (unknown["background"], *unknown["instances"].values()):
        layer["original_image_mask"] = np.zeros((120, 160, 1), bool)
    plain = annotation_of_discs((60, 60, 30))
    for number, annotation in enumerate((changed, unknown, plain), start=1):
        write_pair(tmp_path, f"{number:012d}", pack(annotation), smooth_photograph())
    report, rows, _ = run(tmp_path, tmp_path / "root", 1)
    errors = {row["origin"]: row["consistency_error"] for row in rows.values()}
    assert len(rows) == 4 and errors["mulan-000000000002"] == -1 and errors["mulan-000000000001"] > 1
    (summary,) = shard_summaries(report, Store(str(tmp_path / "root")))
    assert summary.consistency_error == pytest.approx(errors["mulan-000000000001"] / 2, abs=0.001)


def test_laion_is_used_where_asked_for_and_is_for_training(tmp_path: Path) -> None:
    make_tree(tmp_path)
    write_pair(tmp_path, "000000001", pack(annotation_of_discs((60, 60, 30))), smooth_photograph(), "laion")
    write_pair(tmp_path, "000000002", pack(annotation_of_discs((60, 60, 30))), smooth_photograph()[:-8], "laion")
    assert not [key for shard in ("00000", "00001") for key, _ in make_stage(tmp_path).items(shard) if "laion" in key]
    links = tmp_path / "links.csv"
    links.write_text("file_id,url\n1,https://host/one (1).jpg\n")
    laion = LaionConfig(use=True, links=str(links))
    stage = MulanForegrounds(tmp_path / "annotations", tmp_path / "images", GATES, 1, laion)
    assert len(stage.items("00000")) == len(list(stage.items("00000"))) == 6
    report = run_stage(stage, Store(str(tmp_path / "root")), SerialEngine())
    rows = pq.read_table(tmp_path / "root/foregrounds/mulan/00000.parquet").to_pylist()
    (row,) = [row for row in rows if "laion" in row["id"]]
    assert (row["id"], row["origin"], row["split"]) == ("mulan-laion-000000001-1", "mulan-laion-000000001", "train")
    assert row["attribution"].endswith("LAION-Aesthetics picture 000000001, https://host/one%20%281%29.jpg")
    assert {drop["id"]: drop["reason"] for drop in report.drops}["mulan-laion-000000002"] == "shape_mismatch"


def test_a_list_of_test_ids_decides_the_split_and_changes_its_shards_alone(tmp_path: Path) -> None:
    make_tree(tmp_path)
    root = Store(str(tmp_path / "root"))

    def splits(split: Split) -> tuple[dict[str, str], int]:
        stage = MulanForegrounds(tmp_path / "annotations", tmp_path / "images", GATES, 8, split=split)
        report = run_stage(stage, root, SerialEngine())
        tables = [pq.read_table(tmp_path / f"root/foregrounds/mulan/{shard}.parquet") for shard in report.shards]
        rows = [row for table in tables for row in table.to_pylist()]
        return {row["id"].removeprefix("mulan-00000000000"): row["split"] for row in rows}, report.num_made

    by_rule = {"1-1": "train", "1-2": "train", "2-1": "test", "3-1": "train"}
    assert splits(Split(root)) == (by_rule, 8)
    root.write(FROZEN, to_text(["000000000002"]).encode())
    assert splits(Split(root)) == (by_rule, 0)
    root.write(FROZEN, to_text(["000000000002", "000000000003"]).encode())
    assert splits(Split(root)) == (by_rule | {"3-1": "test"}, 1)
    given = tmp_path / "ids.txt"
    given.write_text("000000000001\n")
    with pytest.raises(BadSetup, match="they differ in test_ids"):
        splits(Split(root, str(given)))
    root.remove("foregrounds/mulan")
    listed = {"1-1": "test", "1-2": "test", "2-1": "train", "3-1": "train"}
    assert splits(Split(root, str(given))) == (listed, 8)


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    make_tree(tmp_path)
    first, second = (run(tmp_path, tmp_path / root)[0] for root in ("a", "b"))
    assert [manifest.tar_sha256 for manifest in first.shards.values()] == [
        manifest.tar_sha256 for manifest in second.shards.values()
    ]


def test_an_empty_folder_stops_before_work_starts(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images/train2017").mkdir(parents=True)
    with pytest.raises(BadSetup, match=r"holds no \*\.p\.zl"):
        make_stage(tmp_path).inputs("00000")


def test_the_fixed_bound_of_an_annotation_is_part_of_the_recipe(tmp_path: Path) -> None:
    assert make_stage(tmp_path).recipe["max_inflated_mb"] == 256
