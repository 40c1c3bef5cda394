"""Intervals: those of scipy's paired bootstrap, and honest about images that share a scene."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from evaluation.statistics import Interval, difference, interval, intervals

rng = np.random.default_rng(3)
FIRST = rng.normal(20, 3, 60)
SECOND = FIRST + rng.normal(-0.5, 1, 60)
ALONE = [f"{i}" for i in range(60)]


def test_a_mean_has_scipys_interval():
    found = interval(FIRST, ALONE, 10_000, 0)
    expected = bootstrap((FIRST,), np.mean, n_resamples=10_000, method="percentile", rng=1).confidence_interval
    assert found.mean == pytest.approx(FIRST.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_a_difference_has_scipys_paired_interval():
    found = difference(FIRST, SECOND, ALONE, 10_000, 0)
    expected = bootstrap(
        (FIRST, SECOND),
        lambda a, b, axis: (a - b).mean(axis=axis),
        n_resamples=10_000,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    unpaired = interval(FIRST, ALONE, 10_000, 0)
    assert found.high - found.low < (unpaired.high - unpaired.low) / 2
    assert found.sign == 1


def test_images_of_one_scene_are_drawn_together():
    scenes = [f"{i // 3}" for i in range(60)]
    values = np.repeat(rng.normal(0, 1, 20), 3) + rng.normal(0, 0.1, 60)
    found = interval(values, scenes, 10_000, 0)
    sums, counts = values.reshape(20, 3).sum(axis=1), np.full(20, 3)
    expected = bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        n_resamples=10_000,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    alone = interval(values, ALONE, 10_000, 0)
    assert found.high - found.low > 1.4 * (alone.high - alone.low), "three views of one scene are no three scenes"


def test_scenes_of_many_images_weigh_by_their_images():
    values, scenes = np.array([1.0, 1.0, 1.0, 5.0]), ["a", "a", "a", "b"]
    found = interval(values, scenes, 1000, 0)
    assert (found.mean, found.low, found.high) == (2.0, 1.0, 5.0)


def test_images_that_one_of_two_could_not_be_measured_on_are_dropped_and_counted():
    first, second = FIRST.copy(), SECOND.copy()
    first[:10], second[5:20] = np.nan, np.nan
    found = difference(first, second, ALONE, 1000, 0)
    assert found.num_images == 40
    assert found == difference(FIRST[20:], SECOND[20:], ALONE[20:], 1000, 0)
    assert interval(np.full(4, np.nan), ["a", "b", "c", "d"], 1000, 0) is None


def test_the_seed_decides_and_long_lists_are_drawn_in_blocks(monkeypatch):
    found = interval(FIRST, ALONE, 10_000, 0)
    assert found == interval(FIRST, ALONE, 10_000, 0) != interval(FIRST, ALONE, 10_000, 1)
    monkeypatch.setattr("evaluation.statistics._KEPT", 0)
    streamed = interval(FIRST, ALONE, 10_000, 0)
    assert (streamed.low, streamed.high) == pytest.approx((found.low, found.high), abs=1e-12)


def test_one_scene_has_no_interval():
    assert interval(np.array([1.0, 3.0]), ["a", "a"], 100, 0) == Interval(2.0, None, None, 2)


def test_columns_taken_together_have_the_intervals_that_each_has_alone(monkeypatch):
    scenes = [f"{i // 2}" for i in range(60)]
    gaps = FIRST.copy()
    gaps[[3, 8, 9, 40]] = np.nan
    columns = [FIRST, gaps, np.full(60, np.nan), SECOND, gaps - SECOND]
    for held in (10_000_000, 2_000):  # All at once; two columns at once.
        monkeypatch.setattr("evaluation.statistics._MEANS", held)
        found = intervals(columns, scenes, 1000, 0)
        assert found[2] is None
        for column, together in zip(columns, found, strict=True):
            alone = interval(column, scenes, 1000, 0)
            if alone is None:
                continue
            assert (together.mean, together.num_images) == (alone.mean, alone.num_images)
            assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
