"""Non-inferiority and superiority on scores whose gains are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig, GateConfig
from evaluation.gate.judgement import check_metrics, judge, missing_outputs
from evaluation.saved_scores import SavedScores
from evaluation.statistics import Clusters

RNG = np.random.default_rng(0)
HARD = RNG.normal(0, 3, 40)
NAMES = [f"{number:08d}-0" for number in range(40)]


def scores(**columns: np.ndarray) -> SavedScores:
    images = tuple(NAMES)
    found = {name.replace("__", "."): column for name, column in columns.items()}
    return SavedScores("adapter", "list", {}, images, Clusters(images, images), found, (), {})


def column(mean: float, spread: float = 0.1, seed: int = 1) -> np.ndarray:
    return mean + HARD + np.random.default_rng(seed).normal(0, spread, 40)


def config(better: str = "background.psnr_mask", **margins: float) -> EvaluationConfig:
    named = {name.replace("__", "."): margin for name, margin in margins.items()}
    return EvaluationConfig(bootstrap_draws=500, gate=GateConfig(better=better, margins=named))


@pytest.mark.parametrize(
    ("gain", "margin", "better", "not_worse"),
    [(0.5, 0.2, True, True), (0.0, 0.2, False, True), (-0.1, 0.2, False, True), (-0.5, 0.2, False, False)],
)
def test_the_interval_decides_not_the_mean(gain, margin, better, not_worse):
    ours, theirs = scores(background__psnr_mask=column(20 + gain)), scores(background__psnr_mask=column(20, seed=2))
    lines = judge(ours, {"v0001": theirs}, config(background__psnr_mask=margin), lenient=False)
    assert [(line.demand, line.passed) for line in lines] == [("better", better), ("not_worse", not_worse)]
    assert lines[0].gain.low < lines[0].gain.mean < lines[0].gain.high
    assert lines[0].gain.mean == pytest.approx(gain, abs=0.1) and lines[0].against == "v0001"
    assert lines[0].sentence.startswith("better: " if better else "not better: ")
    assert lines[1].sentence.startswith("not worse: " if not_worse else "worse: ")


def test_a_gain_within_its_noise_is_not_better():
    noisy = scores(background__psnr_mask=column(20.2, spread=3.0))
    (line,) = judge(noisy, {"v0001": scores(background__psnr_mask=column(20))}, config(), lenient=False)
    assert not line.passed and line.gain.mean > 0


def test_where_less_is_better_a_fall_is_a_gain():
    ours, theirs = scores(foreground__alpha_mse=column(0.1)), scores(foreground__alpha_mse=column(2.0))
    (line,) = judge(ours, {"v0001": theirs}, config("foreground.alpha_mse"), lenient=False)
    assert line.passed and line.gain.mean == pytest.approx(1.9, abs=0.1)
    (line,) = judge(theirs, {"v0001": ours}, config("foreground.alpha_mse"), lenient=False)
    assert not line.passed


def test_exactly_equal_is_not_worse_and_not_better():
    same = scores(background__psnr_mask=column(20))
    lines = judge(same, {"v0001": same}, config(background__psnr_mask=0.1), lenient=False)
    assert [line.passed for line in lines] == [False, True]
    # With no room at all, not even the equal one is safely not worse.
    lines = judge(same, {"v0001": same}, config(background__psnr_mask=0.0), lenient=False)
    assert not lines[1].passed


def test_a_first_adapter_is_held_against_whoever_gives_the_part():
    ours = scores(
        background__psnr_mask=column(21), foreground__soft_iou=column(2), recomposition__psnr_whole=column(30)
    )
    base, mask = scores(background__psnr_mask=column(20)), scores(foreground__soft_iou=column(1))
    gate = config(foreground__soft_iou=0.1, recomposition__psnr_whole=0.1)
    opponents = {"base": base, "given_mask": mask}
    lines = judge(ours, opponents, gate, lenient=True)
    assert [(line.against, line.demand, line.passed) for line in lines] == [
        ("base", "better", True),
        ("given_mask", "not_worse", True),
        ("", "not_judged", True),
    ]
    assert not judge(ours, opponents, gate, lenient=False)[2].passed


def test_what_is_not_measured_does_not_pass():
    ours, theirs = scores(foreground__soft_iou=column(1)), scores(background__psnr_mask=column(20))
    (line,) = judge(ours, {"v0001": theirs}, config(), lenient=True)
    assert not line.passed and "not measured" in line.sentence


def test_images_that_only_one_was_measured_on_are_not_left_out():
    gaps = column(22)
    gaps[:5] = np.nan
    ours, theirs = scores(background__psnr_mask=gaps), scores(background__psnr_mask=column(20))
    (line,) = judge(ours, {"v0001": theirs}, config(), lenient=False)
    assert not line.passed and "not measured on the same images" in line.sentence


@pytest.mark.parametrize("num_photographs", [1, 3, 9])
def test_with_too_few_photographs_nothing_is_decided_and_a_champion_stays(num_photographs):
    photographs = [f"p{number % num_photographs}" for number in range(40)]
    few = replace(scores(background__psnr_mask=column(21)), clusters=Clusters(photographs, NAMES))
    opponents = {"v0001": scores(background__psnr_mask=column(20))}
    for line in judge(few, opponents, config(background__psnr_mask=0.1), lenient=False):
        assert not line.passed and not line.decided
        assert line.sentence.startswith(f"undecided (too few photographs: {num_photographs}): background.psnr_mask")
        assert f"(40 images, {num_photographs} photograph" in line.sentence


@pytest.mark.parametrize(("gain", "passed"), [(0.5, [True, True]), (-0.2, [False, True]), (-0.8, [False, False])])
def test_where_the_place_is_empty_the_mean_decides_what_the_interval_cannot(gain, passed):
    photographs = [f"p{number % 3}" for number in range(40)]
    few = replace(scores(background__psnr_mask=column(20 + gain)), clusters=Clusters(photographs, NAMES))
    opponents = {"base": scores(background__psnr_mask=column(20))}
    lines = judge(few, opponents, config(background__psnr_mask=0.5), lenient=True)
    assert [line.passed for line in lines] == passed and not any(line.decided for line in lines)
    # With enough photographs a first adapter's interval decides, as everybody's does.
    noisy = scores(background__psnr_mask=column(20.2, spread=3.0))
    (line,) = judge(noisy, opponents, config(), lenient=True)
    assert line.decided and not line.passed and line.gain.mean > 0


@pytest.mark.parametrize("other", [{"list_sha256": "another"}, {"protocol": {"num_steps": 3}}])
def test_scores_of_other_terms_are_not_compared(other):
    ours = scores(background__psnr_mask=column(21))
    with pytest.raises(ValueError, match="do not compare"):
        judge(ours, {"v0001": replace(ours, **other)}, config(), lenient=False)


def test_missing_outputs_are_named_and_counted():
    failed = replace(scores(), failed=tuple(f"{number:08d}-0" for number in range(7)))
    assert missing_outputs(scores()) is None
    assert missing_outputs(failed).startswith("missing outputs: 7 of 40 images have none (00000000-0, ")


def test_a_gate_that_names_no_metric_is_a_wrong_set_up():
    check_metrics(GateConfig())
    with pytest.raises(BadSetup, match=r"gate.better names 'background.beauty'"):
        check_metrics(GateConfig(better="background.beauty"))
    with pytest.raises(BadSetup, match=r"gate.margins names 'foreground.psnr_mask'"):
        check_metrics(GateConfig(margins={"foreground.psnr_mask": 0.1}))
    with pytest.raises(BadSetup, match="has no paired interval"):
        check_metrics(GateConfig(better="background.fid_whole"))


def test_margins_are_read_from_nested_tables_and_kept_in_range():
    nested = GateConfig.model_validate({"margins": {"background": {"psnr_whole": 0.2}, "foreground.soft_iou": 0.1}})
    assert nested.margins == {"background.psnr_whole": 0.2, "foreground.soft_iou": 0.1}
    for wrong in ({"background.psnr_whole": -0.1}, {"beauty": 1.0}, {"background.psnr_whole": float("nan")}):
        with pytest.raises(ValidationError):
            GateConfig(margins=wrong)
