"""Where sampling starts: the filling is smooth and keeps what is known; a base that starts from noise is not asked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import spsolve

from decoupage.bases.flux import FluxFill
from decoupage.bases.small import SmallFill
from decoupage.rgba_vae import decode_rgba, widen_vae
from decoupage.starts import background_start, foreground_start, smooth_filling


def pictures(seed: int, height: int, width: int, number: int = 1) -> torch.Tensor:
    return torch.rand(number, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def smooth(seed: int, side: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(pictures(seed, 5, 5), (side, side), mode="bilinear", align_corners=True)


def holes(seed: int, height: int, width: int, number: int = 1, share: float = 0.5) -> torch.Tensor:
    drawn = torch.rand(number, 1, height, width, generator=torch.Generator().manual_seed(seed + 1))
    return (drawn < share).float()


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
)
def test_what_is_known_stays_and_what_is_filled_lies_between(seed: int, height: int, width: int, share: float):
    picture, hole = pictures(seed, height, width, 2), holes(seed, height, width, 2, share)
    filled = smooth_filling(picture, hole)
    assert filled.shape == picture.shape
    assert torch.equal(filled[(hole == 0).expand_as(filled)], picture[(hole == 0).expand_as(filled)])
    for one, its_hole, its_filling in zip(picture, hole, filled, strict=True):
        known = one[(its_hole == 0).expand_as(one)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        assert its_filling.min() >= low - 1e-5 and its_filling.max() <= high + 1e-5


@given(seed=st.integers(0, 2**31), level=st.floats(-1, 1))
def test_around_one_colour_it_is_that_colour(seed: int, level: float):
    picture, hole = torch.full((1, 3, 33, 20), level), holes(seed, 33, 20)
    hole[..., 0, 0] = 0
    assert torch.allclose(smooth_filling(picture * (1 - hole), hole), picture, atol=1e-5)


def test_a_picture_does_not_depend_on_its_batch():
    picture, hole = pictures(1, 24, 24, 3), holes(1, 24, 24, 3)
    together = smooth_filling(picture, hole)
    for place in range(3):
        alone = smooth_filling(picture[place : place + 1], hole[place : place + 1])
        assert torch.equal(alone, together[place : place + 1])


def test_it_is_near_the_solution_of_laplaces_equation():
    picture, hole = smooth(3, 48), torch.zeros(1, 1, 48, 48)
    hole[..., 10:34, 8:40] = 1
    exact = laplace(picture[0].numpy(), hole[0, 0].numpy() > 0)
    error = (smooth_filling(picture, hole)[0].numpy() - exact)[:, hole[0, 0].numpy() > 0]
    assert np.sqrt((error**2).mean()) < 0.04


def laplace(picture_3HW: np.ndarray, hole_HW: np.ndarray) -> np.ndarray:
    """Exact: each pixel of the hole is the mean of its four neighbours."""
    places = -np.ones(hole_HW.shape, int)
    places[hole_HW] = np.arange(hole_HW.sum())
    rows, columns, values, sums = [], [], [], np.zeros((hole_HW.sum(), 3))
    for y, x in zip(*np.nonzero(hole_HW), strict=True):
        rows.append(places[y, x]), columns.append(places[y, x]), values.append(4.0)
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            if hole_HW[y + dy, x + dx]:
                rows.append(places[y, x]), columns.append(places[y + dy, x + dx]), values.append(-1.0)
            else:
                sums[places[y, x]] += picture_3HW[:, y + dy, x + dx]
    solved = picture_3HW.copy()
    solved[:, hole_HW] = spsolve(sparse.csr_matrix((values, (rows, columns))), sums).T
    return solved


def test_the_small_base_starts_from_a_filling_and_a_cutout():
    base = SmallFill()
    vae = base.new()["vae"]
    vae.fit([smooth(0, 64), smooth(1, 64), smooth(2, 64)])
    picture, mask = smooth(4, 64), torch.zeros(1, 1, 64, 64)
    mask[..., 16:40, 16:40] = 1
    with torch.no_grad():
        behind = base.decode(vae, base.unpack(background_start(base, vae, picture, mask, never), 64, 64))
        wide = widen_vae(vae)
        before = decode_rgba(wide, base.unpack(foreground_start(base, wide, picture, mask, never), 64, 64))
    grown = torch.zeros_like(mask)
    grown[..., 15:41, 15:41] = 1
    assert (behind - smooth_filling(picture, grown)).abs().mean() < 0.02
    assert (before[:, 3:] - (2 * mask - 1)).abs().mean() < 1e-4
    assert (before[:, :3] - picture * mask).abs().mean() < 0.05


def never() -> torch.Tensor:
    pytest.fail("this base takes no noise")


def test_other_bases_start_from_the_noise_that_is_drawn():
    noise, nothing = torch.randn(1, 4, 64), torch.zeros(1, 3, 16, 16)
    for start in (background_start, foreground_start):
        assert start(FluxFill(), torch.nn.Identity(), nothing, nothing[:, :1], lambda: noise) is noise
