"""FID against a closed form, scipy's root of a matrix, and another formula where covariances have no full rank."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from evaluation.metrics import fid
from evaluation.metrics.fid import Moments, frechet_distance, moments

rng = np.random.default_rng(0)


def test_gaussians_along_the_axes():
    first = Moments(np.array([0.0, 1.0]), np.diag([4.0, 9.0]))
    second = Moments(np.array([3.0, -3.0]), np.diag([1.0, 0.25]))
    # (3^2 + 4^2) + (2 - 1)^2 + (3 - 0.5)^2
    assert frechet_distance(first, second) == pytest.approx(25 + 1 + 6.25)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-12)


def test_moments_are_those_of_numpy(monkeypatch):
    features = rng.normal(3, 1, (50, 4)).astype(np.float32)
    for rows in (7, 1024):
        monkeypatch.setattr(fid, "_ROWS", rows)
        found = moments(features)
        assert np.allclose(found.mean, features.mean(0), rtol=1e-6)
        assert np.allclose(found.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-12)


def test_the_root_is_that_of_scipy():
    first, second = (rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)) for _ in range(2))
    a, b = moments(first), moments(second)
    root = sqrtm(a.covariance @ b.covariance).real
    expected = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_fewer_pictures_than_features():
    """With centred rows A and B, the root's trace is the sum of the singular values of A B'."""
    first, second = (rng.normal(size=(5, 40)) for _ in range(2))
    a, b = (rows - rows.mean(0) for rows in (first, second))
    nuclear = np.linalg.svd(a @ b.T / 4, compute_uv=False).sum()
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + ((a**2).sum() + (b**2).sum()) / 4 - 2 * nuclear
    assert frechet_distance(moments(first), moments(second)) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(moments(first), moments(first)) == pytest.approx(0, abs=1e-6)


def test_it_grows_as_pictures_become_fewer():
    """What the report says about N: two samples of one distribution."""
    found = []
    for number in (20, 200, 2000):
        first, second = (rng.normal(size=(number, 16)) for _ in range(2))
        found.append(frechet_distance(moments(first), moments(second)))
    assert found[0] > 4 * found[1] > 16 * found[2]
