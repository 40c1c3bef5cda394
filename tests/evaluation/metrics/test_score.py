"""Which metrics an image gets: the truth at the top, a missing output at the bottom, regions and pasting back."""

import math
from dataclasses import replace

import numpy as np
import pytest

from decoupage.images.blending import recompose, recomposition_error
from evaluation.method import Layers
from evaluation.metrics.catalogue import IMAGE_METRICS, LIST_METRICS, METRICS, find_metric
from evaluation.metrics.pictures import psnr_db, ssim_map, ssim_of
from evaluation.metrics.score import paste_back, score, worst_scores
from evaluation.regions import background_regions
from tests.evaluation.metrics.networks import random_lpips
from tests.evaluation.scenes import cases, truth

LPIPS = random_lpips()
WITHOUT_NET = {(metric.part, metric.name) for metric in METRICS if metric.net is None}


def test_recomposition_is_that_of_the_model_package():
    case = replace(cases(3)[2], covered=None)
    layers = Layers(np.flip(case.background, 1), case.foreground)
    expected = recomposition_error(recompose(layers.foreground, layers.background), case.composite)
    found = score(case, layers)
    assert found["recomposition", "psnr_whole"] == pytest.approx(expected.psnr_db, rel=1e-12)
    assert found["recomposition", "l1_whole"] == pytest.approx(expected.mean_absolute / 255, rel=1e-12)


def test_completing_what_is_hidden_costs_no_recomposition():
    """The truth itself must be at the top, also behind another object; elsewhere an error counts as before."""
    occluded = [case for case in cases(9) if case.occluded_fraction > 0.05]
    assert len(occluded) >= 3
    for case in occluded:
        assert case.covered.any() and not (case.covered & (case.alpha == 0)).any()
        found = score(case, truth.function(case))
        assert found["recomposition", "psnr_whole"] == 100.0 and found["recomposition", "l1_whole"] == 0.0
        everywhere = score(replace(case, covered=None), truth.function(case))
        assert everywhere["recomposition", "psnr_whole"] < 40
        beside = case.background.copy()
        beside[~case.covered] ^= 64
        assert score(case, Layers(beside, case.foreground))["recomposition", "psnr_whole"] < 30


def test_pasting_back_leaves_what_is_outside_the_given_mask():
    case = cases(2)[1]
    pasted = paste_back(case, case.composite ^ 255, None)
    assert np.array_equal(pasted[~case.mask], case.composite[~case.mask])
    assert np.array_equal(pasted[case.mask], (case.composite ^ 255)[case.mask])
    found = score(case, Layers(case.composite ^ 255))
    where = background_regions(case)["ring"]
    assert found["background", "psnr_ring_pasted"] == psnr_db(pasted, case.background, where)
    assert found["background", "psnr_whole_pasted"] > found["background", "psnr_whole"]


def test_a_method_that_keeps_the_rest_of_the_picture_itself_is_judged_by_its_own_picture():
    case = cases(2)[1]
    made, opacity = case.composite ^ 255, np.zeros(case.size, np.uint8)
    opacity[:10], opacity[10] = 255, 51
    pasted = paste_back(case, made, opacity)
    assert np.array_equal(pasted[:10], made[:10]) and np.array_equal(pasted[11:], case.composite[11:])
    assert np.abs(pasted[10] - (0.2 * made[10] + 0.8 * case.composite[10])).max() <= 0.5 + 1e-6
    everywhere = score(case, Layers(made, case.foreground, np.full(case.size, 255, np.uint8)))
    for (part, name), value in everywhere.items():
        if name.endswith("_pasted"):
            np.testing.assert_equal(value, everywhere[part, name.removesuffix("_pasted")])
    found, given = score(case, Layers(made, case.foreground, opacity)), score(case, Layers(made, case.foreground))
    assert found["background", "psnr_whole_pasted"] != given["background", "psnr_whole_pasted"]
    assert found["recomposition", "psnr_whole_pasted"] != given["recomposition", "psnr_whole_pasted"]
    assert found["background", "psnr_whole"] == given["background", "psnr_whole"]


@pytest.mark.parametrize("case", cases(6), ids=lambda case: case.name)
def test_the_truth_scores_at_the_top_and_a_failure_at_the_bottom(case):
    best, worst = score(case, truth.function(case), LPIPS), worst_scores(case, truth.gives, LPIPS)
    assert set(best) == {(metric.part, metric.name) for metric in IMAGE_METRICS} == set(worst)
    top = {"psnr": 100.0, "ssim": 1.0, "soft": 1.0} | dict.fromkeys(
        ("alpha", "colour", "premultiplied", "lpips", "l1"), 0.0
    )
    noise = np.random.default_rng(0)
    made = score(
        case, Layers(*(noise.integers(0, 256, (*case.size, channels), np.uint8) for channels in (3, 4))), LPIPS
    )
    for (part, name), value in best.items():
        if math.isnan(value):
            assert math.isnan(worst[part, name])
            continue
        if not name.endswith("_pasted"):
            assert value == pytest.approx(top[name.split("_")[0]]), name
        assert (worst[part, name] < made[part, name]) == find_metric(part, name).higher_is_better, name


def test_regions_share_one_map():
    case = cases(2)[1]
    made = Layers(np.flip(case.background, 1))
    found = score(case, made, LPIPS)
    similarity = ssim_map(made.background, case.background)
    (distance,) = LPIPS.distances([made.background], case.background)
    for region, where in background_regions(case).items():
        assert found["background", f"ssim_{region}"] == ssim_of(similarity, where)
        if region != "whole":
            assert found["background", f"lpips_{region}"] == pytest.approx(float(distance.map[where].mean()), rel=1e-4)
    assert found["background", "lpips_whole"] == pytest.approx(distance.mean, rel=1e-4)
    assert found["background", "lpips_outside_pasted"] < found["background", "lpips_outside"]


def test_without_its_network_a_metric_has_no_number():
    case = cases(1)[0]
    assert set(score(case, truth.function(case))) == WITHOUT_NET == set(worst_scores(case, truth.gives))
    assert {metric.net for metric in LIST_METRICS} == {"inception"}


def test_a_picture_too_small_for_the_network_has_no_number():
    case = cases(1, 30)[0]
    assert set(score(case, truth.function(case), LPIPS)) == WITHOUT_NET == set(worst_scores(case, truth.gives, LPIPS))


def test_names_end_in_their_region():
    assert {metric.name for metric in METRICS} >= {"psnr_mask", "psnr_whole", "ssim_whole", "soft_iou", "alpha_mse"}
    for metric in METRICS:
        if metric.part != "foreground":
            assert metric.name.removesuffix("_pasted").rpartition("_")[2] in ("mask", "ring", "outside", "whole")
