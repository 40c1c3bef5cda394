"""What counts as an answer: anything else is a failure with its reason, and never scored."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from decoupage.faults import BadItem, BadOutput
from evaluation.config import EvaluationConfig
from evaluation.method import Failure, Layers, answer
from evaluation.run import evaluate
from tests.evaluation.scenes import Known, cases, recipe_of, truth

CASE = cases(1)[0]
FLOATS = CASE.background.astype(np.float32)


def raising(error):
    def ask(case):
        raise error

    return ask


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Layers(FLOATS * np.nan), r"the background has values that are not finite \(100.0% of float32\)"),
        (Layers(np.where(np.arange(3) == 1, np.inf, FLOATS)), r"not finite \(33.3% of float"),
        (Layers(FLOATS), r"the background is float32 \[64, 64, 3\], not uint8"),
        (Layers(FLOATS.astype(np.int32) + 300), r"the background is int32 \[64, 64, 3\], not uint8"),
        (Layers(CASE.background[1:]), r"uint8 \[63, 64, 3\], not uint8 \[64, 64, 3\]"),
        (Layers(CASE.foreground), r"uint8 \[64, 64, 4\], not"),
        (Layers(CASE.background.tolist()), "the background is list, not a numpy array"),
        (Layers(), "no background"),
        (CASE.background, "it gave ndarray, not Layers"),
        (None, "it gave NoneType, not Layers"),
        (Failure("no weights"), "no weights"),
    ],
    ids=["nan", "inf", "float", "range", "size", "channels", "list", "absent", "bare", "none", "failure"],
)
def test_what_is_no_answer_is_a_failure_with_its_reason(given, reason):
    found = answer(Known("odd", lambda case: given, ["background"]), CASE)
    assert isinstance(found, Failure)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.reason)


@pytest.mark.parametrize(
    "error",
    [
        BadOutput("the VAE gave NaN"),
        BadItem("too_large", "no room"),
        MemoryError(),
        ZeroDivisionError("by zero"),
        RuntimeError("CUDA out of memory\nmore"),
        ValueError("\x1b[31mred"),
        cv2.error("wrong"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_faults_of_one_case_are_failures_of_this_case_in_one_plain_line(error):
    found = answer(Known("odd", raising(error)), CASE)
    assert isinstance(found, Failure) and type(error).__name__ in found.reason
    assert found.reason.isprintable()


class Fixed:
    name, about = "fixed", {"test_set": "fixed"}

    def cases(self, names=None):
        return (replace(case, maps=None) for case in cases(2) if not names or case.name in names)


def test_a_bad_output_counts_as_the_worst_and_the_run_goes_on(tmp_path):
    def sometimes(case):
        if case.name == CASE.name:
            raise BadOutput("the VAE gave values that are not finite")
        return Layers(case.background, case.foreground)

    methods = [recipe_of(Known("sometimes", sometimes)), recipe_of(truth)]
    report = evaluate(Fixed(), methods, EvaluationConfig(bootstrap_draws=100), str(tmp_path))
    assert report.values["methods"]["sometimes"]["failures"] == 1
    assert report.mean("sometimes", "background", "psnr_mask") < report.mean("truth", "background", "psnr_mask")
