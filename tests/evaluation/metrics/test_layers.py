"""Metrics of cutouts pixel by pixel, against loops, scikit-image and values worked out by hand."""

import math

import numpy as np
import pytest
from skimage.metrics import mean_squared_error

from evaluation.metrics.cutouts import alpha_mse, alpha_sad, colour_l1, premultiplied_l1, soft_iou

rng = np.random.default_rng(0)
ALPHA, TRUE_ALPHA = (rng.integers(0, 256, (40, 48), np.uint8) for _ in range(2))
REGION = rng.random((40, 48)) < 0.3


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


def test_premultiplied_colour():
    one, other = (rng.integers(0, 256, (40, 48, 4), np.uint8) for _ in range(2))
    straight = [rgba[..., :3] / 255 * (rgba[..., 3:] / 255) for rgba in (one, other)]
    assert premultiplied_l1(one, other) == pytest.approx(np.abs(straight[0] - straight[1]).mean(), rel=1e-12)
    unseen = one.copy()
    unseen[..., 3] = 0
    assert premultiplied_l1(unseen, np.zeros_like(one)) == 0
    white = np.full((1, 4, 4), 255, np.uint8)
    faint = white.copy()
    faint[0, :2, 3] = 51  # Half of the pixels lack four fifths.
    assert premultiplied_l1(faint, white) == pytest.approx(0.4)
