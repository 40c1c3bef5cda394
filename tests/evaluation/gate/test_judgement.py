"""Non-inferiority and superiority on scores whose gains are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from decoupage.faults import BadSetup
from evaluation.ablations.seeds import Seeds, seeds_of
from evaluation.config import EvaluationConfig, GateConfig
from evaluation.gate.judgement import check_metrics, judge, missing_outputs
from evaluation.gate.luck import Luck
from evaluation.saved_scores import SavedScores
from evaluation.statistics import Clusters

RNG = np.random.default_rng(0)
HARD = RNG.normal(0, 3, 40)
NO_LUCK = Luck(None, 0.0)
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
    lines = judge(ours, {"v0001": theirs}, config(background__psnr_mask=margin), NO_LUCK)
    assert [(line.demand, line.passed) for line in lines] == [("better", better), ("not_worse", not_worse)]
    assert lines[0].gain.low < lines[0].gain.mean < lines[0].gain.high
    assert lines[0].gain.mean == pytest.approx(gain, abs=0.1) and lines[0].against == "v0001"
    assert lines[0].sentence.startswith("better: " if better else "not better: ")
    assert lines[1].sentence.startswith("not worse: " if not_worse else "worse: ")


def test_a_gain_within_its_noise_is_not_better():
    noisy = scores(background__psnr_mask=column(20.2, spread=3.0))
    (line,) = judge(noisy, {"v0001": scores(background__psnr_mask=column(20))}, config(), NO_LUCK)
    assert not line.passed and line.gain.mean > 0


def test_where_less_is_better_a_fall_is_a_gain():
    ours, theirs = scores(foreground__alpha_mse=column(0.1)), scores(foreground__alpha_mse=column(2.0))
    (line,) = judge(ours, {"v0001": theirs}, config("foreground.alpha_mse"), NO_LUCK)
    assert line.passed and line.gain.mean == pytest.approx(1.9, abs=0.1)
    (line,) = judge(theirs, {"v0001": ours}, config("foreground.alpha_mse"), NO_LUCK)
    assert not line.passed


def test_exactly_equal_is_not_worse_and_not_better():
    same = scores(background__psnr_mask=column(20))
    lines = judge(same, {"v0001": same}, config(background__psnr_mask=0.1), NO_LUCK)
    assert [line.passed for line in lines] == [False, True]
    # With no room at all, not even the equal one is safely not worse.
    lines = judge(same, {"v0001": same}, config(background__psnr_mask=0.0), NO_LUCK)
    assert not lines[1].passed


def test_a_first_adapter_is_held_against_whoever_gives_the_part():
    ours = scores(
        background__psnr_mask=column(21), foreground__soft_iou=column(2), recomposition__psnr_whole=column(30)
    )
    base, mask = scores(background__psnr_mask=column(20)), scores(foreground__soft_iou=column(1))
    gate = config(foreground__soft_iou=0.1, recomposition__psnr_whole=0.1)
    opponents = {"base": base, "given_mask": mask}
    lines = judge(ours, opponents, gate, NO_LUCK, partial=True, lenient=True)
    assert [(line.against, line.demand, line.passed) for line in lines] == [
        ("base", "better", True),
        ("given_mask", "not_worse", True),
        ("", "not_judged", True),
    ]
    assert not judge(ours, opponents, gate, NO_LUCK)[2].passed


def test_what_is_not_measured_does_not_pass():
    ours, theirs = scores(foreground__soft_iou=column(1)), scores(background__psnr_mask=column(20))
    (line,) = judge(ours, {"v0001": theirs}, config(), NO_LUCK, partial=True, lenient=True)
    assert not line.passed and "not measured" in line.sentence


def test_images_that_only_one_was_measured_on_are_not_left_out():
    gaps = column(22)
    gaps[:5] = np.nan
    ours, theirs = scores(background__psnr_mask=gaps), scores(background__psnr_mask=column(20))
    (line,) = judge(ours, {"v0001": theirs}, config(), NO_LUCK)
    assert not line.passed and "not measured on the same images" in line.sentence


@pytest.mark.parametrize("num_photographs", [1, 3, 9])
def test_with_too_few_photographs_nothing_is_decided_and_a_champion_stays(num_photographs):
    photographs = [f"p{number % num_photographs}" for number in range(40)]
    few = replace(scores(background__psnr_mask=column(21)), clusters=Clusters(photographs, NAMES))
    opponents = {"v0001": scores(background__psnr_mask=column(20))}
    for line in judge(few, opponents, config(background__psnr_mask=0.1), NO_LUCK):
        assert not line.passed and not line.decided
        assert line.sentence.startswith(f"undecided (too few photographs: {num_photographs}): background.psnr_mask")
        assert f"(40 images, {num_photographs} photograph" in line.sentence


@pytest.mark.parametrize(("gain", "passed"), [(0.5, [True, True]), (-0.2, [False, True]), (-0.8, [False, False])])
def test_where_the_place_is_empty_the_mean_decides_what_the_interval_cannot(gain, passed):
    photographs = [f"p{number % 3}" for number in range(40)]
    few = replace(scores(background__psnr_mask=column(20 + gain)), clusters=Clusters(photographs, NAMES))
    opponents = {"base": scores(background__psnr_mask=column(20))}
    lines = judge(few, opponents, config(background__psnr_mask=0.5), NO_LUCK, partial=True, lenient=True)
    assert [line.passed for line in lines] == passed and not any(line.decided for line in lines)
    # With enough photographs a first adapter's interval decides, as everybody's does.
    noisy = scores(background__psnr_mask=column(20.2, spread=3.0))
    (line,) = judge(noisy, opponents, config(), NO_LUCK, partial=True, lenient=True)
    assert line.decided and not line.passed and line.gain.mean > 0


def trained(*means: float) -> Seeds:
    """The spread of trainings that end up at these means."""
    rows = [f"seed_{number}" for number in range(len(means))]
    found = {row: scores(background__psnr_mask=column(mean, seed=5)) for row, mean in zip(rows, means, strict=True)}
    spread = seeds_of(found, {row: row for row in rows})
    assert spread is not None
    return spread


def test_a_gain_that_another_seed_gives_as_well_is_no_gain():
    """Three trainings of one recipe are 0.2 dB apart (standard deviation), so two others differ by up to 1.2 dB."""
    luck = Luck(trained(19.8, 20.0, 20.2), 0.0)
    asked = 4.303 * 0.2 * 2**0.5
    assert luck.asked("background.psnr_mask", 2)[0] == pytest.approx(asked, rel=1e-3)
    champion = scores(background__psnr_mask=column(20, seed=2))
    for gain, passed in ((0.5, False), (1.0, False), (1.5, True)):
        (line,) = judge(scores(background__psnr_mask=column(20 + gain)), {"v0001": champion}, config(), luck)
        assert line.gain.low > 0 and line.passed == passed and line.margin == pytest.approx(asked, rel=1e-3)
        assert "the effect of another seed, from 3 trainings" in line.sentence
    assert line.sentence.startswith("better: background.psnr_mask gains +1.") and "over v0001" in line.sentence


def test_against_a_published_model_only_ones_own_luck_counts():
    base = replace(scores(background__psnr_mask=column(20, seed=2)), method="base")
    luck = Luck(trained(19.8, 20.0, 20.2), 0.0)
    for gain, passed in ((0.7, False), (1.0, True)):
        (line,) = judge(scores(background__psnr_mask=column(20 + gain)), {"base": base}, config(), luck)
        assert line.passed == passed and line.margin == pytest.approx(4.303 * 0.2, rel=1e-3)


def test_where_the_spread_of_seeds_is_not_measured_the_profiles_gain_is_asked():
    champion = scores(background__psnr_mask=column(20, seed=2))
    for gain, passed in ((0.3, False), (0.7, True)):
        ours = scores(background__psnr_mask=column(20 + gain))
        (line,) = judge(ours, {"v0001": champion}, config(), Luck(None, 0.5))
        assert line.passed == passed and line.gain.low > 0
        assert "+0.50 dB (spread of seeds not measured: evaluation.gate.min_gain)" in line.sentence


def test_two_trainings_say_less_than_three_and_one_says_nothing():
    two, three = (Luck(trained(*means), 0.0) for means in ((19.8, 20.0), (19.8, 20.0, 20.0)))
    asked = [
        luck.asked("background.psnr_mask", 1)[0] / luck.seeds.spread["background.psnr_mask"] for luck in (two, three)
    ]
    assert asked == [pytest.approx(12.71, rel=1e-3), pytest.approx(4.303, rel=1e-3)]
    assert seeds_of({"paper": scores(background__psnr_mask=column(20))}, {"paper": "r"}) is None


def test_worse_around_the_target_is_worse_by_the_default_margins():
    """The adapter that a page once called better: 1.68 dB worse in the ring, SSIM inside .028 lower."""
    ours = scores(
        background__psnr_mask=column(21),
        background__psnr_ring=column(28.32),
        background__ssim_mask=column(-0.028, 0.01),
    )
    base = scores(
        background__psnr_mask=column(20), background__psnr_ring=column(30.0), background__ssim_mask=column(0, 0.01)
    )
    lines = {line.metric: line for line in judge(ours, {"base": base}, EvaluationConfig(), NO_LUCK, partial=True)}
    assert lines["background.psnr_ring"].sentence.startswith("worse: background.psnr_ring gains -1.6")
    assert not lines["background.psnr_ring"].passed and not lines["background.ssim_mask"].passed


@pytest.mark.parametrize("other", [{"list_sha256": "another"}, {"protocol": {"num_steps": 3}}])
def test_scores_of_other_terms_are_not_compared(other):
    ours = scores(background__psnr_mask=column(21))
    with pytest.raises(ValueError, match="cannot be compared"):
        judge(ours, {"v0001": replace(ours, **other)}, config(), NO_LUCK)


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
