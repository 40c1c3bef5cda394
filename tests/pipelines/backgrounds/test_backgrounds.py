"""The background index: attribution, rotation, and bad files that do not stop the others."""

import io

import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_jpeg, encode_png
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.config import BackgroundConfig
from pipelines.library.assets import Assets
from pipelines.library.catalogue import read_backgrounds
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store

HEADER = "file,origin,licence,attribution,caption,rotation_deg_ccw\n"


def index(tmp_path, **changes):
    folder = Store(str(tmp_path / "photos"))
    config = BackgroundConfig(folder=folder.root, min_side_px=32, **changes)
    stage = BackgroundsStage(folder, config, "photos")
    store = Store(str(tmp_path / "store"))
    report = run_stage(stage, store, SerialEngine())
    records = {record.id: record for record in read_backgrounds(store, "backgrounds")}
    return records, {drop["id"]: drop["reason"] for drop in report.drops}, Assets(store, folder)


def picture(height=60, width=80):
    """Red above, blue below."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, :, 0] = rgb[height // 2 :, :, 2] = 255
    return rgb


def test_rotation_of_the_csv_is_counter_clockwise(tmp_path):
    photos = Store(str(tmp_path / "photos"))
    for name in ("a", "b"):
        photos.write(f"{name}.png", encode_png(picture()))
    photos.write("attribution.csv", (HEADER + "a.png,first,CC0,me,sky,0.0\nb.png,second,CC-BY,you,sea,90\n").encode())
    records, _, assets = index(tmp_path)
    assert (records["photos-b"].origin, records["photos-b"].licence) == ("second", "CC-BY")
    upright = assets.photograph(records["photos-b"])
    # A quarter turn counter-clockwise takes the upper half to the left.
    assert upright.shape == (80, 60, 3) and (upright[:, 0] == [255, 0, 0]).all()
    assert assets.photograph(records["photos-a"]).shape == (60, 80, 3)


@pytest.mark.parametrize(("tag", "turn"), [(1, 0), (3, 180), (6, 270), (8, 90)])
def test_rotation_of_the_camera_is_obeyed(tmp_path, tag, turn):
    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[0x0112] = tag
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    Store(str(tmp_path / "photos")).write("a.jpg", buffer.getvalue())
    records, _, assets = index(tmp_path)
    assert records["photos-a"].rotation_deg_ccw == turn
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue()))))
    assert (assets.photograph(records["photos-a"]) == expected).all()


def test_bad_files_are_dropped_with_reasons(tmp_path):
    photos = Store(str(tmp_path / "photos"))
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    whole = encode_jpeg(noise)
    photos.write("good.jpg", whole)
    photos.write("cut.jpg", whole[: len(whole) // 2])
    photos.write("text.png", b"not a picture")
    photos.write("tiny.png", encode_png(noise[:20, :20]))
    photos.write("flat.png", encode_png(np.full((60, 80, 3), 90, np.uint8)))
    photos.write("which_way.png", encode_png(noise))
    photos.write("attribution.csv", (HEADER + "which_way.png,w,CC0,me,,nan\n").encode())
    records, drops, _ = index(tmp_path, min_sharpness=5.0)
    assert set(records) == {"photos-good"}
    assert drops == {
        "cut.jpg": "truncated",
        "text.png": "bad_image",
        "tiny.png": "too_small",
        "flat.png": "blurred",
        "which_way.png": "unknown_rotation",
    }


def test_folders_are_searched_and_are_part_of_the_name(tmp_path):
    photos = Store(str(tmp_path / "photos"))
    for name in ("a.png", "train/a.png", "test/deep/a.png", ".partial/b.png", "notes.txt"):
        photos.write(name, encode_png(picture()))
    photos.write("attribution.csv", (HEADER + "train/a.png,first,CC0,me,sky,0\n").encode())
    records, drops, assets = index(tmp_path)
    assert set(records) == {"photos-a", "photos-train-a", "photos-test-deep-a"} and not drops
    assert records["photos-train-a"].origin == "first"
    assert assets.photograph(records["photos-test-deep-a"]).shape == (60, 80, 3)


def test_bad_set_ups_stop_before_work(tmp_path):
    with pytest.raises(BadSetup, match="holds no pictures"):
        index(tmp_path)
    Store(str(tmp_path / "photos")).write("a.png", encode_png(picture()))
    Store(str(tmp_path / "photos")).write("attribution.csv", b"file,licence\n")
    with pytest.raises(BadSetup, match="lacks the columns"):
        index(tmp_path)
