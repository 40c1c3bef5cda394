"""From records to a study's folder: what raters get to see, and set-ups that make no study."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgb
from evaluation.records.ask import record
from evaluation.records.room import read_records
from evaluation.study.build import build_study
from evaluation.study.figures import contests
from evaluation.study.folder import load_study
from evaluation.study.pictures import broken, reference, shown
from pipelines.stages.store import Store
from tests.evaluation.scenes import recipe_of, truth
from tests.evaluation.study.studies import CONFIG, Listed, painter, recorded, small_study


def names():
    return [case.name for case in Listed().given]


# ---- records


def test_records_hold_what_was_given_and_what_was_made(tmp_path):
    made = recorded(tmp_path, truth, painter("red", (255, 0, 0), names()[:1]))
    assert made.names == tuple(names()) and made.list_sha256 == read_records(str(tmp_path)).list_sha256
    case, true, red = Listed().given[1], made.methods["truth"], made.methods["red"]
    np.testing.assert_array_equal(true.picture(case.name, "background"), case.background)
    np.testing.assert_array_equal(true.picture(case.name, "foreground"), case.foreground)
    composite, mask = made.given(case.name)
    np.testing.assert_array_equal(composite, case.composite)
    np.testing.assert_array_equal(mask, case.mask)
    assert not red.has(names()[0], "background") and red.has(names()[1], "background")
    assert true.failures(names()) == {} and red.failures(names()) == {names()[0]: "RuntimeError: out of paint"}
    assert made.scenes[names()[1]] == case.key
    listed = json.loads((tmp_path / "list.json").read_text())
    assert [image["sha256"] for image in listed["images"]] == [case.sha256 for case in Listed().given]


def test_cases_of_one_photograph_are_one_piece_of_evidence_on_backgrounds(tmp_path):
    """And of one origin on foregrounds: in a demo of three photographs 40 scenes are no 40 pieces."""
    listed = Listed()
    listed.given = [
        replace(case, photograph="moon", origin=f"cat{number % 2}") for number, case in enumerate(listed.given)
    ]
    methods = [recipe_of(method) for method in (truth, painter("red", (255, 0, 0)))]
    made = record(listed, methods, Store(str(tmp_path / "records")))
    again = read_records(str(tmp_path / "records"))
    assert again.shared == made.shared and len(set(made.scenes.values())) > 1
    config = CONFIG.model_copy(update={"aspects": ("background", "foreground")})
    study = build_study(again, config, tmp_path / "study")
    assert load_study(tmp_path / "study").clusters == study.clusters
    for aspect, number in (("background", 1), ("foreground", 2)):
        assert contests(study, aspect, []).shown.shape[1] == number == len(set(study.clusters[aspect].values()))


def test_only_the_named_cases(tmp_path):
    made = recorded(tmp_path, truth, names=names()[1:3])
    assert made.names == tuple(names()[1:3]) and len(list((tmp_path / "truth").glob("*.png"))) == 4


def test_somebody_elses_folder_needs_the_list_and_the_pictures(tmp_path):
    recorded(tmp_path, truth, painter("red", (255, 0, 0)))
    for method in ("truth", "red"):
        shutil.rmtree(tmp_path / method / "asked")
        for name in ("about.json", "list.json"):
            (tmp_path / method / name).unlink()
    listed = json.loads((tmp_path / "list.json").read_text())
    for image in listed["images"]:
        del image["scene"]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "red" / f"{names()[0]}.background.png").unlink()
    found = read_records(str(tmp_path))
    gives = {name: method.gives for name, method in found.methods.items()}
    assert gives == {name: frozenset({"background", "foreground"}) for name in ("red", "truth")}
    assert not found.methods["red"].has(names()[0], "background") and found.scenes[names()[0]] == names()[0]
    study = build_study(found, CONFIG, tmp_path / "study")
    assert {comparison.shown for comparison in study.comparisons} >= {("red", "truth")}


def test_folders_that_are_no_records(tmp_path):
    with pytest.raises(BadSetup, match="not finished"):
        read_records(str(tmp_path))
    with pytest.raises(BadSetup, match="different names"):
        recorded(tmp_path, truth, truth)
    with pytest.raises(BadSetup, match="cannot name a file"):
        recorded(tmp_path, painter("../up", (0, 0, 0)))
    recorded(tmp_path, truth)
    with pytest.raises(BadSetup, match="no answers of lies; it has truth"):
        read_records(str(tmp_path), ["lies"])
    listed = json.loads((tmp_path / "list.json").read_text())
    listed["images"][0]["name"] = "../../etc/passwd"
    (tmp_path / "list.json").write_text(json.dumps(listed))
    with pytest.raises(BadSetup, match="cannot name a file"):
        read_records(str(tmp_path))


# ---- pictures


def test_raters_see_rgb_without_metadata(tmp_path):
    study = small_study(tmp_path, CONFIG.model_copy(update={"aspects": ("background", "foreground")}))
    files = list((tmp_path / "study" / "pictures").iterdir())
    assert {path.stem for path in files} == study.picture_ids
    for path in files:
        with Image.open(path) as image:
            assert image.mode == "RGB" and not image.info


def test_a_foreground_lies_over_a_checkerboard(tmp_path):
    made = recorded(tmp_path, truth)
    case = Listed().given[0]
    picture = shown(made.methods["truth"], case.name, "foreground")
    empty = case.foreground[..., 3] == 0
    assert set(np.unique(picture[empty])) <= {205, 240} and picture.shape == (32, 32, 3)


def test_a_broken_picture_is_broken_also_where_all_is_flat():
    flat = np.full((33, 47, 3), 200, np.uint8)
    found = broken(flat, 0, "a", 0)
    assert found.shape == flat.shape and np.abs(found.astype(int) - 200).mean() > 50
    assert (broken(flat, 0, "a", 0) == found).all() and (broken(flat, 0, "a", 1) != found).any()
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), (0, 0), 3)
    assert np.abs(broken(photo, 0, "b", 0).astype(int) - photo).mean() > 30


def test_a_small_picture_is_enlarged_before_it_is_outlined():
    mask = np.zeros((32, 32), bool)
    mask[8:16, 8:16] = True
    found = reference(np.full((32, 32, 3), 90, np.uint8), mask)
    assert found.shape == (512, 512, 3) and (found[0, 0] == 90).all() and not (found[128, 128] == 90).all()
    assert reference(np.zeros((600, 300, 3), np.uint8), np.zeros((600, 300), bool)).shape == (600, 300, 3)


# ---- folders


def test_a_study_comes_back_as_it_was_made(tmp_path):
    study = small_study(tmp_path)
    again = load_study(tmp_path / "study")
    assert again == study and again.questions("rater") == study.questions("rater")
    before = {path: path.read_bytes() for path in (tmp_path / "study").rglob("*") if path.is_file()}
    assert small_study(tmp_path) == study
    assert before == {path: path.read_bytes() for path in (tmp_path / "study").rglob("*") if path.is_file()}
    with pytest.raises(KeyError):
        study.picture("0" * 32)
    assert decode_rgb(study.picture(next(iter(study.picture_ids)))).ndim == 3


def test_a_half_made_study_is_none(tmp_path):
    small_study(tmp_path)
    (tmp_path / "study" / "key").unlink()
    with pytest.raises(BadSetup, match="not this study's key"):
        load_study(tmp_path / "study")
    with pytest.raises(BadSetup, match="study build"):
        load_study(tmp_path)
    (tmp_path / "study" / "key").write_bytes(bytes(32))
    (tmp_path / "study" / "study.json").write_text('{"study_id": 1}')
    with pytest.raises(BadSetup, match="damaged"):
        load_study(tmp_path / "study")


def test_set_ups_that_compare_nothing(tmp_path):
    alone = recorded(tmp_path / "alone", truth)
    with pytest.raises(BadSetup, match=r"at least two methods that give one, got truth; .*--methods"):
        build_study(alone, CONFIG, tmp_path / "study")
    failing = [painter(name, (0, 0, 0), names()) for name in ("a", "b")]
    with pytest.raises(BadSetup, match="nothing can be compared"):
        build_study(recorded(tmp_path / "none", *failing), CONFIG, tmp_path / "study")
    assert not (tmp_path / "study" / "study.json").exists()


def test_a_damaged_picture_is_named(tmp_path):
    small_study(tmp_path)
    for path in (tmp_path / "records" / "telea").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(BadSetup, match=r"telea of .*: bad_image"):
        build_study(read_records(str(tmp_path / "records")), CONFIG, tmp_path / "other")
    assert not (tmp_path / "other" / "study.json").exists()
