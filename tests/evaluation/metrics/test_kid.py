"""KID against a double loop; its intervals against fresh samples."""

import numpy as np
import pytest

from evaluation.metrics import kid as module
from evaluation.metrics.kid import kid
from evaluation.statistics import Clusters, jackknife

rng = np.random.default_rng(0)
SCENES = [str(n) for n in range(12)]
THREES = ["a", "b", "c"] * 4
ALONE = Clusters(SCENES, SCENES)


def slow(made, truth):
    """The unbiased estimator, pair by pair."""
    n, d = made.shape

    def kernel(x, y):
        return (float(x @ y) / d + 1) ** 3

    pairs = [(i, j) for i in range(n) for j in range(n)]
    within = sum(kernel(made[i], made[j]) + kernel(truth[i], truth[j]) for i, j in pairs if i != j) / (n * (n - 1))
    return within - 2 * sum(kernel(made[i], truth[j]) for i, j in pairs) / n**2


def test_pair_by_pair():
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    expected = slow(made, truth)
    assert kid(made, truth, SCENES, ALONE, 0).value == pytest.approx(expected, rel=1e-9)
    assert kid(made, truth, THREES, Clusters(THREES, SCENES), 0).value == pytest.approx(expected, rel=1e-9)


def test_torch_fidelity_says_the_same():
    reference = pytest.importorskip("torch_fidelity.metric_kid", exc_type=ImportError)
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    expected = reference.kernel_mmd(made, truth)
    assert kid(made, truth, SCENES, ALONE, 0).value == pytest.approx(expected, rel=1e-9)


def test_long_lists_are_cut_into_subsets(monkeypatch):
    monkeypatch.setattr(module, "SUBSET", 5)
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    found = kid(made, truth, SCENES, ALONE, 0)
    subsets = list(module._subsets(SCENES, 0))
    assert sorted(np.concatenate(subsets)) == list(range(12)) and max(map(len, subsets)) <= 5
    assert found.value == pytest.approx(np.mean([slow(made[rows], truth[rows]) for rows in subsets]), rel=1e-9)
    whole = list(module._subsets(THREES, 0))
    assert all(len({n % 3 for n in rows}) == len(rows) // 4 for rows in whole)  # No scene is torn apart.


def test_each_cluster_is_left_out_with_all_its_rows(monkeypatch):
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    origins = [str(n // 2) for n in range(12)]
    photographs, by_origin, pairs = kid(made, truth, SCENES, Clusters(THREES, origins), 0).left_out
    for found, names in ((photographs, THREES), (by_origin, origins)):
        for value, name in zip(found, sorted(set(names)), strict=True):
            left = np.array(names) != name
            assert value == pytest.approx(slow(made[left], truth[left]), rel=1e-9)
    assert len(pairs) == 12
    # Where the list is cut, a cluster leaves the subsets that it is in, and the others stay as they are.
    monkeypatch.setattr(module, "SUBSET", 6)
    value, name = kid(made, truth, SCENES, Clusters(THREES, origins), 0).left_out[0][0], "a"
    subsets = [[n for n in rows if THREES[n] != name] for rows in module._subsets(SCENES, 0)]
    assert value == pytest.approx(np.mean([slow(made[rows], truth[rows]) for rows in subsets]), rel=1e-9)


def test_the_seed_decides_which_subsets_there_are(monkeypatch):
    monkeypatch.setattr(module, "SUBSET", 5)
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    first, again, other = (kid(made, truth, SCENES, ALONE, seed) for seed in (0, 0, 1))
    assert first.value == again.value != other.value
    assert all(np.array_equal(*pair) for pair in zip(first.left_out, again.left_out, strict=True))


def test_one_photograph_has_no_spread():
    made, truth = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    assert kid(made, truth, SCENES[:4], Clusters(["a"] * 4, SCENES[:4]), 0).left_out is None


@pytest.mark.parametrize("images_a_scene", [1, 3])
def test_intervals_hold_the_mean_of_fresh_samples(images_a_scene):
    """Answers near their truths, scenes alike within: 95 % of intervals hold the truth, and are not too wide."""
    number = 60

    def sample(seed):
        draw = np.random.default_rng(seed)
        scenes = np.repeat(np.arange(number), images_a_scene)
        truth = draw.normal(size=(number, 6))[scenes] + 0.2 * draw.normal(size=(len(scenes), 6))
        names = [str(scene) for scene in scenes]
        made = truth + 0.7 + 0.3 * draw.normal(size=truth.shape)
        found = kid(made, truth, names, Clusters(names, names), 0)
        return jackknife(found.value, found.left_out, len(names))

    found = [sample(seed) for seed in range(200)]
    values = np.array([one.mean for one in found])
    held = [one.low <= values.mean() <= one.high for one in found]
    assert 0.9 <= np.mean(held) <= 0.995
    reach = np.mean([one.high - one.mean for one in found])
    assert reach / 2 == pytest.approx(values.std(), rel=0.35)
