"""The answer's pictures: the judged pixels themselves, enlarged by whole factors or cut, never resized."""

from dataclasses import replace

import numpy as np
import pytest

from decoupage.images.contact_sheet import over_checkerboard
from evaluation import answer_grid as grids
from evaluation.answer_grid import answer_grid, window_around
from evaluation.gallery import choose_examples, make_examples
from evaluation.methods.classical import classical_methods
from evaluation.run import score_all
from tests.evaluation.page.reports import Listed, fails_on
from tests.evaluation.scenes import Direct, cases, truth


def times(picture, factor):
    return np.kron(picture, np.ones((factor, factor, 1), np.uint8))


def holds(sheet, tile):
    """Whether a picture stands somewhere in a sheet, pixel by pixel."""
    height, width = tile.shape[:2]
    first = np.argwhere((sheet[: -height + 1, : -width + 1] == tile[0, 0]).all(axis=2))
    return any(np.array_equal(sheet[y : y + height, x : x + width], tile) for y, x in first)


def examples_of(given, methods):
    table = score_all(given, methods)
    choice = choose_examples(table)
    return make_examples(Listed(tuple(given)), methods, choice), choice


@pytest.fixture(scope="module", params=[40, 64, 200], ids=lambda size: f"{size} px")
def made(request):
    given = cases(8, request.param)
    methods = [truth, *(Direct(method) for method in classical_methods() if method.name in ("telea", "smooth"))]
    examples, choice = examples_of(given, methods)
    factor = {40: 3, 64: 2, 200: 1}[request.param]
    return examples, choice, answer_grid(examples, "truth", choice.rival), factor


def test_tiles_are_the_judged_pixels(made):
    examples, choice, grid, factor = made
    shown = [example for example in examples if example.why_answer]
    assert 4 <= len(shown) <= 5 and choice.rival in ("telea", "smooth")
    for example in shown:
        rival, made_by = example.answers[choice.rival], example.answers["truth"]
        for picture in (rival.background, made_by.background, example.case.background):
            assert holds(grid.pixels, times(picture, factor))
        assert holds(grid.pixels, over_checkerboard(times(made_by.foreground, factor)))
    assert (f"enlarged {factor} times" if factor > 1 else "at their own size") in grid.words


def test_it_says_what_it_shows(made):
    _, choice, grid, _ = made
    assert f"filled by {choice.rival}, the best simple method" in grid.words and "worst case" in grid.words
    assert grid.png.startswith(b"\x89PNG")


def test_a_large_picture_is_cut_around_its_target(monkeypatch):
    monkeypatch.setattr(grids, "MAX_TILE_PX", 48)
    monkeypatch.setattr(grids, "MIN_TILE_PX", 48)
    examples, _ = examples_of(cases(4), [truth])
    grid = answer_grid(examples, "truth", None)
    for example in examples:
        if example.why_answer:
            window = window_around(example.case.visible, 48)
            part = example.case.background[window]
            assert part.shape == (48, 48, 3) and holds(grid.pixels, part)


def test_a_window_holds_the_masks_middle_and_stays_inside():
    mask = np.zeros((100, 60), bool)
    mask[90:96, 2:6] = True
    rows, columns = window_around(mask, 40)
    assert (rows, columns) == (slice(60, 100), slice(0, 40))
    assert window_around(mask[:30, :30], 40) == (slice(0, 30), slice(0, 30))
    mask[:] = False
    mask[50, 30] = True
    assert window_around(mask, 40) == (slice(30, 70), slice(10, 50))


def test_what_is_missing_is_gray_and_unknown_truth_has_no_column():
    given = [replace(case, foreground=None) for case in cases(6)]
    examples, _ = examples_of(given, [fails_on({given[-1].name})])
    grid = answer_grid(examples, "base", None)
    worst = next(example for example in examples if "worst" in example.why_answer)
    assert worst.case.name == given[-1].name
    assert (grid.pixels == grids.NOTHING).all(axis=2).sum() > 100 * 100
    assert grid.pixels.shape[1] == grids.GAP_PX + 3 * (2 * 64 + grids.GAP_PX)
