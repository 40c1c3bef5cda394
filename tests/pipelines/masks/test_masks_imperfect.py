"""Drawing mask errors: by weight, within the profile's bounds, measured, and never empty."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from decoupage.randomness import generator
from decoupage.settings import Section
from pipelines.config import MasksConfig
from pipelines.masks.imperfect import KINDS, OUTLINE_ERRORS, ImperfectMask
from pipelines.scenes.parts import VISIBLE_ALPHA, area_ratio, mask_iou
from tests.pipelines.masks.plain_scenes import draw

CUTOUTS = Path(__file__).parents[4] / "shared" / "data" / "cutouts"


def _only(kind: str, reach_px: tuple[int, int] = (4, 4), **others: float) -> MasksConfig:
    errors = {name: {"weight": float(name == kind)} for name in KINDS}
    errors |= {name: errors[name] | {"reach_px": reach_px} for name in OUTLINE_ERRORS}
    return MasksConfig.model_validate({**errors, **others})


def _range(config: MasksConfig, found: ImperfectMask) -> tuple[float, float]:
    limits = getattr(config, found.error)
    return limits.reach_px if found.error in OUTLINE_ERRORS else limits.area_ratio


def _disc(size_px: int = 120) -> np.ndarray:
    mask = np.zeros((size_px, size_px), np.uint8)
    cv2.circle(mask, (size_px // 2, size_px // 2), size_px // 4, 1, cv2.FILLED)
    return mask.view(np.bool_)


@given(
    x=st.integers(-10, 70), y=st.integers(-10, 50), radius=st.integers(0, 30), seed=st.integers(0, 10_000),
    min_iou=st.sampled_from([0.0, 0.4, 0.9]),
)  # fmt: skip
def test_any_mask_gives_a_measured_mask_with_pixels(x: int, y: int, radius: int, seed: int, min_iou: float) -> None:
    visible = np.zeros((40, 60), np.uint8)
    cv2.circle(visible, (x, y), radius, 1, cv2.FILLED)
    visible[20, 30] = 1
    visible = visible.view(np.bool_)
    config = MasksConfig(min_iou=min_iou)
    found = draw(visible, config, generator(seed, "masks", 0))
    assert found.mask.any() and found.mask.shape == visible.shape and found.mask.dtype == np.bool_
    assert found.iou == mask_iou(visible, found.mask) and found.area_ratio == area_ratio(found.mask, visible)
    assert config.allows(found.error, found.iou, found.area_ratio)
    assert found.iou >= min_iou or found.error not in OUTLINE_ERRORS
    assert (found.error == "none") == np.array_equal(found.mask, visible) == (found.iou == 1.0)
    low, high = _range(config, found)
    assert low <= found.drawn <= high
    again = draw(visible, config, generator(seed, "masks", 0))
    assert np.array_equal(again.mask, found.mask) and again.error == found.error


@pytest.mark.parametrize("kind", KINDS)
@given(
    width=st.integers(1, 40), height=st.integers(1, 40), slant=st.integers(0, 3), reach_px=st.integers(0, 12),
    seed=st.integers(0, 10_000),
)  # fmt: skip
def test_every_kind_changes_something_or_counts_as_none(
    kind: str, width: int, height: int, slant: int, reach_px: int, seed: int
) -> None:
    # Boxes, which errors of the outline may leave as they are, and slanted bars, whose box is mostly empty.
    rows, columns = np.mgrid[:90, :90]
    visible = (abs(rows - 40) <= height // 2) & (abs(columns - 40 - slant * (rows - 40)) <= width // 2)
    found = draw(visible, _only(kind, (reach_px, reach_px)), generator(seed, "masks", kind))
    assert found.error in (kind, "none")
    assert (found.error == "none") == np.array_equal(found.mask, visible) == (found.iou == 1.0)


def test_working_near_the_object_gives_what_the_whole_canvas_gives() -> None:
    visible = np.zeros((300, 300), np.bool_)
    visible[100:180, 120:190] = _disc()[20:100, 25:95]
    near = draw(visible, _only("dilation", (9, 9)), generator(0, "masks", 0))
    assert np.array_equal(near.mask, OUTLINE_ERRORS["dilation"](visible, 9, generator(0, "masks", 0)))


def test_weights_decide_how_often() -> None:
    chosen = MasksConfig.model_validate({name: {"weight": {"box": 3.0, "shift": 1.0}.get(name, 0.0)} for name in KINDS})
    kinds = [draw(_disc(), chosen, generator(i, "masks", 0)).error for i in range(400)]
    assert set(kinds) == {"box", "shift"}
    assert kinds.count("box") / 400 == pytest.approx(0.75, abs=0.07)


def test_a_mask_that_cannot_be_kept_in_bounds_is_left_as_it_is() -> None:
    small = np.zeros((50, 50), np.bool_)
    small[20:23, 20:23] = True
    found = draw(small, _only("erosion", (10, 10)), generator(0, "masks", 0))
    assert (found.error, found.iou, found.drawn) == ("none", 1.0, 0)
    assert np.array_equal(found.mask, small)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a layer that shows, got layer 0"):
        draw(np.zeros((8, 8), np.bool_), MasksConfig(), generator(0, "masks", 0))


def test_a_profile_without_any_weight_is_refused() -> None:
    with pytest.raises(ValidationError, match="weight above 0"):
        MasksConfig.model_validate({name: {"weight": 0.0} for name in KINDS})


def test_every_kind_of_the_profile_is_there_and_no_other() -> None:
    fields = {name for name, value in MasksConfig() if isinstance(value, Section)}
    assert fields == set(KINDS)


@pytest.mark.skipif(not CUTOUTS.is_dir(), reason="needs the pictures of shared/data")
def test_real_outlines_survive_every_kind() -> None:
    # The `pad` pair fills its canvas: there is no edge to get wrong.
    for path in sorted(path for path in CUTOUTS.glob("*.png") if "pad" not in path.name):
        picture = Image.open(path).convert("RGBA").resize((256, 256))
        visible = np.asarray(picture)[..., 3] >= VISIBLE_ALPHA
        for kind in set(OUTLINE_ERRORS) - {"none"}:
            found = draw(visible, _only(kind, (2, 6)), generator(1, path.stem, kind))
            assert found.error == kind, f"{kind} on {path.name} went beyond min_iou"
            assert 0.4 <= found.iou < 1.0
