"""What is done to every image of a foreign list."""

import numpy as np

from evaluation.cases import Case
from evaluation.test_sets.listed import ListedSet, dilated
from evaluation.test_sets.originals import Excluded


class Two:
    """Originals: one whose side is too short, and one that is taken at its own size."""

    name, about = "two", {}

    def read(self, names=None):
        for name, size in (("short", (15, 900)), ("odd", (51, 83))):
            rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
            mask = np.zeros(size, bool)
            mask[4:9, 5:11] = True
            yield Case(name, name, name, name, rgb, mask, mask, rgb, None, None, None, {"source": "test"})


def test_images_are_judged_at_their_own_size_and_too_small_ones_are_not():
    listed = ListedSet(Two())
    (case,) = listed.cases()
    assert case.name == "odd" and case.size == (51, 83) and case.maps is None
    assert listed.excluded == (Excluded("short", "too_small", "900x15 px; a side must have at least 16"),)


def test_a_mask_grows_by_a_disc():
    mask = np.zeros((15, 15), bool)
    mask[7, 7] = True
    grown = dilated(mask, 3)
    ys, xs = np.nonzero(grown)
    assert np.hypot(ys - 7, xs - 7).max() < 3.7 and grown[4, 7] and grown[7, 10] and not grown[4, 4]
    assert dilated(mask, 0) is mask
