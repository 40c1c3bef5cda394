"""Regions: drawn from the truth, and together the whole picture."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.regions import background_regions, distance_px, hidden_region
from tests.evaluation.scenes import cases


@pytest.mark.parametrize("case", cases(5), ids=lambda case: case.name)
def test_mask_ring_and_outside_share_out_the_picture(case):
    regions = background_regions(case)
    total = sum(regions[name].astype(int) for name in ("mask", "ring", "outside"))
    assert (total == 1).all() and regions["whole"].all()
    assert np.array_equal(regions["mask"], case.visible)
    near = {(y, x) for y, x in np.argwhere(regions["ring"])}
    for y, x in list(near)[:50]:
        window = case.visible[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        assert window.any(), "the ring is at most 2 px wide at 64 px"


def test_regions_do_not_follow_the_given_mask():
    case = cases(1)[0]
    other = replace(case, mask=np.roll(case.mask, 9, axis=1))
    for name, region in background_regions(case).items():
        assert np.array_equal(region, background_regions(other)[name])


def test_a_hidden_part_of_a_few_pixels_is_not_judged():
    case = cases(1)[0]
    for num_px, judged in ((15, False), (16, True)):
        visible = case.alpha >= 26
        visible.flat[np.flatnonzero(visible)[:num_px]] = False
        assert (hidden_region(replace(case, visible=visible)) is not None) == judged


def test_distances():
    mask = np.zeros((5, 7), bool)
    assert np.isinf(distance_px(mask)).all()
    mask[2, 2] = True
    assert distance_px(mask)[2, 6] == pytest.approx(4) and distance_px(mask)[0, 0] == pytest.approx(8**0.5, abs=1e-5)
