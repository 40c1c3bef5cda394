"""What is demanded of a report: met, not met, and not to be decided."""

import pytest

from evaluation.checks import alpha_beats_given_mask, background_beats_base, every_output_there
from evaluation.statistics import Interval, overall

MANY, FEW = (187, 30, 18), (187, 3, 18)


def values(ends, counts):
    cell = Interval(sum(ends) / 2, *ends, *counts).to_dict()
    parts = {"background": {"psnr_mask": cell}, "foreground": {"soft_iou": cell}}
    return {"differences": {"adapter-base": parts, "adapter-given_mask": parts}}


@pytest.mark.parametrize("check", [background_beats_base, alpha_beats_given_mask])
@pytest.mark.parametrize(
    ("ends", "counts", "passed", "said"),
    [
        ((0.2, 0.8), MANY, True, "better: adapter minus "),
        ((-0.2, 0.8), MANY, False, "not better: adapter minus "),
        ((-0.8, -0.2), MANY, False, "not better: adapter minus "),
        ((0.2, 0.8), FEW, False, "undecided (too few photographs: 3): adapter minus "),
    ],
    ids=["above", "across", "below", "few"],
)
def test_a_gain_is_better_by_its_interval_and_with_enough_of_either(check, ends, counts, passed, said):
    found = check(values(ends, counts))
    assert found.passed == passed and found.sentence.startswith(said)
    assert f"187 images, {counts[1]} photographs, 18 origins" in found.sentence
    assert found.figures["num_photographs"] == counts[1] and found.figures["low"] == ends[0]


def beside(**others):
    """Differences of adapter and base: 1.1 dB better inside the mask, and these others, each +- 0.2."""
    ends = {"psnr_mask": 1.1, **others}
    return {
        "differences": {
            "adapter-base": {
                "background": {name: Interval(at, at - 0.2, at + 0.2, *MANY).to_dict() for name, at in ends.items()}
            }
        }
    }


def test_what_is_better_inside_and_worse_around_is_not_better():
    """The demo's adapter of earlier days: 1.68 dB worse in the ring, and the page said better."""
    found = background_beats_base(beside(psnr_ring=-1.68, psnr_whole=0.0))
    assert not found.passed and found.sentence.startswith("not better: adapter minus base: +1.100 dB")
    assert found.sentence.endswith("; worse by psnr_ring -1.680")
    assert background_beats_base(beside(psnr_ring=-0.1, ssim_mask=0.3)).passed
    assert not background_beats_base(beside(psnr_mask=0.0, psnr_ring=0.5)).passed


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["better", "even", "better"], "better"),
        (["better", "worse"], "mixed"),
        (["even", "better", "worse"], "mixed"),
        (["even", "worse"], "worse"),
        (["even", "better"], "even"),
        (["worse", "even"], "worse"),
        (["undecided", "undecided"], "undecided"),
    ],
)
def test_better_is_said_only_where_the_first_is_and_none_is_worse(verdicts, said):
    assert overall(verdicts) == said


def test_what_was_not_measured_is_not_better():
    assert not background_beats_base({"differences": {}}).passed
    assert "was not measured" in background_beats_base({"differences": {"adapter-base": {"background": {}}}}).sentence


def test_missing_outputs_are_named():
    found = every_output_there({"num_images": 9, "methods": {"base": {"failures": 2}, "adapter": {"failures": 0}}})
    assert not found.passed and found.sentence == "missing outputs over 9 images: base 2"
