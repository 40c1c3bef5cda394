"""Contact sheets: what is drawn, and that a preview keeps its bound."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from decoupage.images.contact_sheet import (
    CAPTION_PX,
    GAP_PX,
    LEGIBLE_PX,
    OUTLINE,
    Tile,
    checkerboard,
    contact_sheet,
    draw_sheet,
    legible_rows,
    legible_sheet,
    outlined,
)
from decoupage.randomness import generator


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return generator(0, "noise", (height, width)).integers(0, 256, (height, width, channels), np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_preview_keeps_its_bound_even_for_noise():
    tiles = [Tile(noise(256, 256), f"scene {i}") for i in range(21)]
    assert len(contact_sheet(tiles, 7, 160)) <= 25_000
    assert opened(contact_sheet(tiles, 7, 160)).width < opened(contact_sheet(tiles, 7, 160, max_kb=None)).width


def test_plain_pictures_keep_their_size_in_a_preview():
    tiles = [Tile(np.full((64, 64, 3), 90, np.uint8))] * 4
    assert opened(contact_sheet(tiles, 2, 128)).size == (2 * 128 + 3 * GAP_PX, 2 * 128 + 3 * GAP_PX)


def test_a_bound_that_cannot_be_met_is_refused():
    with pytest.raises(ValueError, match="show fewer"):
        contact_sheet([Tile(noise(64, 64))] * 40, 8, 64, max_kb=1)


def test_transparent_pixels_show_the_checkerboard():
    rgba = np.zeros((100, 100, 4), np.uint8)
    rgba[:50] = (10, 200, 30, 255)
    sheet = draw_sheet([Tile(rgba)], 1, 100)[GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]
    assert (sheet[:50] == (10, 200, 30)).all()
    assert (sheet[50:] == checkerboard(100, 100)[50:]).all()


def test_a_mask_is_outlined_and_tinted_and_the_rest_is_untouched():
    rgb = np.full((60, 60, 3), 100, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[10:40, 20:60] = True
    drawn = outlined(rgb, mask)
    assert (drawn[~mask] == 100).all()
    assert (drawn[10, 30] == OUTLINE).all() and (drawn[25, 59] == OUTLINE).all()
    assert 100 < drawn[25, 40, 0] < OUTLINE[0]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(), (3,), (4,)]),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 5),
    st.integers(1, 7),
    st.text(max_size=40),
)
def test_every_layout_and_size_gives_a_sheet(layout, height, width, columns, number, caption):
    tile = Tile(np.zeros((height, width, *layout), np.uint8), caption, np.ones((height, width), bool))
    sheet = draw_sheet([tile] * number, columns, 40)
    assert sheet.shape[1] == min(columns, number) * (40 + GAP_PX) + GAP_PX


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="needs tiles"):
        contact_sheet([], 2, 64)
    with pytest.raises(ValueError, match="float64"):
        contact_sheet([Tile(np.zeros((4, 4)))], 1, 64)


def test_rows_go_before_tiles_become_too_small_to_see():
    tiles = [Tile(noise(200, 200), str(i)) for i in range(12)]
    shown = opened(legible_sheet(tiles, 3, 160, 40))
    side = (shown.width - GAP_PX) // 3 - GAP_PX
    rows = round((shown.height - GAP_PX) / (side + CAPTION_PX + GAP_PX))
    assert LEGIBLE_PX <= side < 160 and 1 <= rows < 4
    assert len(legible_sheet(tiles, 3, 160, 40)) <= 40_000


def test_a_single_row_is_shown_however_small():
    tiles = [Tile(noise(200, 200)) for _ in range(6)]
    shown = opened(legible_sheet(tiles, 3, 160, 8))
    assert shown.height < LEGIBLE_PX + 2 * GAP_PX


def test_a_finished_sheet_is_cut_below_a_row():
    tiles = [Tile(noise(100, 100), "noise") for _ in range(8)]
    sheet = draw_sheet(tiles, 2, 100)
    whole = opened(legible_rows(sheet, 960, 1000))
    assert whole.size == (sheet.shape[1], sheet.shape[0])
    part = opened(legible_rows(sheet, 960, 25))
    row_px = 100 + CAPTION_PX + GAP_PX
    heights = {num * row_px + GAP_PX for num in (1, 2, 3)}
    factor = part.width / sheet.shape[1]
    assert factor >= 0.8 and min(abs(part.height - height * factor) for height in heights) <= 2
    with pytest.raises(ValueError, match="not even one row"):
        legible_rows(sheet, 960, 1)
