"""What photographs need is told before anything is fetched."""

from pipelines.backgrounds.openimages.lists import wanted
from pipelines.backgrounds.requirements import requirements
from pipelines.config import BackgroundConfig, OpenImagesConfig


def missing(config, root):
    return {requirement.name for requirement in requirements(config, str(root)) if not requirement.present}


def test_packaged_photographs_need_nothing(tmp_path):
    assert requirements(BackgroundConfig(source="packaged"), str(tmp_path)) == []


def test_a_folder_must_be_there(tmp_path):
    assert missing(BackgroundConfig(folder=str(tmp_path / "no")), tmp_path) == {"backgrounds.folder"}
    assert missing(BackgroundConfig(folder=str(tmp_path)), tmp_path) == set()


def test_local_lists_must_be_there_and_addresses_need_not(tmp_path):
    local = OpenImagesConfig(lists=str(tmp_path), max_gb=0.001)
    config = BackgroundConfig(source="openimages", openimages=local)
    names = {"openimages.classes", "openimages.train.images", "openimages.train.labels", "openimages.train.boxes"}
    assert missing(config, tmp_path) == names
    for place in wanted(local).values():
        (tmp_path / place.rpartition("/")[2]).write_bytes(b"")
    assert missing(config, tmp_path) == set()
    remote = OpenImagesConfig(subsets=("validation",), max_gb=0.001)
    assert missing(BackgroundConfig(source="openimages", openimages=remote), tmp_path) == set()


def test_room_is_asked_for_the_budget_less_what_is_there(tmp_path):
    config = BackgroundConfig(source="openimages", openimages=OpenImagesConfig(subsets=("train",), max_gb=12.0))
    *_, folder = requirements(config, str(tmp_path / "not" / "yet"))
    assert [(space.folder, round(space.gb, 1)) for space in folder.space] == [(str(tmp_path / "not" / "yet"), 17.8)]
    (tmp_path / "train").mkdir()
    with (tmp_path / "train" / "a.jpg").open("wb") as file:
        file.truncate(10**10)
    *_, folder = requirements(config, str(tmp_path))
    assert round(folder.space[0].gb, 1) == 7.8
    assert missing(config, "memory://root") == {"openimages.folder"}
