"""Size and mask of foreign pictures: the rule holds for any size, and a mask keeps what it covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadItem
from evaluation.test_sets.originals import Original
from evaluation.test_sets.sizes import dilated, fitted, resized_mask, resized_original

SIDE = st.integers(16, 4000)


@given(SIDE, SIDE, st.none() | st.integers(16, 2048))
def test_both_sides_are_multiples_of_16_and_nothing_is_enlarged(height, width, size_px):
    fit = fitted((height, width), size_px)
    assert fit[0] % 16 == fit[1] % 16 == 0 and min(fit) >= 16
    assert fit[0] <= height and fit[1] <= width and max(fit) <= (size_px or 4000)
    scale = min(1.0, (size_px or max(height, width)) / max(height, width))
    # Half a step of rounding, or a whole one where rounding up would enlarge; thin pictures keep one step.
    for side, wanted in zip(fit, (height * scale, width * scale), strict=True):
        assert abs(side - wanted) < 16


@pytest.mark.parametrize(
    ("size", "size_px", "fit"),
    [
        ((540, 960), None, (528, 960)),
        ((540, 960), 512, (288, 512)),
        ((1080, 1920), 1024, (576, 1024)),
        ((512, 512), 512, (512, 512)),
        ((100, 200), 1024, (96, 192)),
    ],
)
def test_sizes_of_published_sets(size, size_px, fit):
    assert fitted(size, size_px) == fit


def test_a_picture_too_small_for_one_step_is_refused():
    with pytest.raises(BadItem, match="too_small"):
        fitted((15, 900), 64)


def test_every_picture_of_an_image_gets_the_same_size():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (50, 90, 3), np.uint8)
    mask = np.zeros((50, 90), bool)
    mask[10:30, 20:60] = True
    rgba = np.dstack([rgb, mask * np.uint8(255)])
    original = resized_original(Original("a", "a", "a", "test", rgb, mask, mask, rgb, rgba, None), 48)
    pictures = (original.composite, original.mask, original.visible, original.background, original.foreground)
    assert {picture.shape[:2] for picture in pictures} == {(32, 48)}
    assert abs(original.mask.mean() - mask.mean()) < 0.02
    assert abs((original.foreground[..., 3] > 127).mean() - mask.mean()) < 0.02


def test_one_pixel_of_a_mask_is_not_lost_and_none_stays_none():
    mask = np.zeros((64, 96), bool)
    assert not resized_mask(mask, (16, 16)).any()
    mask[33, 50] = True
    assert resized_mask(mask, (16, 16)).sum() == 1


def test_a_mask_grows_by_a_disc():
    mask = np.zeros((15, 15), bool)
    mask[7, 7] = True
    grown = dilated(mask, 3)
    ys, xs = np.nonzero(grown)
    assert np.hypot(ys - 7, xs - 7).max() < 3.7 and grown[4, 7] and grown[7, 10] and not grown[4, 4]
    assert dilated(mask, 0) is mask
