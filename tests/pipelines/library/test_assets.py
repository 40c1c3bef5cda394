"""What is drawn is what was recorded: damaged, replaced or lost bytes stop the run, and nothing changes in silence."""

import pytest

from decoupage.faults import BadSetup
from pipelines.library.assets import Assets
from pipelines.library.catalogue import read_backgrounds, read_catalogue, read_foregrounds
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.library import scenes_config, write_library, write_photographs


@pytest.fixture
def store(tmp_path):
    write_library(str(tmp_path))
    return Store(str(tmp_path))


def stage_of(store):
    return ScenesStage(store, Store(f"{store.root}/photographs"), scenes_config())


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def tars_of(store):
    return {f"scenes/{name}": store.read(f"scenes/{name}") for name in store.names("scenes", ".tar")}


@pytest.mark.parametrize("damage", ["flipped", "cut", "lost"])
def test_a_damaged_tar_of_cutouts_stops_and_restored_gives_the_same_bytes(store, damage):
    run_stage(stage_of(store), store, SerialEngine())
    before = tars_of(store)
    record = read_catalogue(store, ForegroundRecord)[0][0]
    path, whole = record.tar, store.read(record.tar)
    for scenes in store.names("scenes"):
        store.remove(f"scenes/{scenes}")
    if damage == "lost":
        store.remove(path)
    else:
        at = record.offset + record.num_bytes // 2
        store.write(path, whole[:at] if damage == "cut" else flipped(whole, at))
    with pytest.raises(BadSetup, match=rf"{path} is missing or damaged.*restore it, or remove .*00000\.json"):
        Assets(store, store).cutout(record)
    store.write(path, whole)
    run_stage(stage_of(store), store, SerialEngine())
    assert tars_of(store) == before


@pytest.mark.parametrize("damage", ["replaced", "cut", "lost", "folder"])
def test_a_photograph_that_is_not_the_indexed_one_stops(store, damage):
    photographs = Store(f"{store.root}/photographs")
    record = next(r for r in read_catalogue(store, BackgroundRecord)[0] if r.path == "photo1.png")
    whole = photographs.read(record.path)
    photographs.remove(record.path)
    if damage == "replaced":
        photographs.write(record.path, photographs.read("photo2.png"))
    elif damage == "cut":
        photographs.write(record.path, whole[:-20])
    elif damage == "folder":
        photographs.write(f"{record.path}/inside.png", b"")
    with pytest.raises(
        BadSetup, match=r"photo1\.png (is not the file|is missing|cannot be read).*restore it, or remove"
    ):
        run_stage(stage_of(store), store, SerialEngine())
    photographs.remove(record.path)
    photographs.write(record.path, whole)
    assert Assets(store, photographs).photograph(record).shape == (240, 320, 3)


@pytest.mark.parametrize(("stage", "read"), [("foregrounds/real", read_foregrounds), ("backgrounds", read_backgrounds)])
def test_an_index_that_its_manifest_does_not_record_is_not_read(store, stage, read):
    path = f"{stage}/00000.parquet"
    store.write(path, flipped(store.read(path), 100))
    with pytest.raises(BadSetup, match=r"00000\.parquet is missing or damaged; restore it, or remove"):
        read(store, stage)


def test_a_damaged_catalogue_is_not_drawn_from(store):
    path = "library/backgrounds.parquet"
    store.write(path, flipped(store.read(path), 100))
    with pytest.raises(BadSetup, match="make the backgrounds library again"):
        stage_of(store).inputs("00000")
    store.write("library/backgrounds.json", b'{"sha256"')
    with pytest.raises(BadSetup, match=r"backgrounds\.json is not JSON"):
        read_catalogue(store, BackgroundRecord)


def test_a_replaced_photograph_is_indexed_again_where_its_size_differs(tmp_path):
    write_library(str(tmp_path), photographs=(0, 1, 2, 3))
    store = Store(str(tmp_path))
    before = {record.id: record.sha256 for record in read_backgrounds(store, "backgrounds")}
    photographs = Store(f"{tmp_path}/photographs")
    write_photographs(photographs, (9,))
    photographs.write("photo1.png", photographs.read("photo9.png") + b"more")
    photographs.remove("photo9.png")
    from pipelines.backgrounds.stage import BackgroundsStage
    from pipelines.config import BackgroundConfig

    index = BackgroundsStage(photographs, BackgroundConfig(folder=photographs.root, min_side_px=100), "tests")
    run_stage(index, store, SerialEngine())
    after = {record.id: record.sha256 for record in read_backgrounds(store, "backgrounds")}
    assert before.keys() == after.keys() and sum(before[id_] != after[id_] for id_ in before) == 1


def test_one_id_for_two_assets_is_refused(tmp_path):
    from dataclasses import replace

    from pipelines.config import LibraryConfig
    from pipelines.library.catalogue import build_catalogue

    write_library(str(tmp_path))
    store = Store(str(tmp_path))
    records = read_backgrounds(store, "backgrounds")
    same = [*records, replace(records[0], origin="another")]
    with pytest.raises(BadSetup, match="two assets have the id"):
        build_catalogue(store, same, LibraryConfig())
