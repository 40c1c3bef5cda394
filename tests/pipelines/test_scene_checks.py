"""The checks of made against planned, of enlargement and of sharpness: each sees the fault that it is there for."""

import pytest

from pipelines import checks, scene_checks
from pipelines.config import ChecksConfig
from pipelines.dataset.uses import Uses
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
    return report, checks.rows_of(store, report), {key: stage.task.pool.plan(key) for key in stage.keys("00000")}


@pytest.fixture
def rows(made):
    return [dict(row) for row in made[1]]


def test_made_scenes_are_as_planned(made, rows):
    report, _, plans = made
    assert not any("enlarged" in name for name in report.counts)
    result = scene_checks.as_planned(rows, plans, CONFIG, LIMITS)
    assert result.passed, result.sentence
    assert scene_checks.enlarged_within_limits(rows, CONFIG).passed


def test_drops_that_bend_the_shares_are_seen(made, rows):
    keys = sorted({row["key"] for row in rows})
    plans = {key: made[2][key] for key in keys}
    crowded = {key for key in keys if len(plans[key]) == 3}
    kept = [row for row in rows if row["key"] not in crowded]
    result = scene_checks.as_planned(kept, plans, CONFIG, LIMITS)
    assert not result.passed and "layers 3" in result.sentence
    # The same number dropped evenly bends nothing.
    assert result.figures["difference"] == pytest.approx(len(crowded) / len(keys), abs=1e-4)


def test_fewer_layers_than_in_training_are_seen(made, rows):
    plans = made[2].values()
    assert scene_checks.layers_as_in(rows, plans, LIMITS).passed
    # As if the scenes with a generated layer had been left out of others, and not planned anew.
    generated = {row["key"] for row in rows if row["foreground_kind"] == "generated"}
    left = [row for row in rows if row["key"] not in generated]
    result = scene_checks.layers_as_in(left, plans, LIMITS)
    assert left and not result.passed and result.figures["difference"] > 0.1


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
    few = {"41-64": 1}
    uses = {
        "foreground mulan": Uses(10, 0.1, 0, 5.0, 40, 0.5, few),
        "background photos": Uses(2, 0.0, 1, 1.0, 300, 0.5, few),
    }
    assert checks.even_uses(uses, ChecksConfig(max_uses=40)).passed
    result = checks.even_uses(uses, ChecksConfig(max_uses=39))
    assert not result.passed and "at most 40" in result.sentence
    # Forty is eight times the usual number of this source; a source that is hardly drawn has no usual number.
    assert checks.even_uses(uses, ChecksConfig(max_uses_to_median=8.0)).passed
    result = checks.even_uses(uses, ChecksConfig(max_uses_to_median=7.9))
    assert not result.passed and "checks.max_uses_to_median (found 8.0)" in result.sentence
    assert result.figures["max_to_median"] == {"foreground mulan": 8.0}
    rare = {"foreground mulan": Uses(10, 0.9, 0, 0.0, 3, 1.0, few)}
    assert checks.even_uses(rare, ChecksConfig(max_uses_to_median=3.0)).passed
