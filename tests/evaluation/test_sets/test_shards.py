"""The held-out list: one case a layer, in a fixed order, with hashes that notice every change."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.images.alpha import blend
from evaluation.cases import Entry, list_file, list_sha256
from evaluation.test_sets.shards import HeldOut, case_of
from pipelines.scenes.parts import Shadow
from pipelines.shards.reader import read_triplets
from pipelines.synthetic import FakeScenes, build_dataset
from tests.evaluation.scenes import cases, scene


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("held-out")
    build_dataset(root, FakeScenes(num_scenes=4, scenes_per_shard=2))
    return str(root)


def test_there_is_one_case_for_each_layer_and_it_holds_what_the_triplet_holds(root):
    triplets, found = list(read_triplets(root)), list(HeldOut(root).cases())
    assert [case.name for case in found] == [f"{t.key}-{t.layer}" for t in triplets]
    for case, triplet in zip(found, triplets, strict=True):
        for name in ("composite", "mask", "background", "foreground"):
            assert np.array_equal(getattr(case, name), getattr(triplet, name))
        assert np.array_equal(case.visible, triplet.parts.visible_mask(triplet.layer))
        assert not (case.hidden & case.visible).any()


def without(members, name):
    return {key: data for key, data in members.items() if key != name}


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (lambda members: without(members, "json"), r"00000003\.json is not there"),
        (lambda members: without(members, "mask0.png"), r"00000003\.mask0\.png is not there"),
        (lambda members: members | {"layer0.webp": members["layer0.webp"][:40]}, "bad_image|truncated"),
        (lambda members: members | {"json": b"{}"}, r"00000003\.json has no list of layers"),
        (lambda members: members | {"json": b'{"layers": 3}'}, "damaged"),
        (lambda members: members | {"json": b"[" * 9}, "damaged"),
        (lambda members: members | {"edges.png": b""}, "bad_image"),
    ],
    ids=["json", "mask", "layer", "empty", "number", "cut", "map"],
)
def test_a_damaged_scene_stops_with_shard_and_member(root, monkeypatch, damaged, said):
    """Judged without it, the list would be another one."""
    from evaluation.test_sets import shards

    read = shards.read_scenes

    def some_damaged(source, names):
        for key, members in read(source, names):
            yield key, damaged(members) if key == "00000003" else members

    monkeypatch.setattr(shards, "read_scenes", some_damaged)
    with pytest.raises(BadSetup, match=rf"00001\.tar: scene 00000003 cannot be judged on: .*({said}).*shards verify"):
        list(HeldOut(root).cases())
    assert len(list(HeldOut(root, max_images=2).cases())) == 2


def test_a_case_knows_what_it_shares_with_others_and_old_scenes_are_refused(root):
    for case, triplet in zip(HeldOut(root).cases(), read_triplets(root), strict=True):
        assert case.photograph == triplet.record["background"]["origin"] == f"blobs-{case.key}"
        assert case.origin == triplet.record["layers"][triplet.layer]["foreground"]["origin"]
    parts, maps = scene(1)
    del parts.record["background"]["origin"]
    with pytest.raises(BadSetup, match="scene 00000001 does not say what blobs was taken from: make the scenes again"):
        case_of(parts, maps, 0)


def test_what_covers_a_target_is_what_keeps_its_layers_from_being_the_scene():
    """Another layer over it, and a shadow of its own, which its background has not and its foreground neither."""
    parts, maps = scene(2)
    lower = parts.layers[0]
    height, width = lower.rgba.shape[:2]
    shadow = Shadow(np.full((height, width), 90, np.uint8), lower.box)
    for layers, at_least in (
        (parts.layers, 0),
        ((replace(lower, shadow=shadow), *parts.layers[1:]), height * width / 9),
    ):
        case = case_of(replace(parts, layers=layers), maps, 0)
        laid = blend(case.background, case.foreground)
        assert np.array_equal(laid[~case.covered], case.composite[~case.covered])
        assert (laid[case.covered] != case.composite[case.covered]).any(axis=-1).all()
        assert case.covered.sum() > at_least
    top = case_of(parts, maps, len(parts.layers) - 1)
    assert not top.covered.any()


def test_the_hidden_part_is_what_the_occluded_fraction_measures(root):
    for case in HeldOut(root).cases():
        share = case.hidden.sum() / (case.alpha >= 26).sum()
        assert share == pytest.approx(case.occluded_fraction, abs=0.08)


def test_reading_twice_gives_the_same_hashes_and_a_part_of_the_list_is_its_beginning(root):
    first, again = ([case.sha256 for case in HeldOut(root).cases()] for _ in range(2))
    assert first == again and len(set(first)) == len(first)
    assert [case.sha256 for case in HeldOut(root, max_images=3).cases()] == first[:3]


def test_cases_are_found_by_name(root):
    wanted = [case.name for case in islice(HeldOut(root).cases(), 1, None, 2)]
    assert [case.name for case in HeldOut(root).cases(wanted)] == wanted


def test_cases_are_as_large_as_their_scenes(root):
    for case in HeldOut(root).cases():
        assert case.size == (64, 64) and case.maps["edges"].shape == (64, 64) and case.mask.any()


@pytest.mark.parametrize("part", ["composite", "mask", "background", "foreground", "visible"])
def test_every_pixel_of_what_is_given_and_what_is_true_counts_in_the_hash(part):
    case = cases(2)[1]
    changed = getattr(case, part).copy()
    changed.flat[-1] ^= 1
    assert replace(case, **{part: changed}).sha256 != case.sha256


def test_the_hash_of_the_list_depends_on_names_contents_and_order():
    a, b = Entry("a-0", "1"), Entry("b-0", "2")
    hashes = [list_sha256(entries) for entries in ([a, b], [b, a], [a], [a, Entry("b-0", "3")], [a, Entry("c-0", "2")])]
    assert len(set(hashes)) == len(hashes)
    assert list_file([a], {})["images"] == [{"name": "a-0", "sha256": "1"}]


def test_a_folder_without_shards_is_a_bad_set_up(tmp_path):
    with pytest.raises(BadSetup):
        list(HeldOut(str(tmp_path)).cases())
