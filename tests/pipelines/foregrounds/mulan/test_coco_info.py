"""COCO's own files on the licences of its photographs, whole and broken, and what becomes of cutouts by them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from decoupage.faults import BadSetup
from pipelines.config.foregrounds import MulanConfig
from pipelines.foregrounds.mulan import coco_info
from pipelines.foregrounds.mulan.coco_info import CocoPhotograph, read_coco_info
from pipelines.foregrounds.mulan.stage import MulanForegrounds
from pipelines.licences.combined import combined_licence
from pipelines.licences.terms import find_terms
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.mulan.test_mulan_stage import GATES, make_tree

CC = "http://creativecommons.org/licenses"
LICENCES = [
    {"url": f"{CC}/by-nc-sa/2.0/", "id": 1, "name": "Attribution-NonCommercial-ShareAlike License"},
    {"url": f"{CC}/by-nc/2.0/", "id": 2, "name": "Attribution-NonCommercial License"},
    {"url": f"{CC}/by-nc-nd/2.0/", "id": 3, "name": "Attribution-NonCommercial-NoDerivs License"},
    {"url": f"{CC}/by/2.0/", "id": 4, "name": "Attribution License"},
    {"url": f"{CC}/by-sa/2.0/", "id": 5, "name": "Attribution-ShareAlike License"},
    {"url": f"{CC}/by-nd/2.0/", "id": 6, "name": "Attribution-NoDerivs License"},
    {"url": "http://flickr.com/commons/usage/", "id": 7, "name": "No known copyright restrictions"},
    {"url": "http://www.usa.gov/copyright.shtml", "id": 8, "name": "United States Government Work"},
]
NAMES = {
    1: "cc-by-nc-sa-2.0", 2: "cc-by-nc-2.0", 3: "cc-by-nc-nd-2.0", 4: "cc-by-2.0", 5: "cc-by-sa-2.0",
    6: "cc-by-nd-2.0", 7: "no-known-copyright-restrictions", 8: "united-states-government-work",
}  # fmt: skip


def image(id: int, licence: int) -> dict[str, Any]:
    return {
        "license": licence,
        "file_name": f"{id:012d}.jpg",
        "coco_url": f"http://images.cocodataset.org/train2017/{id:012d}.jpg",
        "height": 40,
        "width": 56,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm7.staticflickr.com/6116/62558{id}_z.jpg",
        "id": id,
    }


def content(licences: dict[int, int]) -> dict[str, Any]:
    """What a file of COCO holds: photograph -> number of its licence, and annotations that nothing here reads."""
    return {
        "info": {"description": "COCO 2017 Dataset", "year": 2017},
        "licenses": LICENCES,
        "images": [image(id, licence) for id, licence in licences.items()],
        "annotations": [{"segmentation": [[1.5, 2.25]], "image_id": id, "id": 7} for id in licences],
        "categories": [{"supercategory": "person", "id": 1, "name": "person"}],
    }


def write_info(folder: Path, train: dict[int, int], val: dict[int, int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for subset, licences in (("train2017", train), ("val2017", val)):
        (folder / f"instances_{subset}.json").write_text(json.dumps(content(licences)))
    return folder


def test_each_of_cocos_eight_licences_has_terms(tmp_path: Path) -> None:
    folder = write_info(tmp_path, {number: number for number in range(1, 9)}, {9: 4})
    wanted = [f"{number:012d}" for number in (*range(1, 9), 9, 77)]
    found = read_coco_info(folder, wanted)
    assert {int(id): photograph.licence for id, photograph in found.items()} == NAMES | {9: "cc-by-2.0"}
    assert all(find_terms(photograph.licence) is not None for photograph in found.values())
    assert found["000000000003"].url == "http://farm7.staticflickr.com/6116/625583_z.jpg"
    assert set(read_coco_info(folder, ["000000000002"])) == {"000000000002"}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("first", ["annotations", "images", "info"])
def test_any_order_of_the_lists_and_any_piece_of_the_file_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, first: str
) -> None:
    monkeypatch.setattr(coco_info, "_CHUNK_CHARACTERS", chunk)
    whole = content({5: 2, 6: 8}) | {"year": 2017}
    order = [first, "year", *[name for name in whole if name not in (first, "year")]]
    path = tmp_path / "image_info.json"
    path.write_text(json.dumps({name: whole[name] for name in order}, indent=1))
    assert read_coco_info(path, ["000000000005", "000000000006"]) == {
        f"{id:012d}": CocoPhotograph(NAMES[licence], f"http://farm7.staticflickr.com/6116/62558{id}_z.jpg")
        for id, licence in ((5, 2), (6, 8))
    }


def test_the_annotations_behind_the_lists_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "instances_train2017.json"
    text = json.dumps(content({5: 2}))
    path.write_text(text[: text.index('"annotations"')] + "here the file is broken")
    assert set(read_coco_info(path, ["000000000005"])) == {"000000000005"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends in the middle"),
        ("[]", "'\\['"),
        ('{"licenses": []}', "no list images"),
        ('{"licenses": [], "images": [{"license": 1}]}', "file_name"),
        ('{"licenses": [], "images": [{"license": 1, "file_name": "000000000001.jpg"}]}', "KeyError"),
        ('{"licenses": [{"id": 1, ', "is not an annotation file of COCO"),
        ('{"licenses": ' + "[" * 100_000, "RecursionError"),
        ('{"licenses": [{"id": 1, "url": "", "name": "a\\u001b[2J"}]}', "a licence is called"),
        ('{"licenses": [{"id": 1, "url": 3, "name": ""}]}', "is not an annotation file of COCO"),
    ],
)
def test_another_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadSetup, match=said):
        read_coco_info(path, ["000000000001"])


def test_a_folder_must_have_both_halves(tmp_path: Path) -> None:
    write_info(tmp_path, {1: 1}, {2: 2})
    (tmp_path / "instances_val2017.json").unlink()
    with pytest.raises(BadSetup, match=r"lacks \*_val2017\.json"):
        read_coco_info(tmp_path, [])


def make(folder: Path, root: Path, licences: tuple[str, ...] = (), info: str = "info") -> tuple[Report, dict[str, Any]]:
    stage = MulanForegrounds(
        folder / "annotations", folder / "images", GATES, 8, coco_info=str(folder / info), licences=licences
    )
    report = run_stage(stage, Store(str(root)), SerialEngine())
    tables = [pq.read_table(root / f"foregrounds/mulan/{shard}.parquet").to_pylist() for shard in report.shards]
    return report, {row["id"].removeprefix("mulan-00000000000"): row for table in tables for row in table}


def test_cutouts_carry_the_photographs_licence_and_address(tmp_path: Path) -> None:
    make_tree(tmp_path)
    write_info(tmp_path / "info", {1: 4, 3: 1}, {2: 2})
    report, rows = make(tmp_path, tmp_path / "root")
    assert {id: row["licence"] for id, row in rows.items()} == {
        "1-1": "cc-by-nc-sa-4.0 AND cc-by-2.0",
        "1-2": "cc-by-nc-sa-4.0 AND cc-by-2.0",
        "2-1": "cc-by-nc-sa-4.0 AND cc-by-nc-2.0",
        "3-1": "cc-by-nc-sa-4.0 AND cc-by-nc-sa-2.0",
    }
    assert rows["2-1"]["attribution"].endswith(
        "COCO 2017 picture 000000000002, http://farm7.staticflickr.com/6116/625582_z.jpg"
    )
    assert combined_licence(row["licence"] for row in rows.values()).licence == "cc-by-nc-sa-4.0"
    # A photograph whose licence changes makes its shard again, and no other.
    write_info(tmp_path / "info", {1: 4, 3: 1}, {2: 4})
    report, rows = make(tmp_path, tmp_path / "root")
    assert report.num_made == 1 and rows["2-1"]["licence"] == "cc-by-nc-sa-4.0 AND cc-by-2.0"


def test_photographs_of_other_licences_are_dropped_and_counted(tmp_path: Path) -> None:
    make_tree(tmp_path)
    write_info(tmp_path / "info", {1: 4}, {2: 6})
    report, rows = make(tmp_path, tmp_path / "root", ("cc-by-2.0", "cc-by-nc-2.0"))
    assert set(rows) == {"1-1", "1-2"}
    drops = {drop["id"]: drop for drop in report.drops}
    assert {id: drop["reason"] for id, drop in drops.items()} == dict.fromkeys(
        (f"mulan-00000000000{number}" for number in (2, 3, 4)), "unlicensed"
    )
    assert "under cc-by-nd-2.0, which mulan.licences does not name" in drops["mulan-000000000002"]["detail"]
    assert "under unknown" in drops["mulan-000000000003"]["detail"]
    with pytest.raises(BadSetup, match="they differ in licences"):
        make(tmp_path, tmp_path / "root")


def test_a_profile_names_known_licences_and_where_they_are_written() -> None:
    folders = {"annotations": "a", "images": "b"}
    config = MulanConfig(**folders, licences=("CC BY 2.0", f"{CC}/by-nc/2.0/"), coco={"info": "c"})
    assert config.licences == ("cc-by-2.0", "cc-by-nc-2.0")
    with pytest.raises(ValidationError, match=r"licence of pipelines/licences/terms\.csv, got 'cc-by-9.9'"):
        MulanConfig(**folders, licences=("cc-by-9.9",), coco={"info": "c"})
    with pytest.raises(ValidationError, match=r"licences needs coco\.info"):
        MulanConfig(**folders, licences=("cc-by-2.0",))
    with pytest.raises(ValidationError, match="must name 'unknown' where laion"):
        MulanConfig(**folders, licences=("cc-by-2.0",), coco={"info": "c"}, laion={"use": True})
    assert MulanConfig(**folders, licences=("unknown",)).licences == ("unknown",)
