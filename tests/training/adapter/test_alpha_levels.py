"""Levels of alpha: what is soft for want of knowledge becomes sharp, what is right stays."""

import numpy as np
import pytest
from skimage.filters import gaussian

from training.adapter.alpha_levels import MARGINS, AlphaLevels, choose_alpha_levels


def discs() -> np.ndarray:
    """[4, 64, 64]: discs of several sizes."""
    rows, columns = np.mgrid[:64, :64] - 32
    return np.stack([rows**2 + columns**2 < radius**2 for radius in (8, 12, 18, 24)]).astype(np.float32)


def test_alpha_that_is_right_is_left_as_it_is():
    assert choose_alpha_levels(discs(), discs()) == AlphaLevels((0.0, 1.0), 1.0)
    soft = discs() * 0.6
    assert choose_alpha_levels(soft, soft).levels == (0.0, 1.0)


def test_blurred_outlines_are_stretched_and_that_helps_others_too():
    blurred = np.stack([gaussian(disc, sigma=3) for disc in discs()]).astype(np.float32)
    low, high = choose_alpha_levels(blurred[:3], discs()[:3]).levels
    assert low in MARGINS[1:] and high == 1.0 - low
    stretched = np.clip((blurred[3] - low) / (high - low), 0, 1)
    assert np.abs(stretched - discs()[3]).mean() < 0.8 * np.abs(blurred[3] - discs()[3]).mean()


def test_nothing_to_choose_by_is_refused():
    with pytest.raises(ValueError, match="of one shape"):
        choose_alpha_levels(discs()[:0], discs()[:0])
    with pytest.raises(ValueError, match="of one shape"):
        choose_alpha_levels(discs(), discs()[:2])
