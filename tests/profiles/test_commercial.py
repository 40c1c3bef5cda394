"""By no way does anything enter a commercial build that is not known to permit commercial use."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from assets_defs.plan import Plan
from commands.doctor import examine
from commands.main import app
from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines import checks
from pipelines.commercial import uses
from pipelines.factory import Factory
from pipelines.library.catalogue import read_catalogue
from pipelines.library.names import asset_id
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.licences.terms import why_not_commercial
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from profiles.commercial import load_permitted, obstacles
from profiles.profile import load_profile
from tests.library import write_photographs

COMMERCIAL = {"licences.commercial": "true"}
NON_COMMERCIAL = "cc-by-nc-4.0"
SMALL = {
    "scenes.num_scenes": "8",
    "scenes.scenes_per_shard": "4",
    "scenes.size_px": "96",
    "held_out.num_scenes": "2",
    "generated.prompts_per_category": "2",
    "generated.size_px": "160",
    "engine.kind": "serial",
}
MULAN = {"mulan.source": '"folder"', "mulan.annotations": '"a"', "mulan.images": '"i"', "scenes.generated_share": "0.5"}
FLUX = {"training.recipe": '"small_gpu"', "training.rgba_vae": '"rgba_vae"'}
BY_NAME = {
    "MULAN": (MULAN, "mulan.source", "cc-by-nc-sa-4.0"),
    "generator": ({"generated.generator": '"layerdiffuse_flux"'}, "generated.generator", "flux-1-dev"),
    "generator's base": ({"generated.base": '"black-forest-labs/FLUX.1-dev"'}, "generated.base", "flux-1-dev"),
    "generator's folder": ({"generated.base": '"/weights/mine"'}, "generated.base", "unknown"),
    "LayerDiffuse's files": ({"generated.weights": '"somebody/else"'}, "generated.weights", "unknown"),
    "SegFormer": ({"maps.segmentation.model": '"segformer"'}, "maps.segmentation.model", "nvidia-non-commercial"),
    "a larger depth net": (
        {"maps.depth.weights": '"depth-anything/Depth-Anything-V2-Large-hf"'},
        *("maps.depth.model", "cc-by-nc-4.0"),
    ),
    "an unknown depth net": ({"maps.depth.weights": '"somebody/depth"'}, "maps.depth.model", "unknown"),
    "a folder of a depth net": ({"maps.depth.folder": '"/weights/depth"'}, "maps.depth.folder", "unknown"),
    "photographs": ({"backgrounds.licence": '"CC BY-NC 2.0"'}, "backgrounds.licence", "cc-by-nc-2.0"),
    "base model": (FLUX, "the recipe's base", "flux-1-dev"),
    "base's weights": ({"training.base": '"/weights/base"'}, "training.base", "unknown"),
    "base by another id": (FLUX | {"training.base": '"somebody/flux"'}, "training.base", "unknown"),
}


def test_the_commercial_profile_permits_all_that_it_names(tmp_path):
    profile = load_permitted("commercial", str(tmp_path))
    assert profile.licences.commercial and obstacles(profile) == []
    named = {use.name for use in uses(profile)}
    assert {"layerdiffuse", "felzenszwalb", "depth_anything_v2"} <= named
    assert "mulan_foregrounds" not in {str(key.path[-1]) for asset in definitions(profile) for key in asset.keys}


def definitions(profile):
    from assets_defs.library import library_assets
    from assets_defs.sources import source_assets

    return [*source_assets(Plan(profile)), *library_assets(Plan(profile))]


@pytest.mark.parametrize("way", BY_NAME)
def test_a_profile_that_names_what_forbids_it_starts_nowhere(tmp_path, way):
    changes, key, licence = BY_NAME[way]
    with pytest.raises(BadSetup, match=r"licences\.commercial = true") as refused:
        load_permitted("commercial", str(tmp_path), changes)
    assert key in str(refused.value) and licence in str(refused.value)
    profile = load_profile("commercial", str(tmp_path), changes)
    with pytest.raises(BadSetup, match="brings in what forbids it"):
        Plan(profile)
    if not key.startswith(("training", "the recipe")):
        factory = Factory(profile, Store(profile.root))
        for start in (factory.make_library, factory.foreground_library, factory.background_library):
            with pytest.raises(BadSetup, match="brings in what forbids it"):
                start()
    assert list(tmp_path.iterdir()) == []


def test_all_obstacles_are_named_at_once_and_by_the_doctor(tmp_path):
    with pytest.raises(BadSetup) as refused:
        load_permitted("paper", str(tmp_path), COMMERCIAL)
    for part in ('set mulan.source = "none"', "segformer", "flux-fill"):
        assert part in str(refused.value)
    missing = [n for n in examine(load_profile("paper", str(tmp_path), COMMERCIAL)).missing if n.name == "licences"]
    assert len(missing) == 3
    assert load_permitted("paper", str(tmp_path)).name == "paper"


def test_the_commands_refuse(tmp_path, monkeypatch):
    monkeypatch.setenv("DECOUPAGE__LICENCES__COMMERCIAL", "true")
    for command in (["scenes", "make"], ["takedowns", "list"]):
        done = CliRunner().invoke(app, [*command, "--profile", "paper", "--root", str(tmp_path)])
        assert isinstance(done.exception, BadSetup) and "mulan.source" in str(done.exception)


def test_without_mulan_everything_is_generated():
    with pytest.raises(ValueError, match=r"generated_share must be 1\.0"):
        load_profile("demo", None, {"mulan.source": '"none"'})


# ---- by content: what the sources, and the store, really hold


def factory(root: Path, **changes: str) -> Factory:
    given = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    return Factory(load_profile("demo", str(root), given), Store(str(root)))


def commercial(root: Path, **changes: str) -> Factory:
    return factory(root, licences__commercial="true", **changes)


def commercial_use(of: Factory) -> checks.CheckResult:
    stages = (of.shards, of.held_out.shards)
    return checks.commercial_use(of.store, of.config, {stage.name: fingerprint(stage.recipe) for stage in stages})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of an ordinary profile: many of its photographs, of both kinds, forbid commercial use."""
    root = tmp_path_factory.mktemp("ordinary")
    factory(root).write_packaged_sources()
    path = root / "sources/photographs/attribution.csv"
    lines = path.read_text().splitlines()
    forbidden = ("grass", "night", "path")
    changed = [line.replace("cc0-1.0", NON_COMMERCIAL) if line.split(",")[1] in forbidden else line for line in lines]
    assert changed != lines
    path.write_text("\n".join([*changed, ""]))
    path = root / "sources/mulan/annotations/photographs.json"
    entries = json.loads(path.read_text())
    for entry in entries.values():
        entry["licence"] = NON_COMMERCIAL if entry["licence"] == "cc0-1.0" else entry["licence"]
    path.write_text(json.dumps(entries))
    factory(root).make_shards()
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "root"))


def shown_licences(root: Path) -> set[str]:
    columns = ["foreground_licence", "background_licence"]
    tables = [pq.read_table(path, columns=columns) for path in (root / "shards").glob("*.parquet")]
    return {licence for table in tables for column in columns for licence in table[column].to_pylist()}


def test_a_store_with_forbidden_scenes_is_seen_and_made_again(root: Path):
    assert NON_COMMERCIAL in shown_licences(root)
    before = commercial_use(commercial(root))
    assert not before.passed and NON_COMMERCIAL in before.figures["licences"]
    assert commercial_use(factory(root)).passed  # Where nobody asks for it, nothing is refused.
    again = commercial(root)
    again.make_shards()
    assert {"cc0-1.0", "public-domain"} <= shown_licences(root)  # What may stay, stays.
    assert not {name for name in shown_licences(root) if why_not_commercial(name)}
    assert commercial_use(again).passed
    kept = [r for kind in (ForegroundRecord, BackgroundRecord) for r in read_catalogue(again.store, kind)[0]]
    assert not any(why_not_commercial(record.licence) for record in kept)
    drops = (root / "quarantine/library-foregrounds.jsonl").read_text() + (
        root / "quarantine/library-backgrounds.jsonl"
    ).read_text()
    assert {json.loads(line)["reason"] for line in drops.splitlines()} >= {"licence"}


def test_shards_that_are_left_over_of_a_larger_run_are_seen(root: Path):
    smaller = commercial(root, scenes__num_scenes="4")
    smaller.make_shards()
    left_over = pq.read_table(root / "shards/00001.parquet", columns=["background_licence", "foreground_licence"])
    assert NON_COMMERCIAL in {value for column in left_over.columns for value in column.to_pylist()}
    assert not commercial_use(smaller).passed


def test_shards_whose_maps_were_made_by_another_recipe_are_seen(root: Path):
    other = commercial(root, maps__depth__size_px="128")
    result = commercial_use(other)
    assert set(result.figures["other_recipe"]) == {"shards/00000", "shards/00001"} and not result.passed


def test_a_takedown_brings_nothing_forbidden_in(root: Path, tmp_path: Path):
    listed = tmp_path / "takedowns.txt"
    permitted = [
        r.id for r in read_catalogue(Store(str(root)), BackgroundRecord)[0] if not why_not_commercial(r.licence)
    ]
    listed.write_text(permitted[0])
    again = commercial(root, library__takedowns=json.dumps(str(listed)))
    again.make_shards()
    assert commercial_use(again).passed
    assert not {name for name in shown_licences(root) if why_not_commercial(name)}


def test_foregrounds_that_another_profile_left_in_the_store_are_left_out(root: Path):
    """The index of a source says a licence that its generator did not have when the profile was judged."""
    path = root / "foregrounds/generated/00000.parquet"
    table = pq.read_table(path)
    forbidden = table.set_column(
        table.schema.get_field_index("licence"), "licence", [["CC BY-NC 4.0"] * table.num_rows]
    )
    pq.write_table(forbidden, path)
    manifest = read_manifest(Store(str(root)), "foregrounds/generated", "00000")
    there = replace(manifest, parquet_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    path.with_suffix(".json").write_bytes(there.to_json())
    report = commercial(root).foreground_library()
    assert {drop["id"] for drop in report.drops if drop["reason"] == "licence"} >= set(table["id"].to_pylist())
    assert all(record.licence != "CC BY-NC 4.0" for record in report.records)


def of_folder(root: Path, folder: Store) -> Factory:
    shutil.rmtree(root / "backgrounds")
    given = {"backgrounds__source": '"folder"', "backgrounds__folder": json.dumps(folder.root)}
    return commercial(root, backgrounds__min_side_px="100", **given)


@pytest.mark.parametrize("licence", ["CC BY-NC 2.0", "https://creativecommons.org/licenses/by-nd/2.0/", "unknown", ""])
def test_photographs_in_a_folder_are_judged_by_their_own_licence(root: Path, tmp_path: Path, licence: str):
    folder = Store(str(tmp_path / "photographs"))
    write_photographs(folder, tuple(range(6)))
    lines = ["file,origin,licence,attribution,caption,rotation_deg_ccw"]
    lines += [f"photo{i}.png,photo{i},{licence if i == 2 else 'CC BY 2.0'},somebody,,0" for i in range(5)]
    folder.write("attribution.csv", "\n".join(lines).encode())
    # photo5.png is not in the file: of unknown licence.
    of = of_folder(root, folder)
    of.run(of.backgrounds)
    report = of.background_library()
    dropped = {drop["id"] for drop in report.drops if drop["reason"] == "licence"}
    assert dropped == {asset_id("folder", name) for name in ("photo2.png", "photo5.png")}
    assert {record.licence for record in report.records} == {"CC BY 2.0"}


def test_a_library_of_nothing_permitted_stops(root: Path, tmp_path: Path):
    folder = Store(str(tmp_path / "photographs"))
    write_photographs(folder, (1, 2))
    of = of_folder(root, folder)
    of.run(of.backgrounds)
    with pytest.raises(BadSetup, match=r"no usable backgrounds for training.*licence"):
        of.background_library()
