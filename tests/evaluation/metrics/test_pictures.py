"""PSNR, SSIM and L1 against scikit-image, formulas written out, and values worked out by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from evaluation.metrics.pictures import l1, psnr_db, psnr_of, squared_error, ssim, ssim_map, ssim_of

rng = np.random.default_rng(0)
ONE = rng.integers(0, 256, (40, 48, 3), np.uint8)
OTHER = np.clip(ONE + rng.normal(0, 12, ONE.shape), 0, 255).astype(np.uint8)
REGION = rng.random((40, 48)) < 0.3


def test_psnr_is_that_of_scikit_image():
    assert psnr_db(ONE, OTHER) == pytest.approx(peak_signal_noise_ratio(OTHER, ONE, data_range=255), rel=1e-12)
    inside = psnr_db(ONE, OTHER, REGION)
    assert inside == pytest.approx(peak_signal_noise_ratio(OTHER[REGION], ONE[REGION], data_range=255), rel=1e-12)
    assert psnr_of(squared_error(ONE, OTHER), REGION) == inside


def test_psnr_by_hand():
    black = np.zeros((2, 2, 3), np.uint8)
    gray = black.copy()
    gray[0, 0] = 51  # A fifth of the range at a quarter of the pixels: 25 * 4 = 100 -> 20 dB.
    assert psnr_db(gray, black) == pytest.approx(20.0)
    assert psnr_db(black, black) == 100.0
    assert psnr_db(gray, black, np.array([[False, True], [True, True]])) == 100.0
    assert math.isnan(psnr_db(gray, black, np.zeros((2, 2), bool)))


def test_psnr_holds_the_largest_sums():
    black = np.zeros((1024, 1024, 3), np.uint8)  # 2 * 10**11 in all: more than 32 bits hold.
    assert psnr_db(black, black + np.uint8(255)) == 0.0


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


def test_the_ssim_map_is_that_of_scikit_image():
    mean, full = structural_similarity(ONE, OTHER, channel_axis=2, data_range=255, full=True)
    found = ssim_map(ONE, OTHER)
    assert np.allclose(found[3:-3, 3:-3], full.mean(axis=-1)[3:-3, 3:-3], rtol=1e-9, atol=1e-9)
    assert np.isnan(found).sum() == 40 * 48 - 34 * 42
    assert ssim(ONE, OTHER) == pytest.approx(mean, rel=1e-12)


def test_ssim_of_a_region_is_the_mean_over_its_pixels():
    found = ssim_map(ONE, OTHER)
    inner = np.zeros((40, 48), bool)
    inner[3:-3, 3:-3] = True
    assert ssim_of(found, REGION) == pytest.approx(found[REGION & inner].mean(), rel=1e-12)
    assert math.isnan(ssim_of(found, ~inner))
    changed = OTHER.copy()
    changed[:20] = ONE[:20]
    assert ssim_of(ssim_map(ONE, changed), np.arange(40)[:, None] < np.full(48, 17)) == 1.0


def test_l1_by_hand():
    black = np.zeros((2, 2, 3), np.uint8)
    one = black.copy()
    one[0, 0, 0] = 204  # 0.8 in one of twelve numbers.
    assert l1(one, black) == l1(black, one) == pytest.approx(0.8 / 12)
