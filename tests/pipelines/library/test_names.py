"""Ids of photographs are unique whatever files are called, and safe wherever they go."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.library.evaluation_lists import PUBLISHED_ID
from pipelines.library.names import MAX_ID, asset_id, origin_of, usable_name

SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")
LETTERS = st.characters(exclude_characters="/\0", codec="utf-8")
NAMES = st.text(LETTERS, min_size=1, max_size=90).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["a", "b", "A", "a-b", "-", "_", "é", "e\u0301", "a.b", "A.jpg"])
NEAR = st.tuples(st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.sampled_from([".jpg", ".png", ".JPG"]))
NEAR = NEAR.map("".join)


@given(st.lists(PATHS | NEAR, unique=True, max_size=20))
def test_paths_that_differ_have_ids_that_differ_and_are_safe(paths):
    ids = {asset_id("folder", path) for path in paths}
    assert len(ids) == len(paths)
    assert all(SAFE.fullmatch(id_) and id_.startswith("folder-") for id_ in ids)


def test_an_id_that_looks_like_one_with_a_hash_is_no_other_files_id():
    hashed = asset_id("folder", "pair.png")
    assert asset_id("folder", f"{hashed.removeprefix('folder-')}.jpg") != hashed
    assert len(asset_id("folder", "é" * 200 + ".jpg")) <= MAX_ID


@pytest.mark.parametrize(
    ("source", "path", "id_"),
    [
        ("folder", "lake.jpg", "folder-lake"),
        ("folder", "IMG_20-1.jpg", "folder-IMG_20-1"),
        ("openimages", "train/00000a1b2c3d4e5f.jpg", "openimages-train-00000a1b2c3d4e5f"),
        ("openimages", "originals-3mp/train/00000a1b2c3d4e5f.jpg", "openimages-originals-3mp-train-00000a1b2c3d4e5f"),
        ("packaged", "brick.png", "packaged-brick"),
        ("packaged", "rocket-crop1.png", "packaged-rocket-crop1"),
    ],
)
def test_ids_that_are_in_finished_data_stay(source, path, id_):
    assert asset_id(source, path) == id_


def test_a_hash_is_taken_for_no_published_id():
    assert not any(PUBLISHED_ID.search(asset_id("folder", f"{i}.png")) for i in range(2000))


def test_files_that_differ_in_their_suffix_have_one_origin_and_others_do_not():
    assert origin_of("pair.jpg") == origin_of("pair.png") == "pair"
    assert origin_of("a/b.jpg") != origin_of("a-b.jpg")
    assert origin_of(unicodedata.normalize("NFC", "é.jpg")) != origin_of(unicodedata.normalize("NFD", "é.jpg"))


@pytest.mark.parametrize("name", ["caf\udce9.jpg", "a\\b.jpg", "a\nb.jpg", "\x1b[2J.jpg", "a\u202egpj.jpg", "\x7f.jpg"])
def test_names_that_tables_and_terminals_cannot_hold_are_not_usable(name):
    assert not usable_name(name)


@pytest.mark.parametrize("name", ["a b.jpg", "Foto 10.00.00\u202fAM.png", "写真/é.jpg", "👩\u200d🚀.jpg", "a'b\".jpg"])
def test_names_that_people_have_are_usable(name):
    assert usable_name(name)
