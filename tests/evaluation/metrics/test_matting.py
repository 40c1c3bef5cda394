"""Gradient and connectivity errors against slow second implementations and values worked out by hand."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from evaluation.metrics.cutouts import connectivity_error, gradient_error, max_gradient_error_per_px

rng = np.random.default_rng(0)


def soft(seed, shape=(40, 48)):
    """Blurred blobs: an alpha with all levels, several parts, and holes."""
    noise = np.random.default_rng(seed).normal(size=shape)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(blurred / blurred.std() * 120 + 60, 0, 255).astype(np.uint8)


# ---- gradient


def test_gradient_error_with_the_kernel_written_out():
    """The 9 x 9 kernel of the benchmarks' program, and a convolution that knows nothing of separable filters."""
    sigma, half = 1.4, 4
    gauss = [math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) for x in range(-half, half + 1)]
    slope = [-x * g / sigma**2 for x, g in zip(range(-half, half + 1), gauss, strict=True)]
    kernel = np.array([[gauss[i] * slope[j] for j in range(9)] for i in range(9)])
    kernel /= math.sqrt((kernel**2).sum())

    def length(alpha):
        values = alpha / 255
        x, y = (ndimage.convolve(values, k, mode="nearest") for k in (kernel, kernel.T))
        return np.sqrt(x**2 + y**2)

    for first, second in ((soft(1), soft(2)), (soft(3), np.zeros((40, 48), np.uint8))):
        expected = ((length(first) - length(second)) ** 2).sum() / 1000
        assert gradient_error(first, second) == pytest.approx(expected, rel=1e-5)


def test_gradient_error_of_a_straight_edge():
    """Far from the picture's edge, a step from 0 to 1 sums up half of the slope's kernel at each distance."""
    step = np.zeros((30, 40), np.uint8)
    step[:, 20:] = 255
    x = np.arange(-4, 5)
    gauss = np.exp(-(x**2) / (2 * 1.4**2))
    slope = x * gauss
    smooth = gauss.sum() / np.linalg.norm(gauss)
    steps = np.cumsum(slope / np.linalg.norm(slope))[:-1] * smooth
    assert gradient_error(step, np.zeros_like(step)) == pytest.approx(30 * (steps**2).sum() / 1000, rel=1e-5)
    # No pixel can be off by more than the one at the edge.
    assert max_gradient_error_per_px() == pytest.approx((steps**2).max() / 1000, rel=1e-9)


def test_a_faint_cutout_pays_for_it():
    alpha = soft(4)
    assert gradient_error(alpha, alpha) == 0
    assert gradient_error(alpha // 2, alpha) > 0


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_no_pixel_pays_more_than_the_bound(seed, side):
    draw = np.random.default_rng(seed)
    coarse = [(draw.random((12, 12)) < 0.5).astype(np.uint8) * 255 for _ in range(2)]
    first, second = (np.kron(alpha, np.ones((side, side), np.uint8)) for alpha in coarse)
    assert gradient_error(first, second) <= max_gradient_error_per_px() * first.size


# ---- connectivity


def slow_connectivity(alpha, truth):
    """The definition, pixel by pixel in whole numbers: alpha in 2550ths, thresholds at 255 k."""
    height, width = alpha.shape
    a, b = alpha.astype(int) * 10, truth.astype(int) * 10
    level = np.full((height, width), -1)
    for k in range(1, 11):
        labels, number = ndimage.label((a >= 255 * k) & (b >= 255 * k))  # 4 neighbours, numbered row by row.
        sizes = [int((labels == n).sum()) for n in range(1, number + 1)]
        omega = labels == 1 + sizes.index(max(sizes)) if sizes else np.zeros((height, width), bool)
        for y in range(height):
            for x in range(width):
                if level[y, x] < 0 and not omega[y, x]:
                    level[y, x] = k - 1
    level[level < 0] = 10
    total = 0.0
    for y in range(height):
        for x in range(width):
            phi = []
            for values in (a, b):
                distance = (values[y, x] - 255 * level[y, x]) / 2550
                phi.append(1 - (distance if distance >= 0.15 else 0))
            total += abs(phi[0] - phi[1])
    return total / 1000


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from(["soft", "noise", "hard", "shifted"]))
def test_connectivity_error_pixel_by_pixel(seed, kind):
    draw = np.random.default_rng(seed)
    if kind == "soft":
        first, second = soft(seed, (14, 17)), soft(seed + 1, (14, 17))
    elif kind == "noise":
        first, second = (draw.integers(0, 256, (9, 8), np.uint8) for _ in range(2))
    elif kind == "hard":  # Many parts of one size: ties.
        first, second = ((draw.random((9, 8)) < 0.5).astype(np.uint8) * 255 for _ in range(2))
    else:
        first = soft(seed, (14, 17))
        second = np.roll(first, 2, axis=1)
    assert connectivity_error(first, second) == pytest.approx(slow_connectivity(first, second), abs=1e-12)


def test_connectivity_by_hand():
    truth = np.zeros((4, 12), np.uint8)
    truth[:, :4] = 255  # The object, and a crumb that is truly apart.
    truth[0, 8] = 255
    assert connectivity_error(truth, truth) == 0
    lost = truth.copy()
    lost[0, 8] = 0  # The crumb is no part of the largest one in either: level 0, and one has 1 more there.
    assert connectivity_error(lost, truth) == pytest.approx(1 / 1000)
    faint = truth.copy()
    faint[:, :4] = 230  # 0.902 of 1: both connected up to 0.9, and 0.1 more is less than theta.
    assert connectivity_error(faint, truth) == 0
    fainter = truth.copy()
    fainter[:, :4] = 204  # Connected up to 0.8; the truth is 0.2 above that at 16 pixels.
    assert connectivity_error(fainter, truth) == pytest.approx(16 * 0.2 / 1000)


def test_nothing_at_all_is_connected():
    empty = np.zeros((5, 6), np.uint8)
    assert connectivity_error(empty, empty) == 0
    assert connectivity_error(empty, empty + np.uint8(255)) == pytest.approx(30 / 1000)
