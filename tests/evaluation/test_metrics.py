"""Every metric against a second implementation or a value worked out by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from decoupage.images import recompose, recomposition_error
from evaluation.methods.spec import Layers
from evaluation.metrics.catalogue import METRICS, find_metric
from evaluation.metrics.layers import alpha_mse, alpha_sad, colour_l1, soft_iou
from evaluation.metrics.pictures import psnr_db, ssim
from evaluation.metrics.score import paste_back, score, worst_scores
from evaluation.regions import background_regions
from tests.evaluation.scenes import cases, truth

rng = np.random.default_rng(0)
ONE = rng.integers(0, 256, (40, 48, 3), np.uint8)
OTHER = np.clip(ONE + rng.normal(0, 12, ONE.shape), 0, 255).astype(np.uint8)
ALPHA, TRUE_ALPHA = (rng.integers(0, 256, (40, 48), np.uint8) for _ in range(2))
REGION = rng.random((40, 48)) < 0.3


def test_psnr_is_that_of_scikit_image():
    assert psnr_db(ONE, OTHER) == pytest.approx(peak_signal_noise_ratio(OTHER, ONE, data_range=255), rel=1e-12)
    inside = psnr_db(ONE, OTHER, REGION)
    assert inside == pytest.approx(peak_signal_noise_ratio(OTHER[REGION], ONE[REGION], data_range=255), rel=1e-12)


def test_psnr_by_hand():
    black = np.zeros((2, 2, 3), np.uint8)
    gray = black.copy()
    gray[0, 0] = 51  # A fifth of the range at a quarter of the pixels: 25 * 4 = 100 -> 20 dB.
    assert psnr_db(gray, black) == pytest.approx(20.0)
    assert psnr_db(black, black) == 100.0
    assert psnr_db(gray, black, np.array([[False, True], [True, True]])) == 100.0
    assert math.isnan(psnr_db(gray, black, np.zeros((2, 2), bool)))


def test_ssim_written_out():
    def of_channel(a, b):
        window, n = 7, 49
        mean_a, mean_b = uniform_filter(a, window), uniform_filter(b, window)
        scale = n / (n - 1)
        var_a = scale * (uniform_filter(a * a, window) - mean_a**2)
        var_b = scale * (uniform_filter(b * b, window) - mean_b**2)
        both = scale * (uniform_filter(a * b, window) - mean_a * mean_b)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        value = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        return value[3:-3, 3:-3].mean()

    expected = np.mean([of_channel(ONE[..., c].astype(float), OTHER[..., c].astype(float)) for c in range(3)])
    assert ssim(ONE, OTHER) == pytest.approx(expected, rel=1e-9)
    assert ssim(ONE, ONE) == 1.0
    assert math.isnan(ssim(ONE[:5], ONE[:5]))


def test_soft_iou_pixel_by_pixel():
    for region in (None, REGION):
        smaller = larger = 0
        for y in range(40):
            for x in range(48):
                if region is None or region[y, x]:
                    pair = int(ALPHA[y, x]), int(TRUE_ALPHA[y, x])
                    smaller, larger = smaller + min(pair), larger + max(pair)
        assert soft_iou(ALPHA, TRUE_ALPHA, region) == pytest.approx(smaller / larger, rel=1e-12)


def test_soft_iou_of_hard_masks_is_the_usual_one():
    a, b = ALPHA > 90, TRUE_ALPHA > 90
    levels = (mask.astype(np.uint8) * 255 for mask in (a, b))
    assert soft_iou(*levels) == pytest.approx((a & b).sum() / (a | b).sum())
    empty = np.zeros((3, 3), np.uint8)
    assert math.isnan(soft_iou(empty, empty)) and soft_iou(empty, empty + 9) == 0


def test_alpha_errors():
    assert alpha_mse(ALPHA, TRUE_ALPHA) == pytest.approx(mean_squared_error(ALPHA / 255, TRUE_ALPHA / 255), rel=1e-12)
    a, b = np.zeros((20, 50), np.uint8), np.zeros((20, 50), np.uint8)
    a[:10], b[:5] = 255, 102  # 250 px at 0.6 and 250 px at 1: 400 px.
    assert alpha_sad(a, b) == pytest.approx(0.4)


def test_colour_counts_only_where_the_truth_shows():
    true = np.zeros((1, 3, 4), np.uint8)
    true[0, :, 3] = 255, 85, 0
    made = true.copy()
    made[0, :, 0] = 51, 153, 255  # 0.2 and 0.6 in one of three channels, at weights 1 and 1/3; the last is invisible.
    made[..., 3] = 0  # The made alpha does not matter.
    assert colour_l1(made, true) == pytest.approx((0.2 * 1 + 0.6 / 3) / 3 / (1 + 1 / 3))
    assert math.isnan(colour_l1(made, np.zeros_like(true)))


def test_recomposition_is_that_of_the_model_package():
    case = cases(3)[2]
    layers = Layers(np.flip(case.background, 1), case.foreground)
    expected = recomposition_error(recompose(layers.foreground, layers.background), case.composite).psnr_db
    assert score(case, layers)["recomposition", "psnr_whole"] == pytest.approx(expected, rel=1e-12)


def test_pasting_back_leaves_what_is_outside_the_given_mask():
    case = cases(2)[1]
    pasted = paste_back(case, case.composite ^ 255)
    assert np.array_equal(pasted[~case.mask], case.composite[~case.mask])
    assert np.array_equal(pasted[case.mask], (case.composite ^ 255)[case.mask])
    found = score(case, Layers(case.composite ^ 255))
    where = background_regions(case)["ring"]
    assert found["background", "psnr_ring_pasted"] == psnr_db(pasted, case.background, where)
    assert found["background", "psnr_whole_pasted"] > found["background", "psnr_whole"]


@pytest.mark.parametrize("case", cases(6), ids=lambda case: case.name)
def test_the_truth_scores_at_the_top_and_a_failure_at_the_bottom(case):
    best, worst = score(case, truth.function(case)), worst_scores(case, truth.gives)
    assert set(best) == {(metric.part, metric.name) for metric in METRICS} == set(worst)
    top = {"psnr": 100.0, "ssim": 1.0, "soft": 1.0, "alpha": 0.0, "colour": 0.0}
    noise = np.random.default_rng(0)
    made = score(case, Layers(*(noise.integers(0, 256, (*case.size, channels), np.uint8) for channels in (3, 4))))
    for (part, name), value in best.items():
        if math.isnan(value):
            assert math.isnan(worst[part, name])
            continue
        if not name.endswith("_pasted") and part != "recomposition":
            assert value == pytest.approx(top[name.split("_")[0]]), name
        assert (worst[part, name] < made[part, name]) == find_metric(part, name).higher_is_better, name


def test_names_end_in_their_region():
    assert {metric.name for metric in METRICS} >= {"psnr_mask", "psnr_whole", "ssim_whole", "soft_iou", "alpha_mse"}
    for metric in METRICS:
        if metric.part != "foreground":
            assert metric.name.removesuffix("_pasted").rpartition("_")[2] in ("mask", "ring", "outside", "whole")
