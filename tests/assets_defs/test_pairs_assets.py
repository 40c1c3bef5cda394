"""The asset of before/after pairs, the folder that it is observed by, and the adapter that waits for it."""

from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from assets_defs.automation.inputs import watched_inputs
from assets_defs.definitions import build_defs
from assets_defs.plan import Plan
from assets_defs.sources.pairs import pairs_assets
from profiles.profile import Profile, load_profile
from tests.assets_defs.small import materializations
from tests.library import write_library
from tests.pairs import pair, save, write_pairs


def own(tmp_path: Path, **changes: str) -> Profile:
    folder = write_pairs(tmp_path / "pairs", 5)
    (folder / "mask/p4.png").unlink()
    overrides = {"pairs.source": "folder", "pairs.folder": str(folder), "engine.kind": "serial", "scenes.size_px": "64"}
    limits = {"checks.max_drop_share.pairs.unreadable": "0.2"}
    return load_profile("demo", str(tmp_path / "root"), overrides | limits | changes)


def test_pairs_are_an_asset_after_the_library_and_before_the_adapter(tmp_path: Path) -> None:
    profile = own(tmp_path)
    graph = build_defs(profile=profile).resolve_asset_graph()
    parents = {key.to_user_string() for key in graph.get(dg.AssetKey("removal_pairs")).parent_keys}
    assert parents == {"pairs_folder", "foreground_library", "background_library"}
    assert dg.AssetKey("removal_pairs") in graph.get(dg.AssetKey("adapter")).parent_keys
    plain = build_defs(profile=load_profile("demo", str(tmp_path / "plain"))).resolve_asset_graph()
    assert dg.AssetKey("removal_pairs") not in plain.get_all_asset_keys()
    write_library(profile.root)
    result = dg.materialize(pairs_assets(Plan(profile)))
    metadata = materializations(result)["removal_pairs"].metadata
    assert result.success and metadata["dagster/row_count"].value == 4 and "preview" in metadata
    assert "missing_mask" in str(metadata)


def test_too_many_unusable_pairs_fail_the_check(tmp_path: Path) -> None:
    profile = own(tmp_path, **{"checks.max_drop_share.pairs.unreadable": "0.1"})
    write_library(profile.root)
    result = dg.materialize(pairs_assets(Plan(profile)), raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed and "missing_mask" in str(check.metadata)


def test_a_new_pair_changes_the_observed_version(tmp_path: Path) -> None:
    (watched,) = (found for found in watched_inputs(Plan(own(tmp_path))) if found.name == "pairs_folder")
    before = watched.version(), watched.stamp()
    assert before == (watched.version(), watched.stamp())
    save(tmp_path / "pairs", "new", pair(9))
    changed = watched.version()
    assert changed != before[0] and watched.stamp() != before[1]
    Image.new("RGB", (9, 9)).save(tmp_path / "pairs/image/new.png")
    assert watched.version() != changed


def test_impossible_values_are_refused_with_their_keys(tmp_path: Path) -> None:
    for key, value, says in (
        ("pairs.source", "folder", r"pairs: folder must name a folder"),
        ("pairs.layout", "rrod", r"pairs: layout must be one of plain, rord.*got 'rrod'"),
        ("pairs.num_shards", "0", r"pairs\.num_shards must be in \[1, 2000\], got 0"),
        ("training.changes", '{"data.pairs_share" = 0.5}', r"data\.pairs_share = 0\.5 .*pairs\.source = \"none\""),
        ("training.changes", '{"data.pairs_share" = 1.5}', r"data\.pairs_share must be"),
    ):
        with pytest.raises(ValueError, match=says):
            load_profile("demo", str(tmp_path), {key: value})


def test_a_commercial_profile_refuses_pairs_of_a_licence_that_forbids_it(tmp_path: Path) -> None:
    from pipelines.commercial import obstacles

    found = own(tmp_path, **{"pairs.licence": "CC-BY-NC-4.0", "licences.commercial": "true"})
    assert any(line.startswith("pairs.licence brings in before/after pairs") for line in obstacles(found))
