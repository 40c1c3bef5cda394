"""The asset of own cutouts, and the folder that it is observed by."""

from pathlib import Path

import dagster as dg
import numpy as np
from PIL import Image

from assets_defs.automation.inputs import watched_inputs
from assets_defs.definitions import build_defs
from assets_defs.plan import Plan
from assets_defs.sources.cutouts import cutouts_assets
from profiles.profile import Profile, load_profile
from tests.assets_defs.small import materializations
from tests.library import shape_rgba


def own(tmp_path: Path, **changes: str) -> Profile:
    folder = tmp_path / "cutouts"
    for i in range(5):
        (folder / "dog").mkdir(parents=True, exist_ok=True)
        Image.fromarray(shape_rgba(i)).save(folder / f"dog/{i}.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "opaque.png")
    overrides = {"cutouts.source": "folder", "cutouts.folder": str(folder), "engine.kind": "serial"}
    limits = {"checks.max_drop_share.cutouts.unreadable": "0.2"}
    return load_profile("demo", str(tmp_path / "root"), overrides | limits | changes)


def test_own_cutouts_are_an_asset_before_the_library(tmp_path: Path) -> None:
    profile = own(tmp_path)
    graph = build_defs(profile=profile).resolve_asset_graph()
    parents = graph.get(dg.AssetKey("cutout_foregrounds")).parent_keys
    assert {key.to_user_string() for key in parents} == {"cutouts_folder"}
    assert dg.AssetKey("cutout_foregrounds") in graph.get(dg.AssetKey("foreground_library")).parent_keys
    result = dg.materialize(cutouts_assets(Plan(profile)))
    metadata = materializations(result)["cutout_foregrounds"].metadata
    assert result.success and metadata["dagster/row_count"].value == 5 and "preview" in metadata


def test_too_many_unusable_cutouts_fail_the_check(tmp_path: Path) -> None:
    profile = own(tmp_path, **{"checks.max_drop_share.cutouts.unreadable": "0.1"})
    result = dg.materialize(cutouts_assets(Plan(profile)), raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed and "no_alpha" in str(check.metadata)


def test_a_new_cutout_changes_the_observed_version(tmp_path: Path) -> None:
    (watched,) = (found for found in watched_inputs(Plan(own(tmp_path))) if found.name == "cutouts_folder")
    before = watched.version(), watched.stamp()
    assert before == (watched.version(), watched.stamp())
    Image.fromarray(shape_rgba(9)).save(tmp_path / "cutouts/dog/9.png")
    assert watched.version() != before[0] and watched.stamp() != before[1]
