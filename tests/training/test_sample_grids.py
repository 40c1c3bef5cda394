"""Sample grids: every view has its place, small pictures keep their pixels, and columns that do not fit are refused."""

import numpy as np
import pytest
import torch

from decoupage.images.contact_sheet import CAPTION_PX, GAP_PX, OUTLINE, checkerboard
from decoupage.randomness import generator
from training.sample_grids import SHOWN_PX, Column, layers_grid, levels, sample_grid

ACROSS_PX = SHOWN_PX + GAP_PX
DOWN_PX = SHOWN_PX + CAPTION_PX + GAP_PX


def pictures(name: str, channels: int = 3, number: int = 2, size_px: int = 64) -> np.ndarray:
    shape = (number, size_px, size_px, channels)
    return generator(0, name, shape).integers(0, 256, shape, np.uint8)


def tile(sheet: np.ndarray, row: int, column: int, side_px: int = SHOWN_PX) -> np.ndarray:
    top = GAP_PX + row * (side_px + CAPTION_PX + GAP_PX)
    left = GAP_PX + column * (side_px + GAP_PX)
    return sheet[top : top + side_px, left : left + side_px]


def test_a_row_for_each_sample_and_a_column_for_each_view_with_whole_pixels():
    first, second = pictures("first"), pictures("second")
    sheet = sample_grid([Column("a", first), Column("b", second)])
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * DOWN_PX + GAP_PX, 2 * ACROSS_PX + GAP_PX, 3)
    for i in range(2):
        for column, shown in enumerate((first, second)):
            assert (tile(sheet, i, column)[1::3, 1::3] == shown[i]).all()
            assert (tile(sheet, i, column) == shown[i].repeat(3, 0).repeat(3, 1)).all()


def test_columns_are_captioned():
    plain = sample_grid([Column("", pictures("same"))])
    named = sample_grid([Column("background", pictures("same"))])
    below = named[GAP_PX + SHOWN_PX : GAP_PX + SHOWN_PX + CAPTION_PX]
    assert named.shape[0] == plain.shape[0] + 2 * CAPTION_PX
    assert below.min() < 120


def test_large_pictures_are_shrunk():
    sheet = sample_grid([Column("a", pictures("large", number=1, size_px=1024))])
    assert sheet.shape[1] == 2 * SHOWN_PX + 2 * GAP_PX


def test_alpha_lies_over_a_checkerboard_and_gray_pictures_are_gray():
    clear = np.zeros((1, 64, 64, 4), np.uint8)
    sheet = sample_grid([Column("clear", clear), Column("alpha", clear[..., 3:] + 7)])
    assert (tile(sheet, 0, 0) == checkerboard(SHOWN_PX, SHOWN_PX)).all()
    assert (tile(sheet, 0, 1) == 7).all()


def test_layers_are_shown_beside_their_truth_and_laid_together():
    composite, background, truth = (pictures(name) for name in ("composite", "background", "truth"))
    foreground, true_foreground = pictures("foreground", 4), pictures("true foreground", 4)
    foreground[..., 3] = 0
    foreground[:, :32, :, 3] = 255
    mask = np.zeros((2, 64, 64), bool)
    mask[:, 10:30, 10:30] = True
    sheet = layers_grid(composite, mask, background, foreground, truth, true_foreground)
    assert sheet.shape[1] == 8 * ACROSS_PX + GAP_PX
    shown = [tile(sheet, 1, column)[1::3, 1::3] for column in range(8)]
    assert (shown[0][~mask[1]] == composite[1][~mask[1]]).all()
    assert (tile(sheet, 1, 0)[30, 40] == OUTLINE).all()
    assert (shown[1] == background[1]).all() and (shown[2] == truth[1]).all()
    assert (shown[3][:32] == foreground[1, :32, :, :3]).all()
    assert (shown[6] == true_foreground[1, :, :, 3:]).all()
    assert (shown[7][:32] == foreground[1, :32, :, :3]).all() and (shown[7][32:] == background[1, 32:]).all()


def test_levels_are_cut_and_reach_both_ends():
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 5)
    assert levels(values)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("other", [pictures("other", size_px=32), pictures("other", number=3)])
def test_columns_of_other_samples_are_refused(other: np.ndarray):
    with pytest.raises(ValueError, match="same samples"):
        sample_grid([Column("a", pictures("a")), Column("b", other)])


def test_a_grid_needs_columns():
    with pytest.raises(ValueError, match="none"):
        sample_grid([])
