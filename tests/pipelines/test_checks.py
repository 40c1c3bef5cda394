"""The quick checks: each sees the fault that it is there for."""

from dataclasses import replace

import pytest

from pipelines import checks
from pipelines.backgrounds.openimages.fetch import PhotographsReport
from pipelines.config import ChecksConfig, GateConfig, MasksConfig
from pipelines.downloads.item import DownloadReport
from pipelines.index_rows import IndexRows
from pipelines.masks.stage import MaskStage
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.engine import SerialEngine
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from profiles.profile import load_profile
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
    return list(IndexRows.read(store, [read_manifest(store, "masks", "00000")]))


def report_of(num_items, reasons, stage="scenes", num_rows=0, counts=None):
    drops = [{"id": str(i), "reason": reason, "detail": ""} for i, reason in enumerate(reasons)]
    manifest = Manifest(stage, "00000", "f", {}, num_items, num_rows, 0, "", "", [], drops, counts or {})
    return Report(stage, {"00000": manifest}, frozenset(["00000"]), 0.0)


def test_sound_scenes_pass_everything(made):
    store, library, report = made
    rows = list(checks.rows_of(store, report))
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


def test_too_many_dropped_scenes_fail_and_name_the_reasons():
    result = checks.scene_drops(report_of(6, ["no_scene", "no_scene", "hidden"]), ChecksConfig())
    assert not result.passed
    assert "no_scene 2, hidden 1" in result.sentence and "33.3%" in result.sentence
    assert checks.scene_drops(report_of(39, ["hidden"]), ChecksConfig(max_scene_drop_share=0.025)).passed


def test_what_is_unreadable_unlicensed_and_filtered_has_limits_of_its_own():
    # Seven of ten sound instances are refused by size, which is usual; of 20 files one is broken, six are not used.
    drops = ["too_small"] * 70 + ["truncated"] + ["unlicensed"] * 6
    report = report_of(13, drops, "foregrounds/mulan", num_rows=30, counts={"files": 20})
    result = checks.source_drops(report, ChecksConfig())
    assert result.passed
    assert result.sentence.startswith(
        "30 kept, 1 of 20 unreadable (5.0%, at most 5%), 6 of 20 unlicensed (30.0%, at most 60%), "
        "70 of 100 filtered (70.0%, at most 85%): too_small 70"
    )
    shares = [result.figures[f"{kind}_share"] for kind in ("unreadable", "unlicensed", "filtered")]
    assert shares == [0.05, 0.3, 0.7]
    for kind, share in zip(("unreadable", "unlicensed", "filtered"), shares, strict=True):
        for limit, passes in ((share, True), (share - 0.01, False)):
            limits = ChecksConfig().max_drop_share.mulan.model_copy(update={kind: limit})
            config = ChecksConfig(max_drop_share={"mulan": limits})
            again = checks.source_drops(report, config)
            assert again.passed is passes and (f"raise checks.max_drop_share.mulan.{kind}" in again.sentence) != passes


def test_broken_files_are_not_excused_by_a_high_limit_of_the_filters():
    report = report_of(9, ["not_zlib", "truncated"], "foregrounds/mulan", num_rows=40, counts={"files": 11})
    result = checks.source_drops(report, ChecksConfig())
    assert not result.passed and "2 of 11 unreadable (18.2%, at most 5%)" in result.sentence


def test_foreground_sources_count_cutouts_not_files():
    # One file with nine good cutouts and one bad one is a share of a tenth, not of a half.
    report = report_of(1, ["haze"], stage="foregrounds/generated", num_rows=9)

    def limited(share):
        return ChecksConfig(max_drop_share={"generated": {"filtered": share}})

    assert checks.source_drops(report, limited(0.1)).passed
    assert not checks.source_drops(report, limited(0.09)).passed


def test_a_shortfall_of_photographs_is_reported_with_its_cause():
    profile = load_profile(None, None, {"scenes.num_scenes": "1000", "backgrounds.openimages.num_images": "50"})
    report = report_of(20, ["things"] * 8 + ["blurred"] * 2, "backgrounds", num_rows=20)
    downloads = DownloadReport(drops=[{"id": "a", "reason": "gone", "detail": ""}], num_left=4)
    fetched = PhotographsReport(900, {"no_scene": 800, "object": 50, "inside": 10, "bad_id": 0}, 35, downloads)
    result = checks.enough_photographs(report, fetched, profile)
    assert result.passed and result.figures == {"wanted": 50, "found": 30, "kept": 20, "scenes_per_photograph": 50.0}
    few = profile.model_copy(update={"checks": ChecksConfig(max_scenes_per_background=40)})
    result = checks.enough_photographs(report, fetched, few)
    assert not result.passed
    assert "50 photographs wanted, 30 found, 20 kept for 1000 scenes: 50.0 scenes each, at most 40" in result.sentence
    lost = (
        "lost: 15 not in the lists after their filters (no_scene 800, object 50, inside 10), 1 not fetched (gone), "
        "4 left out by backgrounds.openimages.max_gb, 8 refused as things, 2 refused as blurred"
    )
    assert lost in result.sentence and "raise backgrounds.openimages.num_images" in result.sentence


def test_a_missing_layer_is_seen(made):
    store, _, report = made
    rows = list(checks.rows_of(store, report))
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
    # Antennae with soft outlines: an eighth of the box is visible, and by alpha it is less.
    soft = replace(library, records=[replace(library.records[0], alpha_mean=0.11, soft_share=0.2)])
    assert checks.alpha_coverage(soft, GateConfig()).passed
    hard = replace(library, records=[replace(library.records[0], alpha_mean=0.11, soft_share=0.01)])
    assert not checks.alpha_coverage(hard, GateConfig()).passed


def test_missing_scenes_are_seen():
    profile = load_profile()
    assert checks.scenes_planned(640, profile).passed and not checks.scenes_planned(600, profile).passed
