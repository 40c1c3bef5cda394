"""MULAN's test pictures as cases: layers put together by hand say the same, and what cannot be used is told."""

from itertools import pairwise

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.images.alpha import blend
from evaluation.test_sets.listed import ListedSet
from evaluation.test_sets.mulan import MulanPictures, listed_keys
from pipelines.foregrounds.mulan.split import Split, to_text
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.mulan.annotations import make_annotation, make_photograph, official_colours, pack
from tests.pipelines.foregrounds.mulan.annotations import write_pair as write

IDS = ("000000000139", "000000000285", "000000000632")


@pytest.fixture
def tree(tmp_path):
    """Three pictures of noise with two instances each, the upper over the lower."""
    photographs = {id: write(tmp_path, id, pack(make_annotation(n)), make_photograph(n)) for n, id in enumerate(IDS)}
    return tmp_path, photographs


def listed(folder, keys=IDS, **options):
    return ListedSet(MulanPictures(folder / "annotations", folder / "images", frozenset(keys)), **options)


def instances_of(annotation, photograph):
    return [
        np.dstack([official_colours(photograph, fields), np.asarray(fields["instance_alpha"])])
        for fields in annotation["instances"].values()
    ]


def test_every_instance_that_shows_is_a_case_and_its_truth_is_what_the_layers_say(tree):
    folder, photographs = tree
    cases = {case.name: case for case in listed(folder).cases()}
    assert list(cases) == [f"{id}-{k}" for id in IDS for k in (1, 2)]
    for number, id in enumerate(IDS):
        annotation, photograph = make_annotation(number), photographs[id]
        lower, upper = instances_of(annotation, photograph)
        first, second = cases[f"{id}-1"], cases[f"{id}-2"]
        assert first.key == second.key == id
        assert {case.photograph for case in (first, second)} == {case.origin for case in (first, second)} == {id}
        assert first.size == photograph.shape[:2] == (40, 56)
        assert np.array_equal(first.composite, second.composite)
        assert first.strata["source"] == "coco" and first.strata["occlusion"] != "none"
        assert second.strata["occlusion"] == "none" and second.occluded_fraction == 0.0
        shows = (lower[..., 3] >= 26) & (255 - upper[..., 3].astype(int) >= 128)
        assert first.occluded_fraction == pytest.approx(1 - _light(lower, upper), abs=1e-3)
        assert abs(first.visible.mean() - shows.mean()) < 0.03


def test_the_pictures_are_exact(tmp_path):
    """Nothing is resized."""
    annotation, noise = make_annotation(3, 48, 64), make_photograph(3, 48, 64)
    photograph = write(tmp_path, IDS[0], pack(annotation), noise)
    first, second = listed(tmp_path, IDS[:1]).cases()
    lower, upper = instances_of(annotation, photograph)
    plate = official_colours(photograph, annotation["background"])
    assert np.array_equal(first.composite, photograph)
    assert np.array_equal(first.background, blend(plate, upper))
    assert np.array_equal(second.background, blend(plate, lower))
    assert np.array_equal(first.foreground, lower) and np.array_equal(second.foreground, upper)
    shows = (lower[..., 3] >= 26) & (255 - upper[..., 3].astype(int) >= 128)
    assert np.array_equal(first.visible, shows) and np.array_equal(first.mask, shows)
    assert np.array_equal(second.visible, upper[..., 3] >= 26)
    differ = blend(blend(plate, upper), lower) != blend(blend(plate, lower), upper)
    assert differ.any() and np.array_equal(first.covered, differ.any(axis=-1)) and not second.covered.any()


def _light(lower, upper):
    """Share of the lower layer's alpha that gets through the upper one."""
    alpha, above = lower[..., 3] / 255, upper[..., 3] / 255
    return (alpha * (1 - above)).sum() / alpha.sum()


def test_cases_by_name_read_no_other_picture(tree):
    folder, _ = tree
    test_set = listed(folder)
    hashes = {case.name: case.sha256 for case in test_set.cases()}
    (folder / "annotations" / f"{IDS[0]}.p.zl").write_bytes(b"damaged")
    assert {case.name: case.sha256 for case in test_set.cases([f"{IDS[2]}-2"])} == {
        f"{IDS[2]}-2": hashes[f"{IDS[2]}-2"]
    }


def test_what_is_on_the_list_and_cannot_be_used_is_told(tree):
    folder, _ = tree
    (folder / "annotations" / f"{IDS[0]}.p.zl").write_bytes(b"damaged")
    (folder / "images/train2017" / f"{IDS[1]}.jpg").unlink()
    covered = make_annotation(9)
    alphas = [np.zeros((40, 56), np.uint8) for _ in range(3)]
    alphas[0][10:20, 10:20] = 255  # Under the next one.
    alphas[1][5:25, 5:25] = 255
    for key, alpha in enumerate(alphas, start=1):
        source = dict(covered["instances"][min(key, 2)])
        covered["instances"][key] = source | {"instance_alpha": alpha}
    write(folder, "000000000724", pack(covered), make_photograph(9))
    test_set = listed(folder, (*IDS, "000000000724", "000000000785"))
    names = [case.name for case in test_set.cases()]
    assert names == [f"{IDS[2]}-1", f"{IDS[2]}-2", "000000000724-2"]
    assert {found.name: found.reason for found in test_set.excluded} == {
        IDS[0]: "not_zlib",
        IDS[1]: "missing_image",
        "000000000724-1": "hidden",
        "000000000724-3": "empty_alpha",
        "000000000785": "missing_annotation",
    }
    assert test_set.about["num_excluded"] == 5 and test_set.about["num_pictures"] == 5


def test_the_list_is_the_split_s_or_a_part_of_it(tmp_path):
    store = Store(str(tmp_path))
    with pytest.raises(BadSetup, match=r"not settled yet.*mulan\.test_ids"):
        listed_keys(Split(store), "")
    store.write("sources/mulan/test_ids.txt", to_text(IDS).encode())
    assert listed_keys(Split(store), "") == set(IDS)
    part, more = tmp_path / "part.txt", tmp_path / "more.txt"
    part.write_text("\n".join(IDS[:2]))
    more.write_text("\n".join((*IDS, "000000000999")))
    assert listed_keys(Split(store), str(part)) == set(IDS[:2])
    with pytest.raises(BadSetup, match=r"training may see 1 pictures of .*000000000999.*mulan\.test_ids"):
        listed_keys(Split(store), str(more))
    assert listed_keys(Split(given=str(more)), str(more)) == {*IDS, "000000000999"}


def test_order_and_hashes_do_not_depend_on_where_files_lie(tree, tmp_path):
    folder, _ = tree
    first = [(case.name, case.sha256) for case in listed(folder).cases()]
    moved = tmp_path / "moved"
    for number, id in enumerate(IDS):
        write(moved, id, pack(make_annotation(number)), make_photograph(number), "val2017", f"part{3 - number}")
    assert [(case.name, case.sha256) for case in listed(moved).cases()] == first
    assert all(a < b for a, b in pairwise(name for name, _ in first))
