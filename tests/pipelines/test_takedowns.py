"""A takedown from the list to the last byte: found, remade where it was drawn, and nothing else touched."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from commands.main import app
from pipelines.factory import Factory
from pipelines.library import takedowns
from pipelines.library.catalogue import read_catalogue
from pipelines.library.records import ForegroundRecord
from pipelines.scenes.read import scene_keys
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from pipelines.takedowns import find_takedowns, planned_shards
from profiles.profile import load_profile

SMALL = {
    "scenes.num_scenes": "12",
    "scenes.scenes_per_shard": "2",
    "scenes.size_px": "96",
    "held_out.num_scenes": "4",
    "generated.prompts_per_category": "2",
    "generated.size_px": "160",
    "engine.kind": "serial",
}
FOLDERS = ("scenes", "masks", "edges", "segmentation", "depth", "shards")


def factory(root: Path) -> Factory:
    changes = {"library.takedowns": json.dumps(str(root / "takedowns.txt"))}
    return Factory(load_profile("demo", str(root), SMALL | changes), Store(str(root)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("takedowns")
    (root / "takedowns.txt").write_text("")
    factory(root).make_shards()
    factory(root).make_held_out()
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change; photographs of the sources are found in it, for paths are relative."""
    return Path(shutil.copytree(made, tmp_path / "root"))


def test_every_dataset_of_a_profile_is_looked_through(tmp_path: Path) -> None:
    folders = {folder for folder, _ in planned_shards(factory(tmp_path))}
    assert folders == set(takedowns.FOLDERS) >= {"real_only/scenes", "real_only/shards"}


def state(root: Path) -> dict[str, tuple[bytes, int]]:
    """Path -> bytes and time of last change, of every shard file."""
    paths = [path for top in ("", "held_out/") for folder in FOLDERS for path in (root / (top + folder)).glob("0*.*")]
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def drawn(root: Path, folder: str) -> dict[str, set[str]]:
    """Shard -> ids of all assets drawn, those of refused draws too."""
    found = {}
    for path in sorted((root / folder).glob("*.parquet")):
        draws = pq.read_table(path, columns=["draws"])["draws"].to_pylist()
        found[path.stem] = {token.rpartition("@")[0] for tokens in draws for token in tokens}
    return found


def rare_asset(root: Path, folder: str) -> str:
    """An asset that some shards show, and not all of them draw."""
    by_shard = drawn(root, folder)
    shown = {asset: shard for shard in by_shard for asset in read_manifest(Store(str(root)), folder, shard).assets}
    counts = {asset: sum(asset in ids for ids in by_shard.values()) for asset in shown}
    return min((count, asset) for asset, count in counts.items())[1]


def test_nothing_listed_reaches_nothing(made: Path):
    report = find_takedowns(factory(made))
    assert report.shards == () and report.removed == {}


def test_exactly_the_listed_shards_are_made_again(root: Path):
    asset = rare_asset(root, "scenes")
    (root / "takedowns.txt").write_text(f"{asset}  # its owner asked\n")
    report = find_takedowns(factory(root))
    assert asset in report.removed and report.holding
    listed = {shard.shard for shard in report.shards if shard.folder == "scenes"}
    drew = {shard.shard for shard in report.shards if shard.folder == "scenes" and shard.drawn}
    assert drew == {shard for shard, ids in drawn(root, "scenes").items() if ids & report.removed.keys()} <= listed
    assert {shard.shard for shard in report.shards if shard.folder == "shards"} == listed
    assert 0 < len(listed) < 6

    before = state(root)
    factory(root).make_shards()
    after = state(root)
    remade = {path for path in before if after[path][1] != before[path][1]}
    assert remade == {f"{folder}/{shard}.{end}" for folder in FOLDERS for shard in listed for end in ENDS}
    assert all(after[path] == before[path] for path in before.keys() - remade)
    assert find_takedowns(factory(root)).holding == []
    assert all(asset not in ids for ids in drawn(root, "shards").values())


ENDS = ("tar", "parquet", "json")


def test_scenes_that_did_not_draw_it_keep_their_bytes_in_a_shard_that_is_made_again(root: Path):
    asset = rare_asset(root, "scenes")
    store = Store(str(root))
    shard = next(shard for shard, ids in drawn(root, "scenes").items() if asset in ids)
    table = pq.read_table(root / f"scenes/{shard}.parquet", columns=["key", "draws"]).to_pylist()
    touched = {row["key"] for row in table if any(token.startswith(f"{asset}@") for token in row["draws"])}
    before = read_manifest(store, "scenes", shard)
    (root / "takedowns.txt").write_text(f"{asset}\n")
    removed = find_takedowns(factory(root)).removed
    touched |= {row["key"] for row in table if any(token.rpartition("@")[0] in removed for token in row["draws"])}
    factory(root).make_shards()
    after = read_manifest(store, "scenes", shard)
    untouched = set(scene_keys(before)) - touched
    hashes = [{m.name: m.sha256 for m in manifest.members} for manifest in (before, after)]
    names = [name for name in hashes[0] if name.split(".")[0] in untouched]
    assert all(hashes[0][name] == hashes[1][name] for name in names)
    assert hashes[0] != hashes[1]


def test_an_origin_takes_all_of_its_assets_and_reaches_held_out_shards(root: Path):
    records = {record.id: record for record in read_catalogue(Store(str(root)), ForegroundRecord)[0]}
    asset = next(a for a in sorted(set().union(*drawn(root, "held_out/scenes").values())) if a in records)
    (root / "takedowns.txt").write_text(f"{records[asset].origin}\n")
    report = find_takedowns(factory(root))
    assert {record.id for record in records.values() if record.origin == records[asset].origin} <= set(report.removed)
    assert {shard.folder for shard in report.shards} >= {"held_out/scenes", "held_out/shards"}
    factory(root).make_held_out()
    assert asset not in set().union(*drawn(root, "held_out/shards").values())
    assert find_takedowns(factory(root)).holding == []


def test_a_copy_of_a_listed_picture_goes_with_it(root: Path):
    source = Store(str(root / "sources/photographs"))
    name = next(name for name in source.names("") if name.endswith(".jpg"))
    source.write(f"copy-of-{name}", source.read(name))
    lines = source.read("attribution.csv").decode().splitlines()
    of_it = next(line for line in lines if line.startswith(f"{name},"))
    source.write("attribution.csv", "\n".join([*lines, f"copy-of-{of_it}", ""]).encode())
    stem = name.removesuffix(".jpg")
    (root / "takedowns.txt").write_text(f"packaged-{stem}\n")
    whole = factory(root)
    whole.make_library()
    drops = [json.loads(line) for line in (root / "quarantine/library-backgrounds.jsonl").read_text().splitlines()]
    gone = {drop["id"]: drop["detail"] for drop in drops if drop["reason"] == "takedown"}
    assert gone[f"packaged-copy-of-{stem}"].startswith(f"repeats packaged-{stem}, ")


def test_the_command_lists_and_leaves_with_one_until_all_is_made_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    asset = rare_asset(root, "scenes")
    (root / "takedowns.txt").write_text(f"{asset}\nnobody-knows-this\n")
    for key, value in (SMALL | {"library.takedowns": json.dumps(str(root / "takedowns.txt"))}).items():
        monkeypatch.setenv("DECOUPAGE__" + key.upper().replace(".", "__"), value)
    arguments = ["takedowns", "list", "--profile", "demo", "--root", str(root)]
    listed = CliRunner().invoke(app, [*arguments, "--json"])
    report = json.loads(listed.stdout)
    assert listed.exit_code == 1 and report["unmatched"] == ["nobody-knows-this"]
    assert "1 of 2 lines match nothing in" in report["note"]
    assert report["num_holding"] == sum(bool(shard["shown"]) for shard in report["shards"]) > 0
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 1 and "the next run makes it again" in shown.stdout
    factory(root).make_shards()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (root / "takedowns.txt").write_text(f"{asset.upper()}\n")
    wrong = CliRunner().invoke(app, arguments)
    assert wrong.exit_code == 1 and f"'{asset.upper()}' (is '{asset}' meant?)" in wrong.stdout


def test_a_shard_that_no_profile_plans_any_more_is_told(root: Path):
    for folder in ("scenes", "shards"):
        for end in ENDS:
            shutil.copy(root / f"{folder}/00000.{end}", root / f"{folder}/00077.{end}")
        manifest = read_manifest(Store(str(root)), folder, "00000")
        (root / f"{folder}/00077.json").write_bytes(replace(manifest, shard="00077").to_json())
    asset = read_manifest(Store(str(root)), "shards", "00077").assets[0]
    (root / "takedowns.txt").write_text(f"{asset}\n")
    found = {(shard.folder, shard.shard): shard.planned for shard in find_takedowns(factory(root)).shards}
    assert found["shards", "00077"] is False and found["shards", "00000"] is True
