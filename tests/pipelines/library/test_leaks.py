"""The leak check: whatever form an evaluation picture takes in training, it is found; and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from decoupage.images.codecs import decode_rgba
from pipelines import checks
from pipelines.config import LibraryConfig
from pipelines.library.catalogue import (
    build_catalogue,
    read_backgrounds,
    read_catalogue,
    read_foregrounds,
    write_catalogue,
)
from pipelines.library.leaks import LEAKS, find_leaks, shown_assets
from pipelines.library.names import asset_id
from pipelines.library.picture_hashes import perceptual_hash
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.stages.store import Store
from tests.library import write_library

PHOTO1 = asset_id("tests", "photo1.png")
CLEAN = LibraryConfig(held_out=("real-5", "photo4"), held_out_share=0.0)


@pytest.fixture
def store(tmp_path):
    write_library(str(tmp_path / "root"))
    made = Store(str(tmp_path / "root"))
    build_libraries(made, CLEAN)
    return made


def build_libraries(store, config):
    folder = Store(f"{store.root}/photographs")
    found = [r for kind in ("real", "generated") for r in read_foregrounds(store, f"foregrounds/{kind}")]
    build_catalogue(store, found, config, photographs=folder)
    return build_catalogue(store, read_backgrounds(store, "backgrounds"), config, photographs=folder)


def leaks_of(store, *lists, trained_on=(), tested_on=()):
    config = CLEAN.model_copy(update={"evaluation_lists": tuple(str(path) for path in lists)})
    return find_leaks(store, Store(f"{store.root}/photographs"), config, trained_on, tested_on)


def evaluation_folder(tmp_path, picture, name="test.jpg", **options):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    picture.save(folder / name, **options)
    return folder


def photograph(store, number=1):
    return Image.open(f"{store.root}/photographs/photo{number}.png").convert("RGB")


FORMS = {
    "exact": lambda picture: picture,
    "resized": lambda picture: picture.resize((190, 140)),
    "enlarged": lambda picture: picture.resize((900, 660)),
    "mirrored": ImageOps.mirror,
    "mirrored and resized": lambda picture: ImageOps.mirror(picture).resize((190, 140)),
    "turned": lambda picture: picture.rotate(90, expand=True),
    "upside down": ImageOps.flip,
    "darker": lambda picture: picture.point(lambda value: int(value * 0.8)),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_injected_photograph_is_found_in_every_form(store, tmp_path, form):
    folder = evaluation_folder(tmp_path, FORMS[form](photograph(store)), quality=60)
    found = leaks_of(store, folder)
    assert {(leak.training, leak.by) for leak in found.leaks} == {(PHOTO1, "picture")}
    result = checks.no_leak(found)
    assert not result.passed and "1 of" in result.sentence
    assert result.figures["examples"] == [f"{PHOTO1} = test.jpg ({folder}, by picture)"]
    assert f"{PHOTO1},test.jpg".encode() in store.read(LEAKS)


def test_the_same_file_is_found_by_its_bytes(store, tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "x.png").write_bytes(store.read("photographs/photo1.png"))
    assert {(leak.training, leak.by) for leak in leaks_of(store, folder).leaks} == {
        (PHOTO1, "bytes"),
        (PHOTO1, "picture"),
    }


def test_the_library_leaves_out_what_a_list_shows(store, tmp_path):
    folder = evaluation_folder(tmp_path, ImageOps.mirror(photograph(store)), quality=60)
    config = CLEAN.model_copy(update={"evaluation_lists": (str(folder),)})
    report = build_libraries(store, config)
    assert [(drop["id"], drop["reason"]) for drop in report.drops] == [(PHOTO1, "leak")]
    assert checks.no_leak(leaks_of(store, folder)).passed


def test_a_cutout_in_a_folder_is_compared_as_a_cutout(store, tmp_path):
    record = next(r for r in read_catalogue(store, ForegroundRecord)[0] if r.split == "train")
    rgba = decode_rgba(store.read_range(record.tar, record.offset, record.num_bytes))
    canvas = np.zeros((300, 400, 4), np.uint8)
    canvas[60 : 60 + rgba.shape[0], 90 : 90 + rgba.shape[1]] = rgba
    folder = evaluation_folder(tmp_path, Image.fromarray(canvas), "cutout.png")
    assert record.id in {leak.training for leak in leaks_of(store, folder).leaks}


def test_other_pictures_and_what_is_held_out_do_not_leak(store, tmp_path):
    coarse = np.random.default_rng(99).integers(0, 256, (9, 9, 3), np.uint8)
    folder = evaluation_folder(tmp_path, Image.fromarray(np.kron(coarse, np.ones((30, 30, 1), np.uint8))))
    photograph(store, 4).save(folder / "held_out.png")  # In the library, and not for training.
    found = leaks_of(store, folder)
    assert not found.leaks and found.lists == {"held-out foregrounds": 1, "held-out backgrounds": 1, str(folder): 2}
    assert found.num_training == 8 + 6 + 5 - 2 - dropped(store)
    assert checks.no_leak(found).passed


def dropped(store):
    """Near duplicates that the library left out."""
    return 19 - sum(len(read_catalogue(store, kind)[0]) for kind in (ForegroundRecord, BackgroundRecord))


@pytest.mark.parametrize("entry", [PHOTO1, "tests-photo1", "photo1", "somewhere/photo1.jpg"])
def test_a_listed_id_or_origin_is_found(store, tmp_path, entry):
    (tmp_path / "ids.txt").write_text(f"{entry}\n")
    assert {(leak.training, leak.by) for leak in leaks_of(store, tmp_path / "ids.txt").leaks} == {(PHOTO1, "name")}


def rewrite(store, kind, change):
    """Put other records into a catalogue, past what the library would refuse."""
    write_catalogue(store, change(read_catalogue(store, kind)[0]))


def test_coco_pictures_are_found_by_their_published_id(store, tmp_path):
    def renamed(records):
        return [replace(r, id="mulan-000000000139-2", origin="mulan-000000000139") for r in records[:1]] + records[1:]

    rewrite(store, ForegroundRecord, renamed)
    (tmp_path / "test.csv").write_text("image_id\n139\n")
    assert {leak.training for leak in leaks_of(store, tmp_path / "test.csv").leaks} == {"mulan-000000000139-2"}


def test_a_mirrored_copy_of_a_held_out_cutout_is_found(store):
    records = {record.id: record for record in read_catalogue(store, ForegroundRecord)[0]}
    held_out = records["real-5"]
    assert held_out.split == "test"
    mirrored = decode_rgba(store.read_range(held_out.tar, held_out.offset, held_out.num_bytes))[:, ::-1]
    copy = replace(
        held_out,
        id="copy",
        origin="elsewhere",
        split="train",
        sha256="0" * 64,
        perceptual_hash=perceptual_hash(np.ascontiguousarray(mirrored)),
    )
    rewrite(store, ForegroundRecord, lambda found: [*found, copy])
    found = leaks_of(store)
    found_as = {(leak.training, leak.evaluation, leak.list, leak.by) for leak in found.leaks}
    assert ("copy", "real-5", "held-out foregrounds", "picture") in found_as


def test_a_held_out_asset_in_a_training_shard_is_found(store):
    found = leaks_of(store, trained_on=["real-5"])
    assert {(leak.training, leak.by) for leak in found.leaks} >= {("real-5", "name")}
    found = leaks_of(store, tested_on=["real-1"])
    assert {leak.training for leak in found.leaks} == {"real-1"}


def test_an_origin_in_both_splits_is_found(store):
    def shared(records):
        return [replace(r, origin="real-5") if r.id == "real-1" else r for r in records]

    rewrite(store, ForegroundRecord, shared)
    assert {(leak.training, leak.evaluation) for leak in leaks_of(store).leaks} == {("real-1", "real-5")}


def test_what_nobody_knows_or_can_read_fails_the_check(store, tmp_path):
    folder = evaluation_folder(tmp_path, photograph(store, 4), "held_out.png")
    (folder / "broken.png").write_bytes(b"no picture")
    found = leaks_of(store, folder, trained_on=["gone"])
    result = checks.no_leak(found)
    assert not found.leaks and not result.passed
    assert result.figures["unknown"] == ["gone"] and result.figures["unreadable"] == ["broken.png (bad_image)"]


def test_no_shards_show_no_assets(store):
    assert shown_assets(store, "shards") == set()
