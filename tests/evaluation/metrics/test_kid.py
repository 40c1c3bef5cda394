"""KID against a double loop; its resampling against fresh samples."""

import numpy as np
import pytest

from evaluation.metrics import kid as module
from evaluation.metrics.kid import kid

rng = np.random.default_rng(0)
SCENES = [str(n) for n in range(12)]


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
    assert kid(made, truth, SCENES, 10, 0).value == pytest.approx(expected, rel=1e-9)
    assert kid(made, truth, ["a", "b", "c"] * 4, 10, 0).value == pytest.approx(expected, rel=1e-9)


def test_torch_fidelity_says_the_same():
    reference = pytest.importorskip("torch_fidelity.metric_kid", exc_type=ImportError)
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    expected = reference.kernel_mmd(made, truth)
    assert kid(made, truth, SCENES, 10, 0).value == pytest.approx(expected, rel=1e-9)


def test_long_lists_are_cut_into_subsets(monkeypatch):
    monkeypatch.setattr(module, "SUBSET", 5)
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    found = kid(made, truth, SCENES, 10, 0)
    subsets = [rows for rows, _ in module._subsets(SCENES, 0)]
    assert sorted(np.concatenate(subsets)) == list(range(12)) and max(map(len, subsets)) <= 5
    assert found.value == pytest.approx(np.mean([slow(made[rows], truth[rows]) for rows in subsets]), rel=1e-9)
    whole = [rows for rows, _ in module._subsets(["a", "b", "c"] * 4, 0)]
    assert all(len({n % 3 for n in rows}) == len(rows) // 4 for rows in whole)  # No scene is torn apart.


def test_the_same_seed_gives_the_same_draws_and_another_one_others():
    made, truth = rng.normal(size=(12, 5)), rng.normal(0.5, 1, (12, 5))
    first, again, other = (kid(made, truth, SCENES, 50, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.draws, again.draws) and not np.array_equal(first.draws, other.draws)
    assert first.value == again.value == pytest.approx(other.value, rel=1e-12)


def test_one_scene_has_no_spread():
    made, truth = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    assert kid(made, truth, ["a"] * 4, 10, 0).draws is None


@pytest.mark.parametrize("images_a_scene", [1, 3])
def test_draws_spread_as_fresh_samples_do(images_a_scene):
    """Answers near their truths, scenes alike within: the resampled values lie about the value, not below."""
    number = 60

    def sample(seed):
        draw = np.random.default_rng(seed)
        scenes = np.repeat(np.arange(number), images_a_scene)
        truth = draw.normal(size=(number, 6))[scenes] + 0.2 * draw.normal(size=(len(scenes), 6))
        return truth + 0.7 + 0.3 * draw.normal(size=truth.shape), truth, [str(scene) for scene in scenes]

    values = np.array([kid(*sample(seed), 10, 0).value for seed in range(200)])
    spreads, shifts = [], []
    for seed in range(10):
        found = kid(*sample(seed), 400, 0)
        spreads.append(found.draws.std())
        shifts.append((found.draws.mean() - found.value) / found.draws.std())
    assert np.mean(spreads) == pytest.approx(values.std(), rel=0.35)
    assert abs(np.mean(shifts)) < 0.25
