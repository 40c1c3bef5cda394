"""Layered files, read back by others' code: psd-tools, zipfile and an XML parser, Pillow."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import Resource

from decoupage.images.blending import recompose
from decoupage.results import Layers, layer_names, text_of, write_layers, write_ora, write_psd, write_report
from tests.decoupage.images.made import wide_profile

HEIGHT, WIDTH = 60, 90
NAMES = ["dog, front", "Bäume 木"]
BOXES = [(10, 5, 40, 25), (30, 20, 90, 60)]  # left, top, right, bottom


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    background = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    layers = []
    for left, top, right, bottom in BOXES:
        layer = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        layer[top:bottom, left:right] = rng.integers(1, 256, (bottom - top, right - left, 4), dtype=np.uint8)
        layers.append(layer)
    return background, layers


def test_psd_tools_reads_names_boxes_and_pixels(parts, tmp_path):
    background, layers = parts
    write_psd(tmp_path / "a.psd", background, layers, NAMES)
    document = PSDImage.open(tmp_path / "a.psd")
    assert document.size == (WIDTH, HEIGHT)
    # psd-tools lists from the bottom up.
    assert [layer.name for layer in document] == ["background", *reversed(NAMES)]
    assert [layer.bbox for layer in document] == [(0, 0, WIDTH, HEIGHT), *reversed(BOXES)]
    assert all(layer.kind == "pixel" and layer.visible and not layer.has_mask() for layer in document)
    for layer, pixels, (left, top, right, bottom) in zip(reversed(document), layers, BOXES, strict=False):
        assert np.array_equal(np.asarray(layer.topil()), pixels[top:bottom, left:right])
    assert np.array_equal(np.asarray(document[0].topil().convert("RGB")), background)


def test_the_psd_holds_the_merged_picture_and_renders_to_it(parts, tmp_path):
    background, layers = parts
    write_psd(tmp_path / "a.psd", background, layers, NAMES)
    merged = recompose(layers, background).astype(int)
    with Image.open(tmp_path / "a.psd") as stored:  # Pillow reads what other programs would preview.
        assert np.abs(np.asarray(stored.convert("RGB")) - merged).max() <= 1
    rendered = PSDImage.open(tmp_path / "a.psd").composite(force=True).convert("RGB")
    assert np.abs(np.asarray(rendered) - merged).max() <= 1


def read_ora(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        return archive.infolist(), members


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_ora_is_what_the_specification_wants(parts, tmp_path):
    background, layers = parts
    write_ora(tmp_path / "a.ora", background, layers, NAMES)
    infos, members = read_ora(tmp_path / "a.ora")
    assert infos[0].filename == "mimetype" and infos[0].compress_type == zipfile.ZIP_STORED and not infos[0].extra
    assert members["mimetype"] == b"image/openraster"
    assert (tmp_path / "a.ora").read_bytes()[30:54] == b"mimetypeimage/openraster"
    assert np.array_equal(opened(members["mergedimage.png"]), recompose(layers, background))
    assert max(opened(members["Thumbnails/thumbnail.png"]).shape[:2]) <= 256

    image = ET.fromstring(members["stack.xml"])
    assert (image.tag, image.get("w"), image.get("h")) == ("image", str(WIDTH), str(HEIGHT))
    entries = image.findall("./stack/layer")
    assert [entry.get("name") for entry in entries] == [*NAMES, "background"]  # Top layer first.
    for entry, pixels, (left, top, right, bottom) in zip(entries, layers, BOXES, strict=False):
        assert (entry.get("x"), entry.get("y")) == (str(left), str(top))
        assert np.array_equal(opened(members[entry.get("src")]), pixels[top:bottom, left:right])
    assert np.array_equal(opened(members[entries[-1].get("src")]), background)


def test_layers_of_an_ora_put_back_in_place_give_the_merged_picture(parts, tmp_path):
    background, layers = parts
    write_ora(tmp_path / "a.ora", background, layers, NAMES)
    _, members = read_ora(tmp_path / "a.ora")
    *above, below = ET.fromstring(members["stack.xml"]).findall("./stack/layer")
    picture = opened(members[below.get("src")])
    for entry in reversed(above):
        pixels, x, y = opened(members[entry.get("src")]), int(entry.get("x")), int(entry.get("y"))
        full = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        full[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        picture = recompose(full, picture)
    assert np.array_equal(picture, opened(members["mergedimage.png"]))


@pytest.mark.parametrize("write", [write_psd, write_ora])
def test_the_same_layers_give_the_same_bytes_and_no_rubbish_stays(parts, tmp_path, write):
    for name in ("a", "b"):
        write(tmp_path / name, *parts, NAMES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("write", [write_psd, write_ora])
def test_an_invisible_layer_and_pil_images_are_taken(parts, tmp_path, write):
    background = Image.fromarray(parts[0])
    write(tmp_path / "a", background, [Image.new("RGBA", background.size)], ["nothing"])
    if write is write_psd:
        layers = [(layer.name, layer.bbox) for layer in PSDImage.open(tmp_path / "a")]
        assert layers == [("background", (0, 0, WIDTH, HEIGHT)), ("nothing", (0, 0, 1, 1))]


@pytest.mark.parametrize("write", [write_psd, write_ora])
def test_what_does_not_match_is_refused_and_leaves_no_file(parts, tmp_path, write):
    background, layers = parts
    for arguments, message in [
        ((background, layers, ["one"]), "2 layers need as many names, got 1"),
        ((background, layers, ["one", "two\n"]), "printable"),
        ((background[:50], layers, NAMES), "the foreground is 90x60 px, the background is 90x50 px"),
        ((background, [background], ["one"]), "expected RGBA"),
    ]:
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "a", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_limits_of_psd_are_named(parts, tmp_path):
    with pytest.raises(ValueError, match="up to 255 characters"):
        write_psd(tmp_path / "a.psd", parts[0], parts[1][:1], ["n" * 256])
    with pytest.raises(ValueError, match="up to 30000 px, got 30001x1 px"):
        write_psd(tmp_path / "a.psd", np.zeros((1, 30001, 3), np.uint8), [], [])


def test_a_write_that_fails_leaves_the_old_file(parts, tmp_path, monkeypatch):
    path = tmp_path / "a.psd"
    path.write_bytes(b"old")

    def fail(self, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(PSDImage, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_psd(path, *parts, NAMES)
    assert path.read_bytes() == b"old" and [entry.name for entry in tmp_path.iterdir()] == ["a.psd"]


# ---- colour profiles and names


@pytest.mark.parametrize("profile", [None, wide_profile()])
def test_every_file_carries_the_profile_and_its_numbers_stay(parts, tmp_path, profile):
    background, pictures = Image.fromarray(parts[0]), [Image.fromarray(each) for each in parts[1]]
    laid = Image.fromarray(recompose(parts[1], parts[0]))
    layers = Layers(
        background,
        pictures,
        NAMES,
        laid,
        [Image.new("RGBA", background.size)] * 2,
        [Image.new("L", background.size)] * 2,
        profile,
    )
    write_layers(tmp_path, layers, psd=True, ora=True)
    coloured = (path for path in tmp_path.glob("*.png") if not path.name.startswith("used-mask-"))
    found = {path.name: path.read_bytes() for path in coloured}
    _, members = read_ora(tmp_path / "layers.ora")
    found |= {name: data for name, data in members.items() if name.endswith(".png")}
    assert len(found) == 10 and np.array_equal(opened(found["background.png"]), parts[0])
    assert {Image.open(io.BytesIO(data)).info.get("icc_profile") for data in found.values()} == {profile}
    document = PSDImage.open(tmp_path / "layers.psd")
    assert document.image_resources.get_data(Resource.ICC_PROFILE) == profile
    assert np.array_equal(np.rint(document[0].numpy("color") * 255), parts[0])
    with Image.open(tmp_path / "layers.psd") as stored:
        assert stored.info.get("icc_profile") == profile


def test_files_are_readable_by_others_as_the_umask_says(parts, tmp_path):
    before = os.umask(0o022)
    try:
        picture = Image.fromarray(parts[0])
        layers = Layers(
            picture,
            [Image.fromarray(parts[1][0])],
            NAMES[:1],
            picture,
            [Image.new("RGBA", picture.size)],
            [Image.new("L", picture.size)],
        )
        write_report(tmp_path, write_layers(tmp_path, layers, psd=True, ora=True))
    finally:
        os.umask(before)
    assert len(list(tmp_path.iterdir())) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}


def test_names_of_any_file_become_names_that_all_formats_take(parts, tmp_path):
    odd = ["a" * 300, "a" * 300, "\udcff\udcfe", "line\nbreak\r\x1b[31m", "木" * 251, "", "a/b\\c", "<&>\"'", "\ufffe"]
    names = layer_names(odd)
    assert len(set(names)) == len(names) and all(len(name) <= 255 and name.isprintable() for name in names)
    layer = Image.fromarray(parts[1][0])
    for write, read in (
        (write_psd, lambda path: [layer.name for layer in PSDImage.open(path)][:0:-1]),
        (
            write_ora,
            lambda path: [entry.get("name") for entry in ET.fromstring(read_ora(path)[1]["stack.xml"])[0]][:-1],
        ),
    ):
        write(tmp_path / "a", parts[0], [layer] * len(names), names)
        assert read(tmp_path / "a") == names
    write_report(tmp_path, {"masks": [text_of(Path(name)) for name in odd]})
    assert json.loads((tmp_path / "layers.json").read_bytes().decode("utf-8", "strict"))["masks"][2] == "\\udcff\\udcfe"
