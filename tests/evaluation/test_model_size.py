"""Scores at the size that the model works at, beside those at the picture's own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.checks import HEADLINE
from evaluation.config import EvaluationConfig
from evaluation.method import Layers
from evaluation.methods.classical import classical_recipes
from evaluation.metrics.score import score
from evaluation.model_size import case_at, layers_at
from evaluation.page.render import render_markdown
from evaluation.run import judge
from tests.evaluation.methods.made_up import Listed
from tests.evaluation.scenes import Known, cases, recipe_of, truth

GIVEN = cases(6, 96)
SIZE_PX = 32


def scaled(case):
    """A model that works at 32 px: the truth, scaled down and up again."""
    small = case_at(case, SIZE_PX)
    return layers_at(Layers(small.background, small.foreground), case.size)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    adapter = replace(recipe_of(Known("adapter", scaled)), size_px=SIZE_PX, settings={"num_steps": 4})
    adapter = replace(adapter, facts={"config": {"num_inference_steps": 1}})
    methods = [*classical_recipes(), recipe_of(truth), adapter]
    return judge(Listed(GIVEN), methods, EvaluationConfig(bootstrap_draws=200), str(out)).values, out


def test_a_case_and_its_truth_become_smaller_together():
    for case in GIVEN:
        small = case_at(case, SIZE_PX)
        assert small.size == (SIZE_PX, SIZE_PX) and small.foreground.shape == (SIZE_PX, SIZE_PX, 4)
        assert small.mask.any() and small.visible.any() == case.visible.any()
        assert case_at(case, 96).sha256 == case.sha256, "at its own size nothing is resampled"
    assert case_at(replace(GIVEN[0], composite=np.zeros((40, 90, 3), np.uint8)), 30).size[1] <= 45


def test_scaling_costs_at_the_pictures_size_and_not_at_the_models(done):
    values, _ = done
    small = values["at_model_size"]
    assert small["size_px"] == SIZE_PX
    for part, metric in (("background", "psnr_whole"), ("foreground", "soft_iou")):
        native, there = (found["methods"]["adapter"][part][metric]["mean"] for found in (values, small))
        assert there > native, (metric, native, there)
        assert small["methods"]["truth"][part][metric]["mean"] == values["methods"]["truth"][part][metric]["mean"]
    assert small["methods"]["given_mask"]["background"]["psnr_mask"] is None
    assert small["differences"]["adapter-telea"]["background"]["psnr_mask"]["mean"] > 0


def test_they_are_the_metrics_of_the_smaller_pictures(done):
    _, out = done
    frame = pd.read_csv(out / "scores.csv").set_index(["method", "image"])
    telea = {recipe.name: recipe for recipe in classical_recipes()}["telea"].make()
    for case in GIVEN[:4]:
        small = case_at(case, SIZE_PX)
        expected = score(small, layers_at(telea(case), small.size))
        found = frame.loc["telea", case.name]["at_model_size.background.psnr_mask"]
        assert found == pytest.approx(expected["background", "psnr_mask"], rel=1e-4, nan_ok=True)
    heads = {name for name in frame.columns if name.startswith("at_model_size.")}
    assert heads == {f"at_model_size.{part}.{metric}" for part, metric in HEADLINE}


def test_without_a_size_of_its_own_nothing_is_scored_twice(tmp_path):
    values = judge(Listed(GIVEN[:3]), classical_recipes(), EvaluationConfig(bootstrap_draws=200), str(tmp_path)).values
    assert values["at_model_size"] is None
    assert "at_model_size" not in (tmp_path / "scores.csv").read_text()


def test_the_page_says_with_what_each_was_asked(done):
    text = render_markdown(done[0])
    assert "Judged with 4 sampling steps; the adapter's own are 1." in text
    assert "### At the size that the model works at: 32 x 32 px at most" in text
    assert "`adapter` is given the picture at its own size, works at px 32, num steps 4" in text
