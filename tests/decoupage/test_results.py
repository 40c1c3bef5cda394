"""Layered files, read back by others' code: psd-tools, zipfile and an XML parser, Pillow."""

import io
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from decoupage.images.blending import recompose
from decoupage.results import write_ora, write_psd

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
