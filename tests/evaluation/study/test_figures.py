"""The study's numbers against values worked by hand and against second implementations."""

import math

import choix
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation.study.figures import (
    PRIOR_WINS,
    krippendorff_alpha,
    resampled,
    resampled_strengths,
    same_share,
    spread,
    strengths,
    win_rates,
)

WINS = np.array([[0, 14, 9.5], [6, 0, 12], [4.5, 3, 0]])

# ---- agreement


def test_krippendorffs_own_example():
    """Krippendorff 2011, section C: four observers, twelve units, nominal alpha 0.743."""
    gaps = [
        ["1", "2", "3", "3", "2", "1", "4", "1", "2", ".", ".", "."],
        ["1", "2", "3", "3", "2", "2", "4", "1", "2", "5", ".", "3"],
        [".", "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", "."],
        ["1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", "."],
    ]
    units = [[answer for answer in column if answer != "."] for column in zip(*gaps, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_agreement_at_its_ends():
    assert krippendorff_alpha(["aa", "bb", "aa"]) == 1
    assert krippendorff_alpha(["ab", "ab"]) == -0.5  # By hand: 1 - 3 * 4 / 8.
    assert krippendorff_alpha(["a", "b"]) is None and krippendorff_alpha(["aa", "aa"]) is None
    assert same_share(["aa", "ab", "c"]) == 0.5 and same_share(["a"]) is None
    rng = np.random.default_rng(0)
    assert abs(krippendorff_alpha(rng.integers(0, 3, (4000, 3)).tolist())) < 0.02


# ---- Bradley-Terry


def test_two_methods_by_hand():
    found = strengths(np.array([[0, 7.0], [2, 0]]))
    assert found[0] - found[1] == pytest.approx(math.log((7 + PRIOR_WINS) / (2 + PRIOR_WINS)))
    assert found.sum() == pytest.approx(0)


def test_strengths_are_those_of_a_logistic_regression():
    rows, labels, weights = [], [], []
    for i in range(3):
        for j in range(3):
            if i != j:
                contrast = np.zeros(3)
                contrast[i], contrast[j] = 1, -1
                rows += [contrast, -contrast]
                labels += [1, 0]
                weights += [WINS[i, j] + PRIOR_WINS] * 2
    model = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-10, max_iter=1000)
    second = model.fit(np.array(rows), labels, weights).coef_[0]
    np.testing.assert_allclose(strengths(WINS), second - second.mean(), atol=1e-3)


def test_strengths_are_those_that_explain_simulated_contests():
    rng, truth = np.random.default_rng(0), np.array([0.8, 0.1, -0.9])
    wins = np.zeros((3, 3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        wins[i, j] = rng.binomial(20_000, 1 / (1 + math.exp(truth[j] - truth[i])))
        wins[j, i] = 20_000 - wins[i, j]
    np.testing.assert_allclose(strengths(wins), truth, atol=0.03)
    assert np.isfinite(strengths(np.array([[0, 5.0], [0, 0]]))).all()
    assert choix.ilsr_pairwise_dense(wins).argmax() == 0


def test_where_the_search_begins_does_not_matter():
    draws = np.stack([WINS, WINS.T])
    found = resampled_strengths(draws, strengths(WINS))
    np.testing.assert_allclose(found, [strengths(WINS), strengths(WINS.T)], atol=1e-6)


# ---- resampling


def test_win_rates_by_hand():
    rates = win_rates(np.array([[0, 3.0], [1, 0]]))
    assert rates[0, 1] == 0.75 and rates[1, 0] == 0.25 and np.isnan(rates[0, 0])


def test_resampling_is_that_of_a_loop_and_seeded():
    """Against the definition: draw raters, draw scenes, add up every cell so often as it was drawn."""
    wins = np.random.default_rng(0).integers(0, 3, (4, 5, 2, 2)).astype(float)
    found = resampled(wins, 20_000, 0)
    np.testing.assert_array_equal(found, resampled(wins, 20_000, 0))
    assert not np.array_equal(found, resampled(wins, 20_000, 1))
    rng, slow = np.random.default_rng(1), []
    for _ in range(20_000):
        raters, scenes = rng.integers(0, 4, 4), rng.integers(0, 5, 5)
        slow.append(wins[raters][:, scenes].sum((0, 1)))
    np.testing.assert_allclose(found.mean(0), np.mean(slow, 0), rtol=0.01)
    np.testing.assert_allclose(found.std(0), np.std(slow, 0), rtol=0.03)


def test_blocks_change_no_draw(monkeypatch):
    wins = np.random.default_rng(0).random((3, 4, 2, 2))
    whole = resampled(wins, 50, 3)
    assert whole.shape == (50, 2, 2)
    monkeypatch.setattr("evaluation.study.figures._AT_ONCE", 16 * 7)
    assert resampled(wins, 50, 3).shape == (50, 2, 2)


def test_both_ways_are_wider_than_one():
    """Raters who disagree widen the interval even where scenes do not matter."""
    tastes = np.array([1.0, 1, 1, 0, 0])
    wins = np.zeros((5, 50, 2, 2))
    wins[..., 0, 1], wins[..., 1, 0] = tastes[:, None], 1 - tastes[:, None]
    low, high = spread(win_rates(resampled(wins, 4000, 0))[:, 0, 1])
    assert low <= 0.2 and high >= 0.8  # Five raters of a share 0.6: binomial, whatever the 50 scenes say.


def test_one_rater_or_one_scene_tells_no_spread():
    assert resampled(np.ones((1, 9, 2, 2)), 100, 0) is None
    assert resampled(np.ones((9, 1, 2, 2)), 100, 0) is None
    assert spread(np.array([np.nan])) is None
