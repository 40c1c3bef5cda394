"""Scores over difficulty: bins that share out the images, and figures that follow from the raw scores."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.config import EvaluationConfig
from evaluation.curves import bins_of
from evaluation.difficulty import difficulty
from evaluation.method import Layers
from evaluation.report import About, make_report
from evaluation.run import score_all
from tests.evaluation.scenes import Known, cases, truth

CONFIG = EvaluationConfig(num_steps=1, bootstrap_draws=100)


@given(st.lists(st.one_of(st.just(np.nan), st.just(0.0), st.floats(0, 1)), max_size=60))
def test_bins_share_out_what_is_known(values):
    values = np.array(values, np.float64)
    bins = bins_of(values)
    assert len(bins) <= 5
    assert sum((where.astype(int) for where in bins), np.zeros(len(values))).tolist() == (~np.isnan(values)).tolist()
    ends = [(values[where].min(), values[where].max()) for where in bins]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))


def test_many_equal_values_are_one_bin_and_leave_the_others_their_share():
    values = np.concatenate([np.zeros(60), np.linspace(0.1, 1, 40)])
    assert [int(where.sum()) for where in bins_of(values)] == [60, 10, 10, 10, 10]


def test_a_case_is_as_hard_as_its_pixels_say():
    for case in cases(4):
        found = difficulty(case)
        both, either = (case.mask & case.visible).sum(), (case.mask | case.visible).sum()
        assert found["mask_iou"] == pytest.approx(both / either)
        assert found["visible_share"] == pytest.approx(case.visible.sum() / case.visible.size)
        assert found["occluded_fraction"] == case.occluded_fraction


def test_curves_and_spreads_follow_from_the_raw_scores():
    input_ = Known("input", lambda case: Layers(case.composite), ["background"])
    some = Known("some", lambda case: truth.function(case) if case.visible.mean() > 0.05 else Layers())
    given_cases = cases(8)
    table = score_all(given_cases, [truth, input_, some])
    values = make_report(table, CONFIG, About()).values
    frame = table.to_frame().set_index("method").loc["input"]
    assert set(values["curves"]) == {"mask_iou", "occluded_fraction", "visible_share"}
    for name, bins in values["curves"].items():
        assert sum(found["num_images"] for found in bins) == frame[name].notna().sum() == len(given_cases)
        for found in bins:
            inside = frame[frame[name].between(found["from"], found["to"])]
            told = found["methods"]["input"]["background"]["psnr_mask"]
            assert told["mean"] == pytest.approx(inside["background.psnr_mask"].mean())
            assert found["methods"]["input"]["foreground"]["soft_iou"] is None
    spread = values["spreads"]["methods"]["input"]["background"]["psnr_mask"]
    assert spread[0] == frame["background.psnr_mask"].min() and spread[-1] == frame["background.psnr_mask"].max()
    assert spread == sorted(spread) and len(spread) == len(values["spreads"]["percent"])
    # Where it gave nothing, the smallest value is the worst that there is.
    assert values["spreads"]["methods"]["some"]["background"]["psnr_mask"][0] == 0
