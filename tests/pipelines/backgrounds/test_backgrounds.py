"""The background index: attribution, rotation, and bad files that do not stop the others."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_jpeg, encode_png
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.config import BackgroundConfig, LibraryConfig
from pipelines.library.assets import Assets
from pipelines.library.catalogue import build_catalogue, read_backgrounds
from pipelines.library.evaluation_lists import read_evaluation_list
from pipelines.library.picture_hashes import HashCache
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
        photos.write(f"{name}.jpg", encode_png(picture()))
    photos.write("attribution.csv", (HEADER + "a.jpg,first,CC0,me,sky,0.0\nb.jpg,second,CC-BY,you,sea,90\n").encode())
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
    for name in ("a.jpg", "train/a.jpg", "test/deep/a.jpg", ".partial/b.jpg", "notes.txt"):
        photos.write(name, encode_jpeg(picture()))
    photos.write("attribution.csv", (HEADER + "train/a.jpg,first,CC0,me,sky,0\n").encode())
    records, drops, assets = index(tmp_path)
    by_path = {record.path: record for record in records.values()}
    assert set(by_path) == {"a.jpg", "train/a.jpg", "test/deep/a.jpg"} and not drops
    assert by_path["a.jpg"].id == "photos-a"
    assert by_path["train/a.jpg"].id.startswith("photos-train-a-x") and by_path["train/a.jpg"].origin == "first"
    assert by_path["test/deep/a.jpg"].origin == "test/deep/a"
    assert assets.photograph(by_path["test/deep/a.jpg"]).shape == (60, 80, 3)


def test_bad_set_ups_stop_before_work(tmp_path):
    with pytest.raises(BadSetup, match="holds no pictures"):
        index(tmp_path)
    Store(str(tmp_path / "photos")).write("a.png", encode_png(picture()))
    Store(str(tmp_path / "photos")).write("attribution.csv", b"file,licence\n")
    with pytest.raises(BadSetup, match="lacks the columns"):
        index(tmp_path)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flower(size=(160, 120)):
    """A photograph of smooth colours, [H, W, 3]."""
    coarse = np.random.default_rng(5).integers(0, 256, (9, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def test_sixteen_bit_gray_is_the_picture_of_its_eight_bit_copy(tmp_path):
    gray = np.asarray(Image.fromarray(flower()).convert("L"))
    photos = Store(str(tmp_path / "photos"))
    photos.write("deep.png", saved(Image.fromarray(gray.astype(np.uint16) * 257), "PNG"))
    photos.write("flat.png", saved(Image.fromarray(gray), "PNG"))
    photos.write("twelve.png", saved(Image.fromarray(gray.astype(np.uint16) * 16), "PNG"))
    records, drops, assets = index(tmp_path)
    deep, flat = (next(r for r in records.values() if r.path == f"{name}.png") for name in ("deep", "flat"))
    assert deep.perceptual_hash == flat.perceptual_hash and drops == {"twelve.png": "pixel_type"}
    assert (assets.photograph(deep) == gray[..., None]).all()
    folder = tmp_path / "evaluation"
    Store(str(folder)).write("copy.png", photos.read("deep.png"))
    listed = read_evaluation_list(str(folder), HashCache(Store(str(tmp_path / "cache"))))
    assert flat.perceptual_hash in listed.pictures["copy.png"].hashes


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_a_cutout_is_no_photograph(tmp_path, mode):
    rgba = Image.fromarray(np.dstack([flower(), np.full((120, 160), 255, np.uint8)]))
    rgba.putpixel((3, 3), (10, 20, 30, 0))
    image = rgba.convert(mode) if mode != "P" else rgba.convert("RGB").quantize(64)
    options = {"transparency": 0} if mode == "P" else {}
    if mode == "PA":
        image = rgba
    Store(str(tmp_path / "photos")).write("cut.png", saved(image, "PNG", **options))
    Store(str(tmp_path / "photos")).write("good.jpg", encode_jpeg(flower()))
    records, drops, _ = index(tmp_path)
    assert set(records) == {"photos-good"} and drops == {"cut.png": "transparent"}


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("WEBP", "webp"), ("JPEG", "jpg")])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"\xff" * 40, b"MM\0*\0\0\0\x08\xff\xff"])
def test_a_damaged_orientation_tag_is_none(tmp_path, kind, suffix, exif):
    data = saved(Image.fromarray(flower()), kind, exif=exif)
    Store(str(tmp_path / "photos")).write(f"a.{suffix}", data)
    records, drops, assets = index(tmp_path)
    assert not drops and [record.rotation_deg_ccw for record in records.values()] == [0]
    assert assets.photograph(next(iter(records.values()))).shape == (120, 160, 3)


def test_alike_names_are_different_photographs_and_a_repeat_is_dropped_alone(tmp_path):
    photos = Store(str(tmp_path / "photos"))
    pair, other, third = flower(), flower()[::-1], flower()[:, ::-1].copy()
    photos.write("pair.jpg", encode_jpeg(pair))
    photos.write("pair.png", encode_png(pair))
    photos.write("a-b.jpg", encode_jpeg(other))
    photos.write("a/b.jpg", encode_jpeg(third))
    records, drops, _ = index(tmp_path)
    assert len(records) == 4 and not drops
    store = Store(str(tmp_path / "store"))
    listed = tmp_path / "takedowns.txt"
    config = LibraryConfig(held_out_share=0.0, takedowns=str(listed))
    listed.write_text("")
    assert {r.path for r in build_catalogue(store, list(records.values()), config).records} == {
        *("pair.jpg", "a-b.jpg", "a/b.jpg")
    }
    listed.write_text("\ufeffphotos-a-b\r\n", encoding="utf-8")
    assert {r.path for r in build_catalogue(store, list(records.values()), config).records} == {"pair.jpg", "a/b.jpg"}
    # Where the name is no id any more, it still takes down what it named when ids were not unique.
    without = [record for record in records.values() if record.path != "a-b.jpg"]
    assert {r.path for r in build_catalogue(store, without, config).records} == {"pair.jpg"}


def test_files_that_cannot_be_used_do_not_stop_the_others(tmp_path):
    folder = tmp_path / "photos"
    photos = Store(str(folder))
    data = encode_jpeg(flower())
    photos.write("good.jpg", data)
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(data)
    for name in (b"caf\xe9.jpg", b"a\\b.jpg", b"n\nl.jpg", b"\x1b[2J.jpg", b"._good.jpg", b".DS_Store", b"Thumbs.db"):
        (folder / os.fsdecode(name)).write_bytes(data)
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "deep.jpg").write_bytes(data)
    (folder / "loop").symlink_to(".")
    (folder / "inside.jpg").symlink_to("good.jpg")
    (folder / "out.jpg").symlink_to(outside)
    (folder / "dead.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    records, drops, _ = index(tmp_path)
    assert {record.path for record in records.values()} == {"good.jpg", "inside.jpg", "folder.jpg/deep.jpg"}
    assert drops == {
        "caf\\udce9.jpg": "bad_name",
        "a\\b.jpg": "bad_name",
        "n\\nl.jpg": "bad_name",
        "\\x1b[2J.jpg": "bad_name",
        "out.jpg": "outside",
        "dead.jpg": "missing_image",
        "pipe.jpg": "not_a_file",
    }


ROW = "good.jpg,good,cc-by-2.0,A,x,0\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((HEADER + "good.jpg,good,cc-by-2.0,Ren\u00e9,x,0\n").encode("latin-1"), "line 2, byte 28 .e9. is not UTF-8"),
        ((HEADER + ROW).encode("utf-16"), "is UTF-16"),
        ((HEADER + "good.jpg,good,cc-by-2.0\n").encode(), "line 2: 3 values, the heading has 6"),
        ((HEADER + ROW.replace(",0", ",none")).encode(), "line 2: rotation_deg_ccw must be .*got 'none'"),
        ((HEADER + ROW.replace(",0", ",45")).encode(), "line 2: rotation_deg_ccw must be .*got '45'"),
        ((HEADER + ROW + ROW.replace("cc-by-2.0", "cc0-1.0")).encode(), "line 3: another line gives other values for"),
        ((HEADER + 'good.jpg,"good\n').encode(), "attribution.csv, line 2: "),
    ],
)
def test_a_bad_table_of_attributions_is_named_with_its_line(tmp_path, data, message):
    photos = Store(str(tmp_path / "photos"))
    photos.write("good.jpg", encode_jpeg(flower()))
    photos.write("attribution.csv", data)
    with pytest.raises(BadSetup, match=message):
        index(tmp_path)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_line_ends_are_read(tmp_path, ends):
    photos = Store(str(tmp_path / "photos"))
    photos.write("good.jpg", encode_jpeg(flower()))
    photos.write("attribution.csv", ("\ufeff" + HEADER + ROW).replace("\n", ends).encode())
    records, _, _ = index(tmp_path)
    assert records["photos-good"].licence == "cc-by-2.0"


def test_lines_that_match_no_file_are_told(tmp_path, caplog):
    photos = Store(str(tmp_path / "photos"))
    photos.write("good.jpg", encode_jpeg(flower()))
    photos.write("attribution.csv", (HEADER + ROW.replace("good.jpg", "./Good.jpg")).encode())
    index(tmp_path)
    assert "1 of 1 lines match no file in its folder: './Good.jpg' (is 'good.jpg' meant?)" in caplog.text
