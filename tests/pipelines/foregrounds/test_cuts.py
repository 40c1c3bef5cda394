"""Cut sides: straight ends near the picture's border are cuts, whole shapes there are not, however it is turned."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.config import GateConfig
from pipelines.foregrounds.cuts import BORDER_PX, find_cuts
from pipelines.foregrounds.gates import apply_gates

GATES = GateConfig(min_area_px=2000)
SIZE_PX = 400
NEAR_PX = 6
"""1.5 % of the picture's side."""
radii = st.integers(40, 120)
gaps = st.integers(0, NEAR_PX)
MIRRORED = str.maketrans("lr", "rl")
TURNED = str.maketrans("ltrb", "bltr")


def ellipse(x: int, y: int, rx: int, ry: int) -> np.ndarray:
    canvas = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    cv2.ellipse(canvas, (x, y), (rx, ry), 0, 0, 360, 255, -1, cv2.LINE_AA)
    return canvas


def cut_ellipse(rx: int, ry: int, lost: float, gap_px: int) -> np.ndarray:
    """An ellipse whose lower end is lost, ending straight at `gap_px` from the lower border."""
    end = SIZE_PX - gap_px
    alpha = ellipse(200, round(end - ry * (1 - lost)), rx, ry)
    alpha[end:] = 0
    return alpha


def sides(alpha: np.ndarray, gates: GateConfig = GATES) -> str:
    return "".join(find_cuts(alpha, gates))


@given(rx=radii, ry=radii, gap_px=st.integers(BORDER_PX, 20))
def test_an_ellipse_near_the_border_but_whole_is_not_cut(rx: int, ry: int, gap_px: int) -> None:
    assert sides(ellipse(200, SIZE_PX - 1 - gap_px - ry, rx, ry)) == ""


@given(rx=radii, ry=radii, lost=st.floats(0.2, 0.75), gap_px=gaps)
def test_an_ellipse_that_ends_straight_there_is_cut_and_ends_at_its_box(
    rx: int, ry: int, lost: float, gap_px: int
) -> None:
    alpha = cut_ellipse(rx, ry, lost, gap_px)
    assert sides(alpha) == "b"
    rows, columns = np.nonzero(alpha)
    outline_px = 2 * (np.ptp(rows) + 1 + np.ptp(columns) + 1)
    # One that ends there with more of its outline is refused as cut off, whatever its sides.
    assume(np.count_nonzero(alpha[rows.max()]) < 0.38 * outline_px)
    found = apply_gates(np.dstack([alpha] * 4), GATES)
    assert found.cut_sides == "b" and found.box[3] == SIZE_PX - gap_px


@given(rx=radii, ry=radii, lost=st.floats(0.2, 0.9), gap_px=st.integers(NEAR_PX + 6, 60))
def test_a_straight_end_in_mid_picture_is_no_cut(rx: int, ry: int, lost: float, gap_px: int) -> None:
    assert sides(cut_ellipse(rx, ry, lost, gap_px)) == ""


@given(
    x=st.integers(0, SIZE_PX), y=st.integers(0, SIZE_PX), rx=radii, ry=radii, gaps_px=st.tuples(gaps, gaps, gaps, gaps),
    turns=st.integers(0, 3), mirror=st.booleans(),
)  # fmt: skip
def test_a_turned_or_mirrored_picture_has_turned_or_mirrored_sides(
    x: int, y: int, rx: int, ry: int, gaps_px: tuple[int, int, int, int], turns: int, mirror: bool
) -> None:
    alpha = ellipse(x, y, rx, ry)
    left, top, right, bottom = gaps_px
    inside = np.pad(alpha[top : SIZE_PX - bottom, left : SIZE_PX - right], ((top, bottom), (left, right)))
    assume(inside.any())
    wanted, seen = find_cuts(inside, GATES), inside
    for _ in range(turns):
        seen = np.rot90(seen)
        wanted = {side.translate(TURNED): cut for side, cut in wanted.items()}
    if mirror:
        seen = seen[:, ::-1]
        wanted = {side.translate(MIRRORED): cut for side, cut in wanted.items()}
    assert find_cuts(np.ascontiguousarray(seen), GATES) == wanted


@pytest.mark.parametrize("side", "ltrb")
@given(seed=st.integers(0, 10_000), lost=st.floats(0.3, 0.8))
def test_a_ragged_end_is_trimmed_to_a_straight_one(side: str, seed: int, lost: float) -> None:
    alpha = cut_ellipse(110, 90, lost, 2)
    rows = np.arange(SIZE_PX)[:, None]
    alpha[rows >= SIZE_PX - 2 - np.random.default_rng(seed).integers(0, 4, SIZE_PX)] = 0
    turned = np.rot90(alpha, {"b": 0, "r": 1, "t": 2, "l": 3}[side])
    found = apply_gates(np.dstack([turned] * 4), GATES)
    assert found.cut_sides == side
    inner = found.rgba[..., 3]
    edge = {"b": inner[-1], "r": inner[:, -1], "t": inner[0], "l": inner[:, 0]}[side]
    before = {"b": inner[-12], "r": inner[:, -12], "t": inner[11], "l": inner[:, 11]}[side]
    assert (edge > 0).sum() >= 0.8 * (before > 0).sum()


@pytest.mark.parametrize(("gap_px", "cut"), [(0, "b"), (1, "b"), (4, "")])
def test_on_the_border_itself_a_short_end_is_a_cut(gap_px: int, cut: str) -> None:
    # A finger that the border cuts, over a tenth of the hand's width; further off it may well end there.
    alpha = ellipse(200, 250, 100, 80)
    alpha[250 : SIZE_PX - gap_px, 190:210] = 255
    assert sides(alpha) == cut


def test_the_border_of_a_picture_without_margin_counts_only_where_the_end_is_long() -> None:
    alpha = np.zeros((300, 300), np.uint8)
    cv2.ellipse(alpha, (150, 140), (149, 139), 0, 0, 360, 255, -1)
    alpha[270:, 100:120] = 255  # a foot, as cutouts cropped to their object have
    assert sides(alpha) == ""
    alpha[270:, 100:200] = 255
    assert sides(alpha) == "b"


def test_the_limits_are_the_profiles() -> None:
    alpha = cut_ellipse(100, 100, 0.1, 4)  # straight over 0.44 of its width
    assert sides(alpha) == "b"
    assert sides(alpha, GateConfig(min_straight_share=0.6)) == ""
    assert sides(alpha, GateConfig(border_tolerance=0.005)) == ""
    assert sides(cut_ellipse(100, 100, 0.1, 12), GateConfig(border_tolerance=0.03)) == "b"
