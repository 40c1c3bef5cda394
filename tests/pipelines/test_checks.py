"""The quick checks: each sees the fault that it is there for."""

from dataclasses import replace

import pytest

from pipelines import checks
from pipelines.config import ChecksConfig, GateConfig, MasksConfig
from pipelines.masks.stage import MaskStage
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.engine import SerialEngine
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from tests.library import scenes_config, write_library


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("checks"))
    library = write_library(root)
    store = Store(root)
    scenes = ScenesStage(store, Store(f"{root}/photographs"), scenes_config(num_scenes=4))
    report = run_stage(scenes, store, SerialEngine())
    run_stage(MaskStage(MasksConfig(), store, scenes), store, SerialEngine())
    return store, library, report


def mask_rows(store):
    return checks.read_rows(store, read_manifest(store, "masks", "00000"))


def report_of(num_items, reasons, stage="scenes", num_rows=0):
    drops = [{"id": str(i), "reason": reason, "detail": ""} for i, reason in enumerate(reasons)]
    manifest = Manifest(stage, "00000", "f", {}, num_items, num_rows, 0, "", "", [], drops)
    return Report(stage, {"00000": manifest}, 1, 0.0)


def test_sound_scenes_pass_everything(made):
    store, library, report = made
    rows = [row for manifest in report.shards.values() for row in checks.read_rows(store, manifest)]
    results = [
        checks.scene_drops(report, ChecksConfig()),
        checks.layers_per_scene(rows),
        checks.mask_overlap(mask_rows(store), MasksConfig()),
        checks.counts_against_manifest(store, report),
        checks.occlusion_recomputed(store, report),
        checks.library_size(library, ChecksConfig()),
        checks.alpha_coverage(library, GateConfig()),
    ]
    assert all(result.passed for result in results), [result.sentence for result in results]


def test_too_many_drops_fail_and_name_the_reasons():
    result = checks.quarantine_share(report_of(6, ["truncated", "truncated", "not_zlib"]), ChecksConfig())
    assert not result.passed
    assert "truncated 2, not_zlib 1" in result.sentence and "33.3%" in result.sentence
    assert checks.quarantine_share(report_of(9, ["truncated"]), ChecksConfig()).passed


def test_foreground_sources_count_cutouts_not_files():
    # One file with nine good cutouts and one bad one is a share of a tenth, not of a half.
    report = report_of(1, ["haze"], stage="foregrounds/mulan", num_rows=9)
    assert checks.quarantine_share(report, ChecksConfig(max_quarantine_share=0.1)).passed
    assert not checks.quarantine_share(report, ChecksConfig(max_quarantine_share=0.09)).passed


def test_a_missing_layer_is_seen(made):
    store, _, report = made
    rows = [row for manifest in report.shards.values() for row in checks.read_rows(store, manifest)]
    several = next(row for row in rows if row["num_layers"] > 1)
    rows.remove(several)
    assert checks.layers_per_scene(rows).figures["bad"] == [several["key"]]


def test_a_mask_far_from_its_target_is_seen(made):
    store, _, _ = made
    rows = mask_rows(store)
    rows[0]["mask_iou"] = 0.1
    result = checks.mask_overlap(rows, MasksConfig())
    assert not result.passed and result.figures["lowest_iou"] == 0.1


def test_a_wrong_count_is_seen(made):
    store, _, report = made
    shards = {shard: replace(manifest, num_items=manifest.num_items + 1) for shard, manifest in report.shards.items()}
    assert checks.counts_against_manifest(store, replace(report, shards=shards)).figures["bad"] == ["00000"]


def test_a_small_library_and_a_full_box_are_seen(made):
    _, library, _ = made
    assert not checks.library_size(library, ChecksConfig(min_foregrounds=500)).passed
    full = replace(library, records=[replace(library.records[0], alpha_mean=0.999)])
    assert not checks.alpha_coverage(full, GateConfig()).passed


def test_missing_scenes_are_seen():
    from profiles.profile import load_profile

    profile = load_profile()
    assert checks.scenes_planned(640, profile).passed and not checks.scenes_planned(600, profile).passed
