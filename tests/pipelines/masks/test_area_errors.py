"""The errors that take in more than the object or leave out a part: what they keep, reach, and where they cut."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from decoupage.images.types import Mask
from decoupage.randomness import generator
from pipelines.config import MasksConfig
from pipelines.masks.area_errors import AREA_ERRORS
from pipelines.masks.imperfect import KINDS, ImperfectMask, imperfect_mask
from pipelines.scenes.parts import SceneParts, Shadow
from tests.pipelines.masks.plain_scenes import scene

SIZE_PX = 240
RED, BLUE = (200, 30, 30), (30, 30, 200)


def only(kind: str, low: float = 0.0, high: float = 0.0) -> MasksConfig:
    """One kind alone, with another range where one is given."""
    chosen = {"weight": 1.0} | ({"area_ratio": (low, high)} if high else {})
    return MasksConfig.model_validate({name: {"weight": 0.0} for name in KINDS} | {kind: chosen})


def drawn(kind: str, parts: SceneParts, seed: int, *limits: float) -> ImperfectMask:
    found = imperfect_mask(parts, 0, only(kind, *limits), generator(seed, "test", kind))
    assert found.error == kind
    return found


def rectangle(left: int, top: int, right: int, bottom: int, size_px: int = SIZE_PX) -> Mask:
    mask = np.zeros((size_px, size_px), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def two_coloured() -> SceneParts:
    """A box of which the left two thirds are red and the rest is blue."""
    rgb = np.full((SIZE_PX, SIZE_PX, 3), RED, np.uint8)
    rgb[:, 120:] = BLUE
    return scene(rectangle(60, 80, 150, 170), rgb=rgb)


@st.composite
def scenes(draw: st.DrawFn) -> SceneParts:
    """One to three noisy layers: single pixels, discs, bars, full canvases; also cut or hidden in part."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    masks = []
    for _ in range(draw(st.integers(1, 3))):
        mask = np.zeros((height, width), np.uint8)
        place = st.tuples(st.integers(-8, width + 8), st.integers(-8, height + 8))
        cv2.circle(mask, draw(place), draw(st.integers(0, 40)), 1, cv2.FILLED)
        cv2.line(mask, draw(place), draw(place), 1, draw(st.integers(1, 9)))
        masks.append(mask.view(np.bool_))
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    masks[0][y, x] = True
    for mask in masks[1:]:
        mask[y, x] = False
    rgb = generator(draw(st.integers(0, 9)), "noise", 0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shadow = Shadow(np.full((1, width), 90, np.uint8), (0, height - 1, width, height)) if draw(st.booleans()) else None
    return scene(*masks, rgb=rgb, shadow=shadow)


@pytest.mark.parametrize("kind", AREA_ERRORS)
@given(parts=scenes(), seed=st.integers(0, 1000))
def test_every_kind_stays_within_its_limits_or_counts_as_none(kind: str, parts: SceneParts, seed: int) -> None:
    config, visible = only(kind), parts.visible_mask(0)
    found = imperfect_mask(parts, 0, config, generator(seed, "test", kind))
    assert found.mask.shape == parts.size and found.mask.dtype == np.bool_ and found.mask.any()
    assert found.error in (kind, "none")
    assert (found.error == "none") == np.array_equal(found.mask, visible)
    low, high = getattr(config, kind).area_ratio if found.error == kind else (1.0, 1.0)
    assert low <= round(found.mask.sum() / visible.sum(), 4) <= high
    # A function of scene, layer and stream, whatever else was drawn of the scene before.
    fresh = SceneParts(parts.key, parts.background, parts.layers, parts.record)
    for i in reversed(range(len(fresh.layers))):
        if fresh.visible_mask(i).any():
            again = imperfect_mask(fresh, i, config, generator(seed, "test", kind))
    assert np.array_equal(again.mask, found.mask) and again.error == found.error


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("box", [(90, 90, 150, 150), (40, 110, 200, 125), (100, 30, 125, 200)])
def test_a_brush_paints_over_the_object_in_round_strokes(box: tuple[int, ...], seed: int) -> None:
    mask = rectangle(*box)
    found = drawn("brush", scene(mask), seed)
    assert found.area_ratio == pytest.approx(found.drawn, rel=0.1) and 2.5 <= found.area_ratio <= 4.0
    assert (found.mask & mask).sum() > 0.95 * mask.sum()
    assert cv2.connectedComponents(found.mask.view(np.uint8))[0] == 2
    radius_px = int(0.5 * cv2.distanceTransform(found.mask.view(np.uint8), cv2.DIST_L2, 5).max())
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2)
    rounded = cv2.morphologyEx(np.pad(found.mask.view(np.uint8), radius_px), cv2.MORPH_OPEN, disc)
    assert rounded.sum() > 0.98 * found.mask.sum()


def test_a_brush_leaves_part_of_the_picture_and_a_filled_picture_alone() -> None:
    large = scene(rectangle(40, 40, 170, 160))  # 27 % of the canvas: four times that would be all of it.
    assert max(drawn("brush", large, seed).mask.mean() for seed in range(8)) <= 0.71
    full = scene(rectangle(0, 0, 200, SIZE_PX))
    assert imperfect_mask(full, 0, only("brush"), generator(0, "test", "brush")).error == "none"


@pytest.mark.parametrize("seed", range(8))
def test_a_shadow_lies_on_the_ground_beside_the_whole_object(seed: int) -> None:
    mask = rectangle(110, 60, 135, 150)
    found = drawn("shadow", scene(mask), seed)
    added = found.mask & ~mask
    assert (found.mask & mask).sum() == mask.sum() and 1.2 <= found.area_ratio <= 2.6
    assert cv2.connectedComponents(found.mask.view(np.uint8))[0] == 2
    ring = cv2.dilate(mask.view(np.uint8), np.ones((13, 13), np.uint8)) > 0
    # No ring around the object, as dilation gives, but something to one side.
    assert (added & ring).sum() < 0.5 * (ring & ~mask).sum() and (added & ~ring).any()


def test_a_shadow_that_the_scene_has_is_the_one_that_is_taken_in() -> None:
    mask = rectangle(110, 60, 135, 150)
    opacity = np.full((20, 100), 100, np.uint8)
    opacity[10:] = 10  # Too faint to be seen as one.
    cast = np.zeros_like(mask)
    cast[145:155, 80:180] = True
    found = drawn("shadow", scene(mask, shadow=Shadow(opacity, (80, 145, 180, 165))), 0)
    assert not (found.mask & ~(mask | cast)).any() and (found.mask & ~mask).sum() > 0.1 * mask.sum()


def test_what_hangs_or_flies_throws_no_shadow_here() -> None:
    for support, kind in (("ground", "shadow"), ("surface", "shadow"), ("sky", "none"), ("hang", "none")):
        parts = scene(rectangle(110, 60, 135, 150), support=support)
        assert imperfect_mask(parts, 0, only("shadow"), generator(0, "test", 0)).error == kind


def test_a_neighbour_is_another_layer_near_by() -> None:
    target, near, far = rectangle(80, 80, 140, 160), rectangle(143, 90, 170, 150), rectangle(200, 200, 240, 240)
    for seed in range(6):
        found = drawn("neighbour", scene(target, near, far), seed)
        added = found.mask & ~target
        assert (found.mask & target).sum() == target.sum() and added.any() and not (added & ~near).any()
    whole = drawn("neighbour", scene(target, near, far), 1, 1.33, 1.9)
    assert np.array_equal(whole.mask, target | near), "a neighbour within the limits is taken whole"
    larger = drawn("neighbour", scene(target, rectangle(140, 0, 240, 240)), 0)
    assert larger.area_ratio == pytest.approx(larger.drawn, abs=0.05), "of a large one what lies next to the object"


@pytest.mark.parametrize("others", [(), (rectangle(200, 200, 240, 240),)])
def test_without_a_neighbour_another_error_is_drawn(others: tuple[Mask, ...]) -> None:
    parts, config = scene(rectangle(80, 80, 140, 160), *others), {"neighbour": {"weight": 3.0}, "box": {"weight": 1.0}}
    mixed = MasksConfig.model_validate({name: {"weight": 0.0} for name in KINDS} | config)
    kinds = [imperfect_mask(parts, 0, mixed, generator(seed, "test", 0)).error for seed in range(8)]
    assert set(kinds) == {"box"}


@pytest.mark.parametrize("seed", range(6))
def test_half_an_object_ends_where_its_colour_changes(seed: int) -> None:
    parts = two_coloured()
    found = drawn("half", parts, seed, 0.6, 0.75)
    red = rectangle(60, 80, 120, 170)
    assert (found.mask ^ red).sum() < 0.05 * red.sum() and not (found.mask & ~parts.visible_mask(0)).any()


@pytest.mark.parametrize("seed", range(6))
def test_a_click_gives_what_has_the_colour_of_its_point(seed: int) -> None:
    parts = two_coloured()
    found = drawn("click", parts, seed, 0.55, 0.75)
    red = rectangle(60, 80, 120, 170)
    assert (found.mask & red).sum() > 0.9 * red.sum() and (found.mask & ~red).sum() < 0.1 * red.sum()


def test_a_click_may_run_out_of_the_object_but_not_far() -> None:
    grey = scene(rectangle(60, 80, 150, 170))  # On grey: nothing in the picture says where it ends.
    config = only("click", 0.9, 0.99)
    for seed in range(6):
        found = imperfect_mask(grey, 0, config, generator(seed, "test", "click"))
        assert not (found.mask & ~rectangle(54, 74, 156, 176)).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"brush": {"area_ratio": (0.5, 2.0)}}, "brush.area_ratio.0"),
        ({"half": {"area_ratio": (0.5, 1.0)}}, "half.area_ratio.1"),
        ({"click": {"area_ratio": (0.9, 0.5)}}, "low <= high"),
    ],
)
def test_an_impossible_area_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MasksConfig.model_validate(change)
