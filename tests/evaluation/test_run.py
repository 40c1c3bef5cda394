"""The whole evaluation: its files, its shape, and controls that show that it can see what it is there to see."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from decoupage.faults import BadSetup
from evaluation.cases import list_sha256
from evaluation.config import EvaluationConfig
from evaluation.method import Layers
from evaluation.methods.classical import classical_methods, classical_recipes
from evaluation.report import About, make_report
from evaluation.rivals import SIMPLE
from evaluation.run import evaluate, score_all
from evaluation.test_sets.shards import HeldOut
from pipelines.synthetic import FakeScenes, build_dataset
from tests.evaluation.scenes import Direct, Known, cases, recipe_of, truth

CONFIG = EvaluationConfig(num_steps=1, bootstrap_draws=1000)
FILES = ("scores.csv", "list.json", "answer.png", "gallery.json", "report.json", "report.html", "report.md")
INTERVAL = {"mean", "low", "high", "num_images", "num_photographs", "num_origins"}
# Stand-ins with the names that the report knows; what they give is a function of the truth.
BLURRED = Known("base", lambda case: Layers(case.background // 2 + case.composite // 2), ["background"])
NEAR = Known("adapter", lambda case: Layers(case.background ^ 8, case.foreground))
ALL = [*classical_recipes(), recipe_of(BLURRED), recipe_of(NEAR, base="small-fill", files={"a": "b"})]
ABOUT = About("demo", {"graph regions": "SegFormer"})


def judged(*methods, given=None):
    return make_report(score_all(given or cases(8), [Direct(method) for method in methods]), CONFIG, About())


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    build_dataset(root, FakeScenes(num_scenes=6, scenes_per_shard=3))
    return str(root)


@pytest.fixture(scope="module")
def done(held_out, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return out, evaluate(HeldOut(held_out), ALL, CONFIG, str(out), ABOUT)


# ---- files


def test_the_report_has_the_promised_shape(done):
    out, report = done
    found = json.loads((out / "report.json").read_text())
    assert found == report.values
    assert found["num_images"] == 12 and found["num_scenes"] == 6
    assert set(found["methods"]) == {
        *("input", "given_mask", "telea", "telea_grown", "navier_stokes", "smooth", "smooth_grown", "biharmonic"),
        *("grabcut", "base", "adapter"),
    }
    for name in ("psnr_mask", "psnr_whole", "ssim_whole", "psnr_mask_pasted", "psnr_whole_pasted"):
        assert set(found["methods"]["telea"]["background"][name]) == INTERVAL
    for name in ("soft_iou", "alpha_mse", "soft_iou_hidden"):
        assert set(found["methods"]["adapter"]["foreground"][name]) == INTERVAL
        assert found["methods"]["telea"]["foreground"][name] is None
    assert set(found["methods"]["adapter"]["recomposition"]["psnr_whole"]) == INTERVAL
    assert found["methods"]["given_mask"]["background"]["psnr_mask"] is None
    assert found["methods"]["adapter"]["background"]["lpips_whole"] is None
    assert "weights" in found["not_measured"]["background.lpips_whole"]
    assert found["methods"]["adapter"]["failures"] == 0
    assert {"adapter-base", "base-telea"} <= set(found["differences"])
    assert {f"adapter-{name}" for names in SIMPLE.values() for name in names} <= set(found["differences"])
    assert set(found["differences"]["adapter-base"]["background"]["psnr_mask"]) == INTERVAL
    assert found["differences"]["adapter-base"]["foreground"]["soft_iou"] is None
    assert found["profile"] == "demo" and found["stand_ins"] == {"graph regions": "SegFormer"} and found["seed"] == 0
    for found_by in (found["methods"]["telea"], found["differences"]["base-telea"]):
        interval = found_by["background"]["psnr_mask"]
        assert interval["low"] <= interval["mean"] <= interval["high"]


def test_scores_carry_the_hash_of_the_list_and_the_list_holds_every_image(done):
    out, report = done
    listed = json.loads((out / "list.json").read_text())
    assert listed["list_sha256"] == report.values["list_sha256"] == list_sha256(report.table.entries)
    assert len(listed["images"]) == report.values["num_images"]


def test_the_adapter_is_set_against_every_baseline():
    other = Known("lama", lambda case: Layers(case.composite), ["background"])
    found = judged(other, NEAR).values["differences"]
    assert found["adapter-lama"]["background"]["psnr_mask"]["mean"] > 0
    assert "lama-adapter" not in found and not judged(other, BLURRED).values["differences"]


def test_means_and_differences_follow_from_the_raw_scores(done):
    out, report = done
    frame = pd.read_csv(out / "scores.csv").set_index(["method", "image"])
    column = frame["background.psnr_mask"]
    assert report.mean("telea", "background", "psnr_mask") == pytest.approx(column["telea"].mean(), abs=1e-3)
    found = report.values["differences"]["adapter-telea"]["background"]["psnr_mask"]
    assert found["mean"] == pytest.approx((column["adapter"] - column["telea"]).mean(), abs=1e-3)
    hidden = frame.loc["adapter", "foreground.soft_iou_hidden"]
    assert report.values["methods"]["adapter"]["foreground"]["soft_iou_hidden"]["num_images"] == hidden.notna().sum()


def test_strata_share_out_the_images(done):
    for strata in done[1].values["strata"].values():
        assert sum(stratum["num_images"] for stratum in strata.values()) == 12


def test_the_page_holds_everything_it_shows(done):
    page = (done[0] / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in page and "default-src 'none'" in page
    for words in ("adapter", "navier_stokes", "SegFormer", "lpips_whole", done[1].values["list_sha256"]):
        assert words in page
    assert page.count("<img ") >= 12 and "nan" not in re.sub(r"data:[^\"]*", "", page).lower().split()


def test_a_second_run_changes_no_byte(held_out, tmp_path, done):
    evaluate(HeldOut(held_out), ALL, CONFIG, str(tmp_path), ABOUT)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (done[0] / name).read_bytes(), name


# ---- controls


def test_the_truth_scores_at_the_top():
    report = judged(truth)
    for name in ("psnr_mask", "psnr_ring", "psnr_outside", "psnr_whole"):
        assert report.mean("truth", "background", name) == 100.0
    assert report.mean("truth", "foreground", "soft_iou") == report.mean("truth", "background", "ssim_whole") == 1.0


def test_a_list_that_does_not_know_what_covers_its_targets_says_so():
    known, unknown = cases(8), [replace(case, covered=None) for case in cases(8)]
    assert judged(truth, given=known).mean("truth", "recomposition", "psnr_whole") == 100.0
    found = judged(truth, given=[*known[:4], *unknown[4:]])
    assert found.mean("truth", "recomposition", "psnr_whole") < 100.0
    said = found.values["notes"]["recomposition.psnr_whole"]
    assert f"for {len(known) - 4} of {len(known)} images" in said
    assert "recomposition.psnr_whole" not in judged(truth, given=known).values["notes"]


def test_a_method_that_knows_the_hidden_part_is_seen():
    """The true amodal alpha, however it leaks in, lifts the alpha scores far above those of the given mask."""
    leak = Known("leak", lambda case: Layers(None, np.dstack([case.composite, case.alpha])), ["foreground"])
    seen = Known(
        "seen", lambda case: Layers(None, np.dstack([case.composite, case.alpha * case.visible])), ["foreground"]
    )
    report = judged(leak, seen, next(m for m in classical_methods() if m.name == "given_mask"))
    for name, margin in (("soft_iou", 0.2), ("soft_iou_hidden", 0.7), ("soft_iou_unseen", 0.7)):
        assert report.mean("leak", "foreground", name) > report.mean("given_mask", "foreground", name) + margin
    # A perfect matte of what shows knows nothing of the hidden part.
    assert report.mean("seen", "foreground", "soft_iou_hidden") == 0
    assert report.mean("leak", "foreground", "soft_iou_hidden") == 1


def test_an_opaque_answer_pays_for_it():
    everywhere = np.full((64, 64), 255, np.uint8)
    opaque = Known("opaque", lambda case: Layers(None, np.dstack([case.composite, everywhere])), ["foreground"])
    report = judged(opaque, truth)
    assert report.mean("opaque", "foreground", "soft_iou_hidden") > 0.8
    assert report.mean("opaque", "foreground", "soft_iou") < 0.5
    assert report.mean("opaque", "foreground", "soft_iou_unseen") < 0.3


def test_half_an_object_left_standing_costs():
    """Also where the given mask is to blame: the truth says where the object shows."""

    def half(case):
        mask = case.mask.copy()
        mask[:, : int(np.argwhere(case.mask)[:, 1].mean())] = False
        return replace(case, mask=mask)

    whole = [case for case in cases(8) if case.visible.sum() > 50]
    halved = [half(case) for case in whole]
    perfect = Known(
        "perfect", lambda case: Layers(np.where(case.mask[..., None], case.background, case.composite)), ["background"]
    )
    good, bad = (judged(perfect, given=given).mean("perfect", "background", "psnr_mask") for given in (whole, halved))
    assert good > 60 and bad < 20
    telea = next(method for method in classical_methods() if method.name == "telea")
    good, bad = (judged(telea, given=given).mean("telea", "background", "psnr_mask") for given in (whole, halved))
    assert bad < good


def test_answers_in_the_wrong_order_score_at_the_bottom():
    given = cases(8)
    other = {case.name: given[(place + 3) % len(given)] for place, case in enumerate(given)}
    shuffled = Known("shuffled", lambda case: truth.function(other[case.name]))
    report = judged(truth, shuffled, BLURRED)
    assert report.mean("shuffled", "background", "psnr_mask") < report.mean("base", "background", "psnr_mask") - 3
    assert report.mean("shuffled", "foreground", "soft_iou") < 0.6


def test_missing_outputs_count():
    names = [case.name for case in cases(8)][:3]

    def some(case):
        if case.name in names:
            raise RuntimeError("out of memory")
        return truth.function(case)

    report = judged(truth, Known("some", some))
    found = report.values["methods"]["some"]
    assert found["failures"] == report.num_failures == 3 and set(report.values["failures"]["some"]) == set(names)
    assert found["background"]["psnr_mask"]["num_images"] == len(cases(8))
    expected = 100 * (1 - 3 / len(cases(8)))
    assert found["background"]["psnr_mask"]["mean"] == pytest.approx(expected)
    assert report.mean("some", "foreground", "soft_iou") < 1 and report.mean("some", "foreground", "alpha_mse") > 0


# ---- bad set-ups


def test_methods_need_different_names(held_out, tmp_path):
    with pytest.raises(BadSetup, match="different names, got truth, truth"):
        evaluate(HeldOut(held_out), [recipe_of(truth), recipe_of(truth)], CONFIG, str(tmp_path))
    with pytest.raises(BadSetup, match="none"):
        evaluate(HeldOut(held_out), [], CONFIG, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_there_must_be_a_list(tmp_path):
    with pytest.raises(BadSetup):
        evaluate(HeldOut(str(tmp_path / "absent")), [recipe_of(truth)], CONFIG, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
