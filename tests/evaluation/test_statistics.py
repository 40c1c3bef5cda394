"""Intervals: Student's where images are independent, and honest about photographs and origins that they share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, t

from evaluation.metrics.catalogue import find_metric
from evaluation.statistics import MIN_CLUSTERS, Clusters, Interval, difference, interval, intervals, jackknife

rng = np.random.default_rng(3)
FIRST = rng.normal(20, 3, 60)
SECOND = FIRST + rng.normal(-0.5, 1, 60)
NAMES = [f"{i}" for i in range(60)]
ALONE = Clusters(NAMES, NAMES)
PSNR, MSE = find_metric("background", "psnr_mask"), find_metric("foreground", "alpha_mse")


def ends(found):
    return found.low, found.high


def students(values):
    """Student's interval of independent values, one for each cluster."""
    spread = values.std(ddof=1) / np.sqrt(len(values))
    return t.interval(0.95, len(values) - 1, values.mean(), spread)


# ---- every image is its own cluster


def test_independent_images_have_students_interval():
    found = interval(FIRST, ALONE)
    assert found.mean == pytest.approx(FIRST.mean()) and ends(found) == pytest.approx(students(FIRST), rel=1e-12)
    assert (found.num_images, found.num_photographs, found.num_origins) == (60, 60, 60)


def test_that_is_about_the_ordinary_bootstraps():
    found = interval(FIRST, ALONE)
    expected = bootstrap((FIRST,), np.mean, n_resamples=10_000, method="percentile", rng=1).confidence_interval
    assert ends(found) == pytest.approx((expected.low, expected.high), abs=0.05)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.05)


def test_a_difference_is_paired():
    found = difference(FIRST, SECOND, ALONE)
    expected = bootstrap(
        (FIRST, SECOND),
        lambda a, b, axis: (a - b).mean(axis=axis),
        n_resamples=10_000,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert ends(found) == pytest.approx((expected.low, expected.high), abs=0.02)
    unpaired = interval(FIRST, ALONE)
    assert found.high - found.low < (unpaired.high - unpaired.low) / 2
    assert found.verdict() == "better" and difference(SECOND, FIRST, ALONE).verdict() == "worse"


# ---- images that share something


def test_one_way_alone_is_students_interval_of_the_clusters():
    """Twenty photographs of three images each, whose origins are nobody else's: twenty values, not sixty."""
    values = np.repeat(rng.normal(0, 1, 20), 3) + rng.normal(0, 0.1, 60)
    shared = [f"{i // 3}" for i in range(60)]
    expected = students(values.reshape(20, 3).mean(axis=1))
    for clusters in (Clusters(shared, NAMES), Clusters(NAMES, shared), Clusters(shared, shared)):
        found = interval(values, clusters)
        assert ends(found) == pytest.approx(expected, rel=1e-9)
    alone = interval(values, ALONE)
    assert found.high - found.low > 1.4 * (alone.high - alone.low), "three views of one scene are no three scenes"


def test_two_ways_are_the_sum_less_what_is_in_both():
    """Against a slow jackknife that leaves images out one cluster at a time."""
    photographs = [f"p{number}" for number in rng.integers(0, 12, 60)]
    origins = [f"o{number}" for number in rng.integers(0, 15, 60)]
    values = rng.normal(size=12)[[int(name[1:]) for name in photographs]] + rng.normal(size=60)

    def variance(names):
        kept = [values[[name != other for name in names]].mean() for other in set(names)]
        return (len(kept) - 1) / len(kept) * sum((mean - values.mean()) ** 2 for mean in kept)

    first, second = variance(photographs), variance(origins)
    expected = max(first + second - variance(list(zip(photographs, origins, strict=True))), first, second)
    fewer = min(len(set(photographs)), len(set(origins)))
    found = interval(values, Clusters(photographs, origins))
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, fewer - 1) * np.sqrt(expected))
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def simulated(draw, num_photographs, num_origins, num_scenes, of_photographs, of_origins):
    """Scores with mean 0 of scenes of two targets: popular photographs and origins, each with an effect of its own."""
    popular = [1 / np.arange(1, number + 1) ** 0.7 for number in (num_photographs, num_origins)]
    photographs = np.repeat(draw.choice(num_photographs, num_scenes, p=popular[0] / popular[0].sum()), 2)
    origins = np.concatenate(
        [draw.choice(num_origins, 2, replace=False, p=popular[1] / popular[1].sum()) for _ in range(num_scenes)]
    )
    effects = of_photographs * draw.normal(size=num_photographs)[photographs]
    effects += of_origins * draw.normal(size=num_origins)[origins]
    return effects + draw.normal(size=2 * num_scenes), photographs.astype(str), origins.astype(str)


def coverage(make, num_lists=300):
    """Share of lists whose interval holds the true mean, 0; `make` gives scores and their clusters."""
    found = [interval(*make(np.random.default_rng(seed))) for seed in range(num_lists)]
    return np.mean([one.low <= 0 <= one.high for one in found])


@pytest.mark.parametrize(
    ("sizes", "effects"),
    [((12, 30, 90), (1, 1)), ((30, 30, 90), (1, 1)), ((20, 40, 90), (1, 0)), ((20, 40, 90), (0, 1)),
     ((10, 10, 60), (0.5, 0.5)), ((20, 40, 90), (0, 0))],
)  # fmt: skip
def test_ninety_five_percent_hold_and_by_scene_they_do_not(sizes, effects):
    def two_way(draw):
        values, photographs, origins = simulated(draw, *sizes, *effects)
        return values, Clusters(photographs, origins)

    def by_scene(draw):
        values, _, _ = simulated(draw, *sizes, *effects)
        scenes = [f"{image // 2}" for image in range(len(values))]
        return values, Clusters(scenes, scenes)

    # With 300 lists the share is within 0.03 of the truth. Never falsely sure; and where nothing is shared, not so
    # wide that it would decide nothing.
    assert 0.91 <= coverage(two_way) <= 0.995
    if any(effects):
        assert coverage(by_scene) < 0.85
    else:
        assert coverage(by_scene) > 0.92


def test_unequal_cluster_counts_weigh_by_their_images():
    values, names = np.array([1.0, 1.0, 1.0, 5.0]), ["a", "a", "a", "b"]
    found = interval(values, Clusters(names, names))
    # Without `a` the mean is 5, without `b` it is 1.
    reach = t.ppf(0.975, 1) * np.sqrt((3**2 + 1**2) / 2)
    assert (found.mean, *ends(found)) == pytest.approx((2.0, 2.0 - reach, 2.0 + reach))


# ---- what is not measured, and lists of one


def test_images_that_one_of_two_could_not_be_measured_on_are_dropped_and_counted():
    first, second = FIRST.copy(), SECOND.copy()
    first[:10], second[5:20] = np.nan, np.nan
    found = difference(first, second, ALONE)
    assert (found.num_images, found.num_photographs, found.num_origins) == (40, 40, 40)
    left = np.arange(60) >= 20
    assert found == difference(FIRST[left], SECOND[left], ALONE.where(left))
    assert interval(np.full(4, np.nan), Clusters(NAMES[:4], NAMES[:4])) is None


@pytest.mark.parametrize("clusters", [Clusters(["a", "a"], ["x", "y"]), Clusters(["a", "b"], ["x", "x"])])
def test_one_photograph_or_one_origin_has_no_interval(clusters):
    found = interval(np.array([1.0, 3.0]), clusters)
    assert (found.mean, found.low, found.high, found.verdict()) == (2.0, None, None, "undecided")


def test_columns_taken_together_have_the_intervals_that_each_has_alone():
    clusters = Clusters([f"{i // 2}" for i in range(60)], [f"{i % 17}" for i in range(60)])
    gaps = FIRST.copy()
    gaps[[3, 8, 9, 40]] = np.nan
    columns = [FIRST, gaps, np.full(60, np.nan), SECOND, gaps - SECOND]
    assert intervals(columns, clusters) == [interval(column, clusters) for column in columns]
    assert intervals(columns, clusters)[2] is None


def test_a_figure_without_each_cluster_is_all_that_an_interval_takes():
    """For figures that are no mean: given what a mean is without each cluster, the interval is the mean's."""
    without = np.array([(FIRST.sum() - value) / 59 for value in FIRST])
    assert ends(jackknife(FIRST.mean(), (without,) * 3, 60)) == pytest.approx(ends(interval(FIRST, ALONE)))


# ---- verdicts


@given(st.floats(-9, 9), st.floats(0, 9), st.integers(1, 30), st.integers(1, 30))
def test_a_verdict_takes_zero_outside_and_ten_of_each(low, width, num_photographs, num_origins):
    found = Interval(low + width / 2, low, low + width, 100, num_photographs, num_origins)
    said = found.verdict(PSNR.higher_is_better), found.verdict(MSE.higher_is_better)
    if min(num_photographs, num_origins) < MIN_CLUSTERS == 10:
        assert said == ("undecided", "undecided") and found.why_undecided.startswith("too few ")
    elif found.low <= 0 <= found.high:
        assert said == ("even", "even") and found.why_undecided == ""
    else:
        assert said == (("better", "worse") if low > 0 else ("worse", "better"))


def test_what_is_missing_for_a_verdict_is_said():
    found = Interval(1.0, 0.5, 1.5, 187, 3, 18)
    assert found.why_undecided == "too few photographs: 3" and found.counted == "187 images, 3 photographs, 18 origins"
    assert Interval(1.0, 0.5, 1.5, 187, 3, 1).why_undecided == "too few photographs: 3, origins: 1"
    assert Interval(1.0, None, None, 187, 30, 18).why_undecided == "no interval"
    assert Interval.from_dict(found.to_dict()) == found
