"""Metrics of a whole list: files of features, how missing outputs enter, pairing, and what the report says."""

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.method import Layers
from evaluation.metrics.catalogue import FID_NOTE, LIST_METRICS
from evaluation.metrics.fid import frechet_distance, moments
from evaluation.metrics.kid import kid
from evaluation.metrics.lists import FeatureFile, ListFeatures, ListScore
from evaluation.metrics.networks import Networks
from evaluation.metrics.score import paste_back
from evaluation.report import About, make_report
from evaluation.run import score_all
from evaluation.statistics import Clusters, Interval
from tests.evaluation.metrics.networks import Averages, random_lpips
from tests.evaluation.scenes import Known, cases, truth

CONFIG = EvaluationConfig(bootstrap_draws=200)
KEYS = {(metric.part, metric.name) for metric in LIST_METRICS}
CASES = cases(8)
CLUSTERS = Clusters([case.photograph for case in CASES], [case.origin for case in CASES])


def judged(*methods, given=CASES):
    table = score_all(given, methods, Networks(inception=Averages()))
    return make_report(table, CONFIG, About())


def noisy(name, levels):
    draw = np.random.default_rng(levels)
    noise = {case.name: draw.integers(-levels, levels + 1, (*case.size, 3)) for case in CASES}
    made = {case.name: np.clip(case.background + noise[case.name], 0, 255).astype(np.uint8) for case in CASES}
    return Known(name, lambda case: Layers(made[case.name]), ["background"])


def test_a_file_of_features_gives_back_its_rows():
    rows = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    file = FeatureFile()
    for row in rows[:3]:
        file.append(row)
    assert np.array_equal(file.rows(), rows[:3])
    for row in rows[3:]:
        file.append(row)
    found = file.rows()
    assert np.array_equal(found, rows) and isinstance(found, np.memmap)


def test_figures_follow_from_the_features():
    method = noisy("base", 40)
    found = judged(method).values["methods"]["base"]["background"]
    net = Averages()
    true = net.features([case.background for case in CASES])
    backgrounds = [method.function(case).background for case in CASES]
    pasted = [paste_back(case, made, None) for case, made in zip(CASES, backgrounds, strict=True)]
    for ending, pictures in (("", backgrounds), ("_pasted", pasted)):
        features = net.features(pictures)
        fid = frechet_distance(moments(true), moments(features))
        value = kid(features, true, [case.key for case in CASES], CLUSTERS, 0).value
        assert found[f"fid_whole{ending}"]["mean"] == pytest.approx(fid, rel=1e-6)
        assert found[f"kid_whole{ending}"]["mean"] == pytest.approx(value, rel=1e-6)


def test_the_nearer_the_better():
    report = judged(truth, noisy("adapter", 30), noisy("base", 120))
    for name in ("fid_whole", "kid_whole"):
        best, near, far = (report.mean(method, "background", name) for method in ("truth", "adapter", "base"))
        assert best < near < far
    assert report.mean("truth", "background", "fid_whole") == pytest.approx(0, abs=1e-6)
    found = report.values["methods"]["base"]["background"]
    assert found["kid_whole"]["low"] < found["kid_whole"]["mean"] < found["kid_whole"]["high"]
    assert found["fid_whole"]["low"] is None and found["fid_whole"]["num_images"] == len(CASES)


def test_differences_are_paired():
    """Two methods that are nearly the same: each is uncertain, and their difference is not."""
    near = noisy("adapter", 60)
    same = Known("base", lambda case: Layers(near.function(case).background // 2 * 2), ["background"])
    values = judged(near, same).values
    found, alone = (
        values[kind][name]["background"]["kid_whole"]
        for kind, name in (("differences", "adapter-base"), ("methods", "base"))
    )
    assert found["high"] - found["low"] < 0.2 * (alone["high"] - alone["low"])
    first, second = (values["methods"][name]["background"]["kid_whole"]["mean"] for name in ("adapter", "base"))
    assert found["mean"] == pytest.approx(first - second)
    assert values["differences"]["adapter-base"]["background"]["fid_whole"]["low"] is None


def test_missing_outputs_enter_as_gray_pictures():
    names = [case.name for case in CASES][:3]

    def some(case):
        if case.name in names:
            raise RuntimeError("out of memory")
        return Layers(case.background)

    def gray(case):
        return Layers(np.full_like(case.background, 128) if case.name in names else case.background)

    failing, painting = Known("adapter", some, ["background"]), Known("base", gray, ["background"])
    report = judged(failing, painting, truth)
    found, expected = (report.values["methods"][name]["background"] for name in ("adapter", "base"))
    for name in ("fid_whole", "kid_whole"):
        assert found[name] == expected[name] and found[name]["mean"] > report.mean("truth", "background", name) + 1e-3
    # Not even pasting back makes a picture of nothing.
    assert found["fid_whole_pasted"]["mean"] > expected["fid_whole_pasted"]["mean"]


def test_methods_without_a_background_have_none():
    report = judged(Known("given_mask", lambda case: Layers(None, case.foreground), ["foreground"]), truth)
    assert report.values["methods"]["given_mask"]["background"]["fid_whole"] is None


def test_what_the_report_says():
    values = judged(truth).values
    assert "background.fid_whole" not in values["not_measured"] and "background.lpips_mask" in values["not_measured"]
    assert values["notes"]["background.fid_whole"] == FID_NOTE and "N falls" in FID_NOTE
    alone = judged(truth, given=CASES[:1]).values
    assert alone["methods"]["truth"]["background"]["kid_whole"] is None
    assert "2 images" in alone["not_measured"]["background.kid_whole"] and alone["notes"] == {}


def test_images_without_a_true_background_are_passed_over():
    from dataclasses import replace

    features = ListFeatures(Averages())
    for n, case in enumerate(CASES):
        known = replace(case, background=None) if n % 2 else case
        features.add_image(known)
        features.add_answer("truth", known, Layers(case.background))
    found = features.scores(0)["truth"]
    assert set(found) == KEYS and {score.num_images for score in found.values()} == {(len(CASES) + 1) // 2}


def test_a_difference_of_figures_without_an_interval_has_none():
    of_five = Clusters(list("abcde"), list("vwxyz"))
    one, other = ListScore(3.0, None, 5, of_five), ListScore(1.0, (np.zeros(5),) * 3, 5, of_five)
    assert one.minus(other) == ListScore(2.0, None, 5, of_five)
    assert one.minus(other).interval == Interval(2.0, None, None, 5, 5, 5)


def test_all_controls_with_both_networks():
    """The truth at the top; its answers in the wrong order, and no answers at all, at the bottom."""

    def nothing(case):
        raise RuntimeError("no")

    given = CASES[:10]
    other = {case.name: given[(place + 3) % len(given)] for place, case in enumerate(given)}
    shuffled = Known("shuffled", lambda case: truth.function(other[case.name]))
    methods = (truth, noisy("base", 16), shuffled, Known("none", nothing))
    table = score_all(given, methods, Networks(random_lpips(), Averages()))
    report = make_report(table, CONFIG, About())
    for name in ("lpips_whole", "lpips_mask", "lpips_whole_pasted"):
        means = [report.mean(method, "background", name) for method in ("truth", "base", "shuffled", "none")]
        assert means == sorted(means) and len(set(means)) == 4
    for name, better in (("alpha_grad", "truth"), ("alpha_conn", "truth"), ("premultiplied_l1", "truth")):
        means = [report.mean(method, "foreground", name) for method in (better, "shuffled", "none")]
        assert means[0] == 0 and means == sorted(means) and len(set(means)) == 3
    for name in ("ssim_mask", "ssim_whole"):
        means = [report.mean(method, "background", name) for method in ("none", "shuffled", "base", "truth")]
        assert means == sorted(means) and means[-1] == 1.0
    assert report.mean("none", "background", "fid_whole") > report.mean("base", "background", "fid_whole")
    # A set of pictures does not tell their order.
    assert report.mean("shuffled", "background", "fid_whole") == pytest.approx(0, abs=1e-6)
