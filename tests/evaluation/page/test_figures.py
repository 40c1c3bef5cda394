"""Numbers as they are printed, and the scales of curves."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evaluation.metrics.catalogue import Metric, find_metric
from evaluation.page.curves import Point, _chart, ticks
from evaluation.page.figures import DASH, ELLIPSIS, MINUS, counts, figure, span
from evaluation.page.render import bar

PSNR = find_metric("background", "psnr_mask")


@pytest.mark.parametrize(
    ("value", "signed", "said"),
    [
        (None, False, DASH),
        (21.456, False, "21.46"),
        (0.5, True, "+0.50"),
        (-0.5, True, f"{MINUS}0.50"),
        (-0.001, False, "0.00"),
        (0.0, True, "0.00"),
        (0.0031, True, "+0.003"),
        (-0.00042, True, f"{MINUS}0.0004"),
    ],
)
def test_numbers(value, signed, said):
    assert figure(value, PSNR, signed) == said


def test_an_interval_with_and_without_ends():
    assert span({"low": -1.0, "high": 2.0}, PSNR, True) == f"{MINUS}1.00 {ELLIPSIS} +2.00"
    assert span({"low": None, "high": None}, PSNR) == "no interval" and span(None, PSNR) == DASH


def test_n_stands_with_its_clusters():
    assert counts({"num_images": 187, "num_photographs": 3, "num_origins": 18, "methods": {}}) == "187 / 3 / 18"


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_ticks_are_few_round_and_span_the_range(a, b):
    low, high = min(a, b), max(a, b)
    assume(high - low > 1e-6 * max(1, abs(low), abs(high)))
    found = ticks(low, high)
    step = found[1] - found[0]
    slack = 1e-6 * step + 1e-9
    assert found[0] <= low + slack and found[-1] >= high - slack and 2 <= len(found) <= 8
    leading = step / 10 ** math.floor(math.log10(step) + 1e-6)
    assert any(leading == pytest.approx(digit, rel=1e-3) for digit in (1, 2, 5))


def test_ticks_of_one_value_have_a_width():
    found = ticks(3.0, 3.0)
    assert found[0] < 3 < found[-1]


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3))
def test_bars_stay_in_their_box(mean, below, above):
    place = bar({"mean": mean, "low": mean - below, "high": mean + above})
    assert place["left"] >= 0 and place["left"] + place["width"] <= 101 and 0 <= place["middle"] <= 100


def test_a_drawing_is_whole_and_its_points_are_inside():
    lines = {
        "adapter": [Point(0.2, 20, 19, 21), Point(0.9, 30, 28, 31)],
        "<base>": [Point(0.2, 18, 17, 19), Point(0.9, 22, 21, 24)],
        "one": [Point(0.5, 3)],
    }
    metric = Metric("background", "psnr_mask", "PSNR", "dB")
    chart = _chart("title", "below", metric, lines, {"adapter": 0, "<base>": 1, "one": 2})
    assert chart.methods == {"adapter": 0, "<base>": 1}
    drawing = ET.fromstring(chart.svg)
    _, _, width, height = map(float, drawing.get("viewBox").split())
    circles = drawing.findall(".//circle")
    assert len(circles) == 4
    assert all(0 < float(dot.get("cx")) < width and 0 < float(dot.get("cy")) < height for dot in circles)
    # Better is higher up, and numbers on the scale are of its range.
    assert float(circles[1].get("cy")) < float(circles[0].get("cy"))
    assert {"15", "20", "25", "30"} <= set(re.findall(r">(\d+)</text>", chart.svg))
    assert _chart("title", "below", metric, {"one": lines["one"]}, {"one": 0}) is None
