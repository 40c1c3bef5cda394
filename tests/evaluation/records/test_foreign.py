"""Anybody's pictures: they are recorded, a hostile file counts against its own image, another list is refused."""

import contextlib
import io
import json
import os
import socket
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_png
from evaluation.cases import list_file
from evaluation.method import Failure, Layers, answer
from evaluation.records.ask import record
from evaluation.records.foreign import foreign_recipe
from pipelines.stages.store import Store
from tests.evaluation.methods.made_up import Listed


@pytest.fixture
def listed():
    return Listed()


@pytest.fixture
def folder(tmp_path, listed):
    place = tmp_path / "theirs"
    place.mkdir()
    (place / "list.json").write_text(json.dumps(list_file(listed.given, listed.about)))
    for case in listed.given:
        (place / f"{case.name}.background.png").write_bytes(encode_png(case.background))
        (place / f"{case.name}.foreground.png").write_bytes(encode_png(case.foreground))
    return place


def recipe(folder):
    return foreign_recipe("theirs", folder, ("background", "foreground"))


def test_pictures_come_in_and_are_recorded(tmp_path, listed, folder):
    room = Store(str(tmp_path / "room"))
    first = recipe(folder)
    done = record(listed, [first], room).methods["theirs"]
    for case in listed.given:
        found = done.answer(case)
        assert np.array_equal(found.background, case.background) and np.array_equal(found.foreground, case.foreground)
    (folder / f"{listed.given[1].name}.background.png").write_bytes(encode_png(listed.given[1].composite))
    changed = recipe(folder)
    assert changed.fingerprint != first.fingerprint
    done = record(listed, [changed], room).methods["theirs"]
    assert np.array_equal(done.answer(listed.given[1]).background, listed.given[1].composite)


def bomb():
    file = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(file, "PNG")
    return file.getvalue()


def small():
    file = io.BytesIO()
    Image.new("RGB", (31, 32)).save(file, "PNG")
    return file.getvalue()


def saved(images):
    """A PNG of one picture, or of several that follow each other."""
    file = io.BytesIO()
    # Pillow joins equal pictures.
    more = [Image.new(image.mode, image.size, "red") for image in images[1:]]
    images[0].save(file, "PNG", save_all=bool(more), append_images=more)
    return file.getvalue()


def listening(path):
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
        server.bind(path.name)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no background"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "cannot be used .truncated"),
        (lambda path: path.write_bytes(b"GIF89a" + b"\0" * 20), "cannot be used .bad_image"),
        (lambda path: path.write_bytes(bomb()), "12000x12000 px, not 32x32 px"),
        (lambda path: path.write_bytes(b"\0" * 200_000), "too large for its size"),
        (lambda path: path.write_bytes(small()), "31x32 px, not 32x32 px"),
        (lambda path: path.write_bytes(saved([Image.new("RGB", (32, 32))] * 2)), "animated"),
        (lambda path: path.write_bytes(saved([Image.new("RGBA", (32, 32))])), "transparent pixels"),
        (lambda path: (path.unlink(), path.mkdir()), "not a regular"),
        (lambda path: (path.unlink(), listening(path)), "cannot be opened"),
        (
            lambda path: (path.rename(path.with_name("elsewhere.png")), path.symlink_to("elsewhere.png")),
            "not a regular",
        ),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular"),
    ],
    ids=["absent", "cut", "gif", "bomb", "huge", "size", "animated", "alpha", "folder", "socket", "link", "pipe"],
)
def test_a_hostile_picture_counts_against_its_own_image(tmp_path, listed, folder, damage, reason):
    damage(folder / f"{listed.given[1].name}.background.png")
    done = record(listed, [recipe(folder)], Store(str(tmp_path / "room"))).methods["theirs"]
    found = [done.answer(case) for case in listed.given]
    assert [isinstance(one, Failure) for one in found] == [index == 1 for index in range(len(found))]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found[1].reason)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"list_sha256": "a", "images": [1]}', "\xff"])
def test_a_damaged_list_is_a_bad_set_up(tmp_path, content):
    (tmp_path / "list.json").write_text(content, "latin-1")
    with pytest.raises(BadSetup, match=r"list\.json"):
        recipe(tmp_path)
    (tmp_path / "list.json").unlink()
    with pytest.raises(BadSetup, match="not finished"):
        recipe(tmp_path)


def test_pictures_of_another_list_are_refused(listed, folder):
    method, case = recipe(folder).make(), listed.given[0]
    assert isinstance(answer(method, case), Layers)
    with pytest.raises(BadSetup, match="had other pixels then"):
        answer(method, replace(case, mask=~case.mask))
    with pytest.raises(BadSetup, match="00000009-0 is not in it"):
        answer(method, replace(case, name="00000009-0"))


@pytest.mark.parametrize("names", [["../../etc/passwd"], ["/etc/passwd"], ["a\x00b"], ["\ud800"], ["x" * 300], [""]])
def test_a_list_that_names_no_files_is_a_bad_set_up(tmp_path, names):
    images = [{"name": name, "sha256": "0"} for name in names]
    (tmp_path / "list.json").write_text(json.dumps({"list_sha256": "", "images": images}))
    with pytest.raises(BadSetup, match="cannot name a file"):
        recipe(tmp_path)


def test_a_foreground_without_alpha_is_a_failure_and_not_opaque(listed, folder):
    case = listed.given[0]
    for picture in (case.background, case.background[..., 0]):
        Image.fromarray(picture).save(folder / f"{case.name}.foreground.png")
        found = answer(recipe(folder).make(), case)
        assert isinstance(found, Failure) and "the foreground has no alpha channel" in found.reason


def test_answers_of_sixteen_bits_keep_their_levels(listed, folder):
    case = listed.given[0]
    gray = case.background[..., 0]
    Image.fromarray(gray.astype(np.uint16) * 257).save(folder / f"{case.name}.background.png")
    assert np.array_equal(answer(recipe(folder).make(), case).background, np.dstack([gray] * 3))
    deep = cv2.imencode(".png", case.background[..., ::-1].astype(np.uint16) * 257)[1]
    (folder / f"{case.name}.background.png").write_bytes(deep.tobytes())
    assert np.array_equal(answer(recipe(folder).make(), case).background, case.background)
