"""Placement meets the plan on the grid, exactly, or says why not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.scenes.placement import GRID, Rejected, Sprite, _overlap, place
from pipelines.scenes.plan import LayerPlan
from tests.library import scenes_config

CONFIG = scenes_config()
sizes = st.integers(3, 30)


def disc(height, width, alpha=255):
    y, x = np.mgrid[:height, :width]
    return (alpha * (np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5) <= 0.5)).astype(np.uint8)


def canvas_of(alpha, corner):
    """The sprite on a canvas padded by 64 cells, so that what lies outside is kept too."""
    canvas = np.zeros((3 * GRID, 3 * GRID), np.int64)
    top, left = corner[0] + GRID, corner[1] + GRID
    canvas[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    return canvas


def inside(canvas):
    return canvas[GRID : 2 * GRID, GRID : 2 * GRID]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_overlap_is_the_sum_at_every_shift(height, width, seed):
    rng = np.random.default_rng(seed)
    field = rng.integers(0, 256, (GRID, GRID))
    alpha = rng.integers(0, 256, (height, width)).astype(np.uint8)
    scores = _overlap(field, alpha)
    for _ in range(5):
        row, column = rng.integers(scores.shape[0]), rng.integers(scores.shape[1])
        shifted = inside(canvas_of(alpha, (row - height + 1, column - width + 1)))
        assert scores[row, column] == (field * shifted).sum()


def placed_pair(sizes, plan, seed):
    """Both discs on the canvas, or the reason why they cannot be placed."""
    sprites = [Sprite(disc(height, width), "") for height, width in sizes]
    try:
        corners = place(sprites, plan, None, CONFIG, np.random.default_rng(seed))
    except Rejected as rejection:
        return rejection.reason
    return [inside(canvas_of(sprite.alpha, corner)) for sprite, corner in zip(sprites, corners, strict=True)]


@settings(max_examples=60)
@given(sizes, sizes, sizes, sizes, st.sampled_from(["light", "medium", "heavy"]), st.integers(0, 99))
def test_the_lower_layer_is_hidden_as_much_as_planned(h0, w0, h1, w1, level, seed):
    plan = [LayerPlan("real", "small", False, level, 1), LayerPlan("real", "small", False)]
    found = placed_pair([(h0, w0), (h1, w1)], plan, seed)
    if isinstance(found, str):
        # A small disc cannot hide much of a large one; nothing else may stand in the way.
        assert found == "occlusion"
        return
    below, above = found
    low, high = getattr(CONFIG.occlusion, level)
    assert low <= (below * above).sum() / 255 / below.sum() <= high


@settings(max_examples=60)
@given(*[st.integers(3, 20)] * 4, st.integers(0, 99))
def test_layers_that_shall_not_overlap_do_not(h0, w0, h1, w1, seed):
    found = placed_pair([(h0, w0), (h1, w1)], [LayerPlan("real", "small", False)] * 2, seed)
    assert not isinstance(found, str), "there is room for two small discs"
    below, above = found
    assert (below * above).sum() / 255 / below.sum() <= CONFIG.occlusion.none[1]


@given(sizes, sizes, st.booleans(), st.integers(0, 99))
def test_the_border_rule_holds(height, width, contact, seed):
    sprite = Sprite(disc(height, width), "")
    (corner,) = place([sprite], [LayerPlan("real", "small", contact)], None, CONFIG, np.random.default_rng(seed))
    canvas = canvas_of(sprite.alpha, corner)
    share = inside(canvas).sum() / canvas.sum()
    if contact:
        assert CONFIG.border.inside[0] <= share <= CONFIG.border.inside[1]
    else:
        assert share == 1.0


@given(sizes, sizes, st.sampled_from(["l", "t", "r", "b", "lb", "tr"]), st.integers(0, 99))
def test_a_cut_side_lies_on_the_same_border(height, width, cut, seed):
    sprite = Sprite(disc(height, width), cut)
    ((top, left),) = place([sprite], [LayerPlan("real", "small", False)], None, CONFIG, np.random.default_rng(seed))
    touching = {"l": left <= 0, "t": top <= 0, "r": left + width >= GRID, "b": top + height >= GRID}
    assert {side for side, touches in touching.items() if touches} >= set(cut)
    whole = {"l": left >= 0, "t": top >= 0, "r": left + width <= GRID, "b": top + height <= GRID}
    assert all(whole[side] for side in "ltrb" if side not in cut)


def test_what_fits_nowhere_is_rejected():
    huge = Sprite(disc(GRID + 1, 10), "")
    with pytest.raises(Rejected, match="no_room"):
        place([huge], [LayerPlan("real", "large", False)], None, CONFIG, np.random.default_rng(0))
