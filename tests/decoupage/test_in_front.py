"""What covers a completed object stays in front of it: layers stacked as editors stack them give the input again."""

import io
import zipfile
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from psd_tools import PSDImage

from decoupage.images.alpha import blend
from decoupage.output import make_output
from decoupage.results import Layers, write_layers

SIZE_PX = 96
RNG = np.random.default_rng(0)
WALL = cv2.resize(RNG.integers(60, 120, (6, 6, 3), dtype=np.uint8), (SIZE_PX, SIZE_PX))


def disc(centre_x, colour, radius_px=24):
    """[H, W, 4]: a disc with a hard edge, halfway down."""
    alpha = cv2.circle(np.zeros((SIZE_PX, SIZE_PX), np.uint8), (centre_x, SIZE_PX // 2), radius_px, 255, -1)
    rgba = np.zeros((SIZE_PX, SIZE_PX, 4), np.uint8)
    rgba[alpha > 0] = (*colour, 255)
    return rgba


BALL, POST = disc(36, (230, 40, 40)), disc(60, (20, 30, 220))
SCENE = blend(blend(WALL, BALL), POST)
SHOWS = (BALL[..., 3] > 0) & (POST[..., 3] == 0)


def decomposed(foregrounds, masks, background, picture=SCENE):
    def tensor(each):
        return torch.from_numpy(np.asarray(each)).permute(2, 0, 1)[None].float() / 255

    holes = [torch.from_numpy(mask)[None, None].float() for mask in masks]
    layers = [tensor(each) for each in foregrounds]
    return make_output(tensor(picture), tensor(background), layers, holes, holes, len(masks) > 1, "pil")


def written(out, folder, names):
    layers = Layers(out.background[0], out.foreground, names, out.recomposition[0], out.in_front, out.mask)
    return write_layers(folder, layers, psd=True, ora=True)


def ora_stacked(path):
    """An OpenRaster document as its specification has it drawn: the layers over one another, the first on top."""
    with zipfile.ZipFile(path) as archive:
        picture = Image.new("RGBA", (SIZE_PX, SIZE_PX))
        for layer in reversed(ET.fromstring(archive.read("stack.xml")).findall("./stack/layer")):
            pixels = Image.open(io.BytesIO(archive.read(layer.get("src")))).convert("RGBA")
            picture.alpha_composite(pixels, (int(layer.get("x")), int(layer.get("y"))))
        return np.asarray(picture.convert("RGB")).astype(int)


def psd_stacked(path):
    return np.asarray(PSDImage.open(path).composite(force=True).convert("RGB")).astype(int)


def test_the_files_of_a_covered_object_look_like_the_input_and_hold_it_whole(tmp_path):
    out = decomposed([BALL], [SHOWS], blend(WALL, POST))
    written(out, tmp_path, ["ball"])
    for stacked in (psd_stacked(tmp_path / "layers.psd"), ora_stacked(tmp_path / "layers.ora")):
        assert np.abs(stacked - SCENE).max() <= 1
    assert out.recomposition_error == [0.0] and np.array_equal(np.asarray(out.recomposition[0]), SCENE)
    _, ball, cover = PSDImage.open(tmp_path / "layers.psd")
    assert (ball.name, cover.name) == ("ball", "in front of ball")
    assert np.array_equal(np.asarray(out.foreground[0]), BALL)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "in-front.png"))[..., 3] > 0, (BALL[..., 3] > 0) & ~SHOWS)


def test_the_list_of_files_has_what_lies_in_front(tmp_path):
    listed = written(decomposed([BALL], [SHOWS], blend(WALL, POST)), tmp_path, ["ball"])
    names = [(layer["name"], layer["file"]) for layer in listed["layers"]]
    assert names == [
        ("in front of ball", "in-front.png"),
        ("ball", "foreground.png"),
        ("background", "background.png"),
    ]


@pytest.mark.parametrize("missed", ["rim", "half"])
def test_what_the_mask_missed_is_no_cover(tmp_path, missed):
    """The object's layer looks like the input there; its pixels in another layer would stay when it is moved."""
    whole = BALL[..., 3] > 0
    mask = cv2.erode(whole.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    if missed == "half":
        mask = whole.copy()
        mask[:, :36] = False
    nearly = np.clip(BALL + np.array([4, -5, 6, 0]), 0, 255).astype(np.uint8) * whole[..., None]
    out = decomposed([nearly], [mask], WALL, blend(WALL, BALL))
    assert not np.asarray(out.in_front[0]).any()
    listed = written(out, tmp_path, ["ball"])
    assert [layer["name"] for layer in listed["layers"]] == ["ball", "background"]
    assert not (tmp_path / "in-front.png").exists()


def test_an_edge_that_mask_and_layer_draw_differently_is_no_cover():
    """A layer that reaches 3 px beyond the mask, with colours that are not the input's."""
    whole = BALL[..., 3] > 0
    out = decomposed([disc(36, (230, 40, 40), radius_px=27)], [whole], WALL, blend(WALL, BALL))
    assert not np.asarray(out.in_front[0]).any()
    out = decomposed([disc(36, (230, 40, 40), radius_px=32)], [whole], WALL, blend(WALL, BALL))
    assert np.asarray(out.in_front[0]).any()


def test_inside_its_mask_an_object_shows():
    """A mask that reaches over what covers the object says that the object shows there; nothing contradicts it."""
    out = decomposed([BALL], [BALL[..., 3] > 0], blend(WALL, POST))
    assert not np.asarray(out.in_front[0]).any() and out.recomposition_error[0] > 1


def test_objects_that_are_both_taken_off_cover_each_other(tmp_path):
    """Where an object nearer to the front shows, its own layer covers; only what nobody asked for gets another one."""
    pole = np.zeros((SIZE_PX, SIZE_PX, 4), np.uint8)
    pole[:, 24:36] = (240, 240, 240, 255)
    picture = blend(SCENE, pole)
    shows = [(POST[..., 3] > 0), SHOWS & (pole[..., 3] == 0)]
    out = decomposed([POST, BALL], shows, blend(WALL, pole), picture)
    written(out, tmp_path, ["post", "ball"])
    for stacked in (psd_stacked(tmp_path / "layers.psd"), ora_stacked(tmp_path / "layers.ora")):
        assert np.abs(stacked - picture).max() <= 1
    names = [layer.name for layer in PSDImage.open(tmp_path / "layers.psd")]
    assert names == ["background", "ball", "in front of ball", "post"]
    assert np.array_equal(np.asarray(out.in_front[1])[..., 3] > 0, (pole[..., 3] > 0) & (BALL[..., 3] > 0))
