"""The size at which a published model works: multiples, aspect, and pictures that come back as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.images.sizes import resize_mask, resize_picture, resize_rgba
from evaluation.methods.published.methods import working_size

SIDES = st.integers(16, 512)


@given(SIDES, SIDES, st.sampled_from([8, 16, 32]), st.sampled_from([256, 640, 1024]))
def test_the_working_size_is_a_multiple_and_keeps_the_aspect(height, width, multiple, longer_px):
    found = working_size((height, width), longer_px, multiple)
    assert all(side % multiple == 0 and side >= multiple for side in found)
    assert max(found) == longer_px
    scale = longer_px / max(height, width)
    for side, was in zip(found, (height, width), strict=True):
        assert abs(side - was * scale) <= multiple / 2 or side == multiple


@pytest.mark.parametrize(
    ("size", "found"), [((1024, 1024), (1024, 1024)), ((480, 640), (768, 1024)), ((10, 640), (16, 1024))]
)
def test_known_sizes(size, found):
    assert working_size(size, 1024, 16) == found


def test_at_its_own_size_nothing_is_resampled():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    assert resize_rgba(picture, (20, 30)) is picture
    assert np.array_equal(resize_picture(picture[..., :3], (20, 30)), picture[..., :3])
    mask = picture[..., 0] > 127
    assert resize_mask(mask, (20, 30)) is mask


def test_there_and_back_a_smooth_picture_is_the_same():
    ramp = np.linspace(20, 230, 48)
    picture = np.rint(np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128.0), axis=-1)).astype(np.uint8)
    back = resize_picture(resize_picture(picture, (96, 96)), (48, 48))
    assert np.abs(back.astype(int) - picture).max() <= 2


def test_a_layers_rim_takes_no_colour_from_what_is_invisible():
    layer = np.zeros((32, 32, 4), np.uint8)
    layer[8:24, 8:24] = (200, 100, 50, 255)
    layer[layer[..., 3] == 0, :3] = (0, 255, 0)
    for size in ((16, 16), (80, 80)):
        found = resize_rgba(layer, size)
        seen = found[..., 3] > 12
        assert np.abs(found[seen][:, :3].astype(int) - (200, 100, 50)).max() <= 6
        assert abs(found[..., 3].mean() - layer[..., 3].mean()) < 3


@given(st.integers(20, 200), st.integers(20, 200))
def test_a_mask_keeps_its_area(height, width):
    mask = np.zeros((64, 64), bool)
    mask[16:48, 8:40] = True
    found = resize_mask(mask, (height, width))
    assert found.dtype == bool and abs(found.mean() - mask.mean()) < 2 / min(height, width)
