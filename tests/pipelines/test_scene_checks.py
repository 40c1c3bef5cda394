"""The checks of made against planned, of enlargement and of sharpness: each sees the fault that it is there for."""

import pytest

from pipelines import checks, scene_checks
from pipelines.config import ChecksConfig
from pipelines.dataset.uses import Uses
from pipelines.scenes.plan import plan_scene
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.library import scenes_config, write_library

CONFIG = scenes_config(num_scenes=60, scenes_per_shard=60, size_px=128)
LIMITS = ChecksConfig()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("planned"))
    write_library(root, real=tuple(range(20)), generated=tuple(range(20)), photographs=tuple(range(20)))
    store = Store(root)
    stage = ScenesStage(store, Store(f"{root}/photographs"), CONFIG)
    report = run_stage(stage, store, SerialEngine())
    return report, checks.rows_of(store, report), stage.keys("00000")


@pytest.fixture
def rows(made):
    return [dict(row) for row in made[1]]


def test_made_scenes_are_as_planned(made, rows):
    report, _, keys = made
    assert not any("enlarged" in name for name in report.counts)
    result = scene_checks.as_planned(rows, keys, CONFIG, LIMITS)
    assert result.passed, result.sentence
    assert scene_checks.enlarged_within_limits(rows, CONFIG).passed


def test_drops_that_bend_the_shares_are_seen(rows):
    keys = sorted({row["key"] for row in rows})
    crowded = {key for key in keys if len(plan_scene(CONFIG, key)) == 3}
    kept = [row for row in rows if row["key"] not in crowded]
    result = scene_checks.as_planned(kept, keys, CONFIG, LIMITS)
    assert not result.passed and "layers 3" in result.sentence
    # The same number dropped evenly bends nothing.
    assert result.figures["difference"] == pytest.approx(len(crowded) / len(keys), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"amodal_area_px": 0.9 * 128**2}, "area 0.9"),
        ({"occluded_fraction": 0.99}, "occluded fraction 0.99"),
        ({"size_class": "huge"}, "huge"),
        ({"num_layers": 7}, "7 layers"),
    ],
)
def test_a_layer_off_its_plan_is_seen(made, rows, change, why):
    rows[0] |= change
    result = scene_checks.as_planned(rows, made[2], CONFIG, LIMITS)
    assert not result.passed and why in result.figures["bad"][0]


def test_border_contact_that_was_not_planned_is_seen_but_for_cut_cutouts(made, rows):
    row = next(row for row in rows if not row["border_contact"])
    row["border_contact"] = True
    assert not scene_checks.as_planned(rows, made[2], CONFIG, LIMITS).passed
    row["completeness"] = "cut"
    assert scene_checks.as_planned(rows, made[2], CONFIG, LIMITS).passed


@pytest.mark.parametrize("column", ["scale", "background_enlargement"])
def test_too_much_enlargement_is_seen(rows, column):
    rows[0][column] = 3.0
    result = scene_checks.enlarged_within_limits(rows, CONFIG)
    assert not result.passed and result.figures["bad"] == [f"{rows[0]['key']}/0"]


def test_blurred_objects_are_seen(rows):
    sharp = [row | {"sharpness": 100.0, "sharpness_around": 90.0} for row in rows]
    blurred = [row | {"sharpness": 5.0, "sharpness_around": 90.0} for row in rows]
    assert scene_checks.sharpness_alike(sharp, LIMITS).passed
    assert not scene_checks.sharpness_alike(blurred, LIMITS).passed
    unmeasured = [row | {"sharpness": None} for row in rows]
    assert not scene_checks.sharpness_alike(unmeasured, LIMITS).passed


def test_a_foreground_in_too_many_scenes_is_seen():
    uses = {"foreground mulan": Uses(10, 0.1, 3.0, 40, 0.5), "background photos": Uses(2, 0.0, 300.0, 300, 0.5)}
    assert checks.even_uses(uses, ChecksConfig(max_uses=40)).passed
    result = checks.even_uses(uses, ChecksConfig(max_uses=39))
    assert not result.passed and "at most 40" in result.sentence
