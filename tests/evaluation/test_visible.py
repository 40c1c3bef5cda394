"""What is too small to see: every metric has a threshold, and a verdict needs more than its interval."""

import pytest

from evaluation.checks import background_beats_base, maps_help
from evaluation.metrics.catalogue import METRICS
from evaluation.statistics import Interval, overall
from evaluation.visible import LEAST, NO_LEAST, least_visible, seen

MANY, FEW = (187, 30, 18), (187, 3, 18)


def around(mean, reach=0.01, counts=MANY):
    return Interval(mean, mean - reach, mean + reach, *counts)


def test_every_metric_has_a_threshold_and_regions_share_it():
    for metric in METRICS:
        assert (least_visible(metric.name, 10.0) > 0) == (metric.name.partition("_")[0] not in NO_LEAST), metric.name
    assert least_visible("psnr_whole_pasted") == least_visible("psnr_mask") == LEAST["psnr"]
    assert least_visible("soft_iou_hidden") == LEAST["soft_iou"] and least_visible("l1_whole") == LEAST["l1"]


def test_sums_over_a_picture_are_measured_by_the_others_own():
    assert least_visible("alpha_sad", 2.0) == pytest.approx(2 * least_visible("alpha_sad", 1.0))
    assert seen(around(-0.03), "alpha_sad", False, 10.0) == "unseen"
    assert seen(around(-0.03), "alpha_sad", False, 1.0) == seen(around(-0.03), "alpha_sad", False) == "better"


@pytest.mark.parametrize(
    ("interval", "metric", "said"),
    [
        (around(0.11), "psnr_mask", "better"),
        (around(0.09), "psnr_mask", "unseen"),
        (around(-0.09), "psnr_mask", "unseen"),
        (around(-0.11), "psnr_mask", "worse"),
        (around(0.11, 0.2), "psnr_mask", "even"),
        (around(0.001, 0.2), "psnr_mask", "even"),
        (around(0.09, counts=FEW), "psnr_mask", "undecided"),
        (around(0.09), "ssim_mask", "better"),
        (around(0.004, 0.001), "soft_iou", "unseen"),
    ],
)
def test_a_verdict_needs_its_interval_and_a_visible_mean(interval, metric, said):
    assert seen(interval, metric) == said


def test_what_cannot_be_seen_is_neither_better_nor_worse_in_checks():
    def checked(**means):
        cells = {name: around(mean, 0.001).to_dict() for name, mean in means.items()}
        return background_beats_base({"differences": {"adapter-base": {"background": cells}}})

    small = checked(psnr_mask=0.05)
    assert not small.passed and small.sentence.startswith("too small to see: adapter minus base: +0.050 dB")
    assert checked(psnr_mask=0.5, psnr_ring=-0.05).passed
    assert not checked(psnr_mask=0.5, psnr_ring=-0.5).passed
    cell = {"psnr_mask": around(0.02, 0.001).to_dict()}
    assert not maps_help({"controls": {"differences": {"adapter-no_maps": {"background": cell}}}}).passed
    assert overall(["unseen", "better"]) == "unseen" and overall(["unseen", "worse"]) == "worse"
