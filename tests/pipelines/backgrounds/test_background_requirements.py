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


def test_the_disk_must_hold_the_budget(tmp_path):
    config = BackgroundConfig(source="openimages", openimages=OpenImagesConfig(max_gb=99_999))
    assert missing(config, tmp_path / "not" / "yet") == {"openimages.disk"}
    assert missing(config, "memory://root") == {"openimages.disk"}
