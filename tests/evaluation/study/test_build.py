"""From outputs to a study's folder: what raters get to see, and set-ups that make no study."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgb
from evaluation.outputs import read_outputs, write_outputs
from evaluation.study.build import build_study
from evaluation.study.folder import load_study
from evaluation.study.pictures import broken, reference, shown
from tests.evaluation.scenes import truth
from tests.evaluation.study.studies import CONFIG, Listed, painter, small_study


def names():
    return [case.name for case in Listed().given]


# ---- outputs


def test_outputs_hold_what_was_given_and_what_was_made(tmp_path):
    made = write_outputs(Listed(), [truth, painter("red", (255, 0, 0), names()[:1])], str(tmp_path), batch_size=2)
    assert made.names == tuple(names()) and made.list_sha256 == read_outputs(str(tmp_path)).list_sha256
    case = Listed().given[1]
    np.testing.assert_array_equal(made.picture("truth", case.name, "background"), case.background)
    np.testing.assert_array_equal(made.picture("truth", case.name, "foreground"), case.foreground)
    composite, mask = made.given(case.name)
    np.testing.assert_array_equal(composite, case.composite)
    np.testing.assert_array_equal(mask, case.mask)
    assert not made.has("red", names()[0], "background") and made.has("red", names()[1], "background")
    failures = json.loads((tmp_path / "failures.json").read_text())
    assert failures == {"truth": {}, "red": {names()[0]: "RuntimeError: out of paint"}}
    assert made.scenes[names()[1]] == case.key
    listed = json.loads((tmp_path / "list.json").read_text())
    assert [image["sha256"] for image in listed["images"]] == [case.sha256 for case in Listed().given]


def test_only_the_named_cases(tmp_path):
    made = write_outputs(Listed(), [truth], str(tmp_path), names()[1:3])
    assert made.names == tuple(names()[1:3]) and len(list((tmp_path / "truth").iterdir())) == 4


def test_somebody_elses_folder_needs_the_list_and_the_pictures(tmp_path):
    write_outputs(Listed(), [truth, painter("red", (255, 0, 0))], str(tmp_path))
    for name in ("methods.json", "failures.json", "scenes.json"):
        (tmp_path / name).unlink()
    (tmp_path / "red" / f"{names()[0]}.background.png").unlink()
    found = read_outputs(str(tmp_path))
    assert found.gives == {name: frozenset({"background", "foreground"}) for name in ("red", "truth")}
    assert not found.has("red", names()[0], "background") and found.scenes[names()[0]] == names()[0]


def test_folders_that_are_no_outputs(tmp_path):
    with pytest.raises(BadSetup, match="not finished"):
        read_outputs(str(tmp_path))
    with pytest.raises(BadSetup, match="different names"):
        write_outputs(Listed(), [truth, truth], str(tmp_path))
    with pytest.raises(BadSetup, match="cannot name a file"):
        write_outputs(Listed(), [painter("../up", (0, 0, 0))], str(tmp_path))
    write_outputs(Listed(), [truth], str(tmp_path))
    with pytest.raises(BadSetup, match="no outputs of lies; it has truth"):
        read_outputs(str(tmp_path), ["lies"])
    listed = json.loads((tmp_path / "list.json").read_text())
    listed["images"][0]["name"] = "../../etc/passwd"
    (tmp_path / "list.json").write_text(json.dumps(listed))
    with pytest.raises(BadSetup, match="cannot name a file"):
        read_outputs(str(tmp_path))


# ---- pictures


def test_raters_see_rgb_without_metadata(tmp_path):
    study = small_study(tmp_path, CONFIG.model_copy(update={"aspects": ("background", "foreground")}))
    files = list((tmp_path / "study" / "pictures").iterdir())
    assert {path.stem for path in files} == study.picture_ids
    for path in files:
        with Image.open(path) as image:
            assert image.mode == "RGB" and not image.info


def test_a_foreground_lies_over_a_checkerboard(tmp_path):
    made = write_outputs(Listed(), [truth], str(tmp_path))
    case = Listed().given[0]
    picture = shown(made, "truth", case.name, "foreground")
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
    alone = write_outputs(Listed(), [truth], str(tmp_path / "alone"))
    with pytest.raises(BadSetup, match=r"at least two methods that give one, got truth; .*--methods"):
        build_study(alone, CONFIG, tmp_path / "study")
    failing = [painter(name, (0, 0, 0), names()) for name in ("a", "b")]
    with pytest.raises(BadSetup, match="nothing can be compared"):
        build_study(write_outputs(Listed(), failing, str(tmp_path / "none")), CONFIG, tmp_path / "study")
    assert not (tmp_path / "study" / "study.json").exists()


def test_a_damaged_picture_is_named(tmp_path):
    small_study(tmp_path)
    path = next((tmp_path / "outputs" / "telea").iterdir())
    for path in (tmp_path / "outputs" / "telea").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(BadSetup, match=r"telea of .*: bad_image"):
        build_study(read_outputs(str(tmp_path / "outputs")), CONFIG, tmp_path / "other")
    assert not (tmp_path / "other" / "study.json").exists()
