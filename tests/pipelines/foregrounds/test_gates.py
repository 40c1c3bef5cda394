"""The gates: what passes, what is refused and why, and what is cleaned on the way."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadItem
from decoupage.images.codecs import decode_rgba
from pipelines.config import GateConfig
from pipelines.foregrounds.gates import Gated, apply_gates, gates_recipe

GATES = GateConfig(min_area_px=2000)


def picture(alpha: np.ndarray) -> np.ndarray:
    return np.dstack([np.full((*alpha.shape, 3), 90, np.uint8), alpha.astype(np.uint8)])


def ellipse(x: int, y: int, rx: int, ry: int, value: int = 255, size: int = 400) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    cv2.ellipse(canvas, (x, y), (rx, ry), 0, 0, 360, value, -1)
    return canvas


def gate(alpha: np.ndarray) -> Gated:
    return apply_gates(picture(alpha), GATES)


def reason_of(alpha: np.ndarray) -> str:
    with pytest.raises(BadItem) as fault:
        gate(alpha)
    assert fault.value.detail
    return fault.value.reason


def test_a_disc_passes_cropped_to_its_box() -> None:
    found = gate(ellipse(200, 180, 60, 50))
    assert found.box == (140, 130, 261, 231)
    assert found.rgba.shape == (101, 121, 4)
    assert found.cut_sides == "" and not found.semi_transparent and found.soft_share == 0.0


@given(left=st.integers(0, 300), top=st.integers(0, 300), width=st.integers(60, 400), height=st.integers(60, 400))
def test_the_box_is_tight_and_cut_sides_are_the_borders_it_meets(left: int, top: int, width: int, height: int) -> None:
    alpha = np.zeros((400, 400), np.uint8)
    points = [(left + width // 2, top), (left + width, top + height // 2), (left + width // 2, top + height)]
    cv2.fillPoly(alpha, [np.array([*points, (left, top + height // 2)], np.int32)], 255)
    try:
        found = gate(alpha)
    except BadItem:
        return
    inner = found.rgba[..., 3]
    assert inner.any(axis=0).all() and inner.any(axis=1).all()
    x0, y0, x1, y1 = found.box
    meets = {"l": x0 == 0, "t": y0 == 0, "r": x1 == 400, "b": y1 == 400}
    # A corner that only touches is no cut, so sides that are cut are among those that meet the border.
    assert all(meets[side] for side in found.cut_sides)


@pytest.mark.parametrize(
    ("alpha", "reason"),
    [
        (np.zeros((400, 400)), "empty_alpha"),
        (ellipse(200, 200, 90, 90, value=6), "empty_alpha"),  # nothing above the floor
        (ellipse(200, 200, 90, 90, value=40), "haze"),
        (ellipse(200, 200, 20, 90), "too_small"),
        (np.eye(400) * 255, "too_small"),
        (np.pad(np.full((200, 200), 255), 100), "high_coverage"),
        (np.maximum(ellipse(100, 100, 60, 60), ellipse(300, 300, 40, 40)), "islands"),
        (ellipse(200, 200, 300, 120), "cut_off"),  # left and right
        (ellipse(200, 200, 120, 300), "cut_off"),  # top and bottom
        (np.maximum(ellipse(200, 200, 199, 199), np.pad(np.full((396, 396), 255), ((4, 0), (0, 4)))), "high_coverage"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(alpha: np.ndarray, reason: str) -> None:
    assert reason_of(alpha) == reason


def test_a_wire_has_low_coverage() -> None:
    alpha = np.zeros((400, 400), np.uint8)
    cv2.rectangle(alpha, (50, 50), (350, 350), 255, 8)
    assert reason_of(alpha) == "low_coverage"


def test_a_corner_that_fills_its_box_is_cut_off() -> None:
    alpha = np.zeros((400, 400), np.uint8)
    alpha[:300, :300] = 255
    alpha[250:300, 200:300] = 0
    assert reason_of(alpha) == "cut_off"


def test_a_person_cut_straight_at_the_bottom_passes() -> None:
    alpha = np.maximum(ellipse(200, 160, 60, 80), ellipse(200, 400, 140, 170))
    found = gate(alpha)
    assert found.cut_sides == "b" and found.box[3] == 400


def test_a_shoulder_at_the_side_passes_too() -> None:
    alpha = np.maximum(ellipse(300, 160, 60, 80), ellipse(310, 400, 140, 170))
    assert gate(alpha).cut_sides == "rb"


def test_a_touch_is_no_cut() -> None:
    alpha = ellipse(200, 200, 100, 100)
    alpha[200:205, 300:400] = 255
    assert gate(alpha).cut_sides == ""


def test_an_empty_outermost_row_still_counts_as_the_border() -> None:
    alpha = ellipse(200, 330, 100, 100)
    alpha[-1] = 0
    assert gate(alpha).cut_sides == "b"


def test_dust_and_haze_are_removed_and_nearly_solid_becomes_solid() -> None:
    alpha = ellipse(200, 200, 80, 80, value=250)
    alpha[10:14, 10:14] = 255
    alpha[300:, :] = np.maximum(alpha[300:, :], 7)
    found = gate(alpha)
    assert found.box == (120, 120, 281, 281)
    assert set(np.unique(found.rgba[..., 3])) == {0, 255}


def test_a_larger_separate_part_stays() -> None:
    alpha = np.maximum(ellipse(180, 200, 90, 90), ellipse(320, 200, 25, 25))
    assert gate(alpha).box[2] == 346


def test_glass_is_semi_transparent_and_a_soft_edge_is_not() -> None:
    glass = ellipse(200, 200, 80, 120, value=120)
    glass = np.maximum(glass, ellipse(200, 200, 80, 120) - ellipse(200, 200, 74, 114))
    assert gate(glass).semi_transparent
    soft = cv2.GaussianBlur(ellipse(200, 200, 80, 120), (0, 0), 6)
    found = gate(soft)
    assert not found.semi_transparent and 0.1 < found.soft_share < 0.6


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[H, W, 4\] uint8"):
        apply_gates(np.zeros((4, 4, 3), np.uint8), GATES)


def test_real_glass_passes_as_semi_transparent(shared_picture) -> None:
    found = apply_gates(decode_rgba(shared_picture("cutouts/glass_bottle.png").read_bytes()), GATES)
    assert found.semi_transparent


def test_the_recipe_holds_the_fixed_limits_of_alpha_beside_the_profiles() -> None:
    assert gates_recipe(GATES) == GATES.model_dump(mode="json") | {"version": 2, "alpha_floor": 8, "alpha_ceiling": 247}
