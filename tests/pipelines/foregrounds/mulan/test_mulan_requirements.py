"""What doctor is told of MULAN: folders, lists, photographs that are missing, disk."""

from pathlib import Path

from decoupage.requirements import Requirement
from pipelines.config.foregrounds import CocoConfig, LaionConfig, MulanConfig
from pipelines.foregrounds.mulan.requirements import requirements
from tests.pipelines.foregrounds.mulan.test_coco_info import write_info
from tests.pipelines.foregrounds.mulan.trees import COCO_TRAIN, COCO_VAL, LAION, annotate, photograph


def find(folder: Path, **changes: object) -> dict[str, Requirement]:
    config = MulanConfig(annotations=str(folder / "annotations"), images=str(folder / "images"))
    return {requirement.name: requirement for requirement in requirements(config.model_copy(update=changes))}


def test_nothing_is_needed_of_a_packaged_tree() -> None:
    assert requirements(MulanConfig(source="packaged")) == []


def test_absent_folders_are_named_with_what_gets_them(tmp_path: Path) -> None:
    found = find(tmp_path, test_ids=str(tmp_path / "ids.txt"))
    assert {name for name, requirement in found.items() if not requirement.present} == {
        *("mulan.annotations", "mulan.images", "mulan.test_ids")
    }
    assert "unpack MULAN's archive" in found["mulan.annotations"].fix
    assert [round(space.gb, 1) for space in found["mulan.annotations"].space] == [36.6, 13.1]
    assert [round(space.gb, 1) for space in found["mulan.images"].space] == [38.6]
    fetched = find(tmp_path, coco=CocoConfig(download=True))
    assert [round(space.gb, 1) for space in fetched["mulan.images"].space] == [2.7]
    assert "DECOUPAGE__MULAN__COCO__DOWNLOAD=true" in found["mulan.images"].fix


def test_cocos_files_on_licences_are_named_with_what_gets_them(tmp_path: Path) -> None:
    found = find(tmp_path)["mulan.coco.info"]
    assert found.present and "unknown licence" in found.found
    folder = tmp_path / "info"
    config = CocoConfig(info=str(folder))
    absent = find(tmp_path, coco=config)["mulan.coco.info"]
    assert not absent.present and "annotations_trainval2017.zip (241 MB)" in absent.fix
    write_info(folder, {1: 1}, {2: 2})
    assert find(tmp_path, coco=config)["mulan.coco.info"].present


def test_missing_photographs_are_counted(tmp_path: Path) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL, LAION)
    photograph(tmp_path, "val2017", COCO_VAL)
    found = find(tmp_path)
    assert not found["mulan.photographs"].present and "1 of 2 missing" in found["mulan.photographs"].found
    assert sum(space.gb for space in found["mulan.photographs"].space) == 0
    (tmp_path / "links.csv").write_text("file_id,url\n")
    laion = LaionConfig(use=True, links=str(tmp_path / "links.csv"))
    fetched = find(tmp_path, coco=CocoConfig(download=True), laion=laion)
    assert fetched["mulan.photographs"].present and fetched["mulan.photographs"].found.startswith("2 of 3 missing, 2")
    assert all(requirement.present for requirement in fetched.values())
    assert [round(space.gb * 1e3, 2) for space in fetched["mulan.photographs"].space] == [0.17 + 0.6]
    photograph(tmp_path, "train2017", COCO_TRAIN)
    assert find(tmp_path)["mulan.photographs"].present


def test_an_empty_folder_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    assert not find(tmp_path)["mulan.photographs"].present
