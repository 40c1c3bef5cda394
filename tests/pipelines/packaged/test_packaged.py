"""The packaged photographs as a MuLAn tree and as backgrounds: complete, exact, licensed, the same every time."""

import csv
import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgb
from pipelines.backgrounds.attribution import COLUMNS
from pipelines.config import GateConfig
from pipelines.foregrounds.mulan.files import find_annotations
from pipelines.foregrounds.mulan.reader import read_decomposition
from pipelines.foregrounds.mulan.stage import MulanForegrounds
from pipelines.packaged import mulan_tree
from pipelines.packaged.cutouts import packaged_cutouts
from pipelines.packaged.held_out import held_out
from pipelines.packaged.mulan_tree import HELD_OUT, VARIANTS, inpaint, write_mulan_tree
from pipelines.packaged.objects import OBJECTS
from pipelines.packaged.photographs import PHOTOGRAPHS, PackagedPhotograph, find, write_photographs
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from profiles.profile import load_profile


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    write_mulan_tree(folder)
    return folder


@pytest.fixture(scope="module")
def foregrounds(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, list[dict[str, object]]]:
    root = tmp_path_factory.mktemp("root")
    stage = MulanForegrounds(tree / "annotations", tree / "images", GateConfig(min_area_px=2000), 2)
    report = run_stage(stage, Store(str(root)), SerialEngine())
    rows = [row for s in report.shards for row in pq.read_table(root / f"foregrounds/mulan/{s}.parquet").to_pylist()]
    return report, rows


def test_every_photograph_is_there_and_named_once() -> None:
    names = [photograph.name for photograph in PHOTOGRAPHS]
    assert len(set(names)) == len(names)
    for photograph in PHOTOGRAPHS:
        rgb = photograph.read()
        height, width = rgb.shape[:2]
        assert photograph.licence and photograph.attribution and photograph.caption
        assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in photograph.crops)
        assert (photograph.role == "both") == (photograph.name in OBJECTS and bool(photograph.crops))
    assert set(OBJECTS) <= set(names)


def test_an_absent_package_is_named() -> None:
    with pytest.raises(BadSetup, match=r"no_such_package does not contain a\.png"):
        _ = PackagedPhotograph("x", "no_such_package", "a.png", "l", "a", "c", "background").path


def test_the_tree_is_in_mulans_form(tree: Path) -> None:
    files = list(find_annotations(tree / "annotations"))
    assert len(files) == len(OBJECTS)
    assert all(len(file.id) == 12 and file.id.isdigit() for file in files)
    assert all(zlib.decompress(file.path.read_bytes())[:1] == b"\x80" for file in files)
    protocols = {zlib.decompress(file.path.read_bytes())[1] for file in files}
    assert protocols == {variant.protocol for variant in VARIANTS} == {2, 3, 4, 5}
    known = json.loads((tree / "annotations/photographs.json").read_text())
    for file in files:
        subset = "val2017" if known[file.id]["name"] in HELD_OUT else "train2017"
        assert (tree / "images" / subset / f"{file.id}.jpg").is_file()


def test_every_file_rebuilds_consistently(tree: Path) -> None:
    known = json.loads((tree / "annotations/photographs.json").read_text())
    for file in find_annotations(tree / "annotations"):
        found = read_decomposition(file, tree / "images")
        assert len(found.layers.instances) == len(OBJECTS[known[file.id]["name"]])
        assert 0 <= found.layers.consistency_error < 1.0
        photograph = decode_rgb(found.photograph.path.read_bytes())
        for rgba in found.layers.instances:
            visible = rgba[..., 3] > 0
            assert (rgba[visible][:, :3] == photograph[visible]).all()
            assert not rgba[~visible][:, :3].any()


def test_the_tree_gives_enough_foregrounds(foregrounds: tuple[Report, list[dict[str, object]]]) -> None:
    report, rows = foregrounds
    train = [row for row in rows if row["split"] == "train"]
    assert len(train) >= 6 and len({row["origin"] for row in train}) >= 4
    # The rocket is held out, too, but its cutout is dropped (below).
    assert {row["origin"] for row in rows if row["split"] == "test"} == set(HELD_OUT) - {"rocket"}
    assert len(HELD_OUT) >= 5
    assert {row["licence"] for row in rows} <= {"public-domain", "cc0-1.0", "cc-by-2.0", "unknown"}
    assert all(row["category"] and row["caption"] and row["attribution"] for row in rows)
    # The rocket is as thin as things in MuLAn can be: the demo shows a drop with its reason.
    assert report.drops_by_reason == {"too_small": 1}


def test_the_profile_holds_out_what_the_hashes_choose() -> None:
    chosen = held_out()
    profile = load_profile("demo").library
    assert (profile.held_out, profile.held_out_share) == (tuple(name for names in chosen.values() for name in names), 0)
    assert set(HELD_OUT) == set(profile.held_out) & set(OBJECTS)
    # Said again here, so that nobody changes the rule and the list together.
    names = _named()["rendered"]
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"rendered:{name}".encode()).hexdigest())
    found = [name for name in ranked if names[name] in chosen["rendered"]]
    assert found == ranked[: len(found)] and len(found) == len(chosen["rendered"])
    assert len(found) < len(names)


def _named() -> dict[str, dict[str, str]]:
    """Kind -> name that is hashed -> origin."""
    rendered = {cutout.name: f"rendered:{cutout.category}/{cutout.name}/0" for cutout in packaged_cutouts()}
    found: dict[str, dict[str, str]] = {"background": {}, "object": {}, "rendered": rendered}
    for photograph in PHOTOGRAPHS:
        kind = "object" if photograph.role == "foregrounds" else "background"
        found[kind][photograph.name] = photograph.name
    return found


def test_enough_is_held_out_and_enough_is_left() -> None:
    chosen, there = held_out(), _named()
    assert len(chosen["background"]) >= 12 and len(there["background"]) - len(chosen["background"]) >= 4
    assert len(chosen["rendered"]) >= 20 and len(there["rendered"]) - len(chosen["rendered"]) >= 60
    assert len(chosen["object"]) >= 4 and len(there["object"]) - len(chosen["object"]) >= 4


def test_the_same_photographs_give_the_same_bytes(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first one alone, in a generator that others have not used before it.
    first = next(iter(OBJECTS))
    monkeypatch.setattr(mulan_tree, "OBJECTS", {first: OBJECTS[first]})
    write_mulan_tree(tmp_path)
    subset = "val2017" if first in HELD_OUT else "train2017"
    for file in ("annotations/000000000001.p.zl", f"images/{subset}/000000000001.jpg"):
        assert (tree / file).read_bytes() == (tmp_path / file).read_bytes()


def test_inpainting_leaves_the_rest_alone_and_fills_from_it() -> None:
    rgb = np.full((90, 121, 3), (10, 120, 230), np.uint8)
    hole = np.zeros((90, 121), bool)
    hole[30:60, 40:90] = True
    rgb[hole] = 255
    filled = inpaint(rgb, hole)
    assert (filled[~hole] == rgb[~hole]).all()
    assert np.abs(filled[hole].astype(int) - (10, 120, 230)).max() <= 3


def test_backgrounds_come_with_attribution(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    with (tmp_path / "attribution.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        assert tuple(reader.fieldnames or ()) == COLUMNS
    assert len(rows) >= 40
    assert {row["file"] for row in rows} == {path.name for path in tmp_path.iterdir()} - {"attribution.csv"}
    min_side_px = load_profile("demo").backgrounds.min_side_px
    for row in rows:
        rgb = decode_rgb((tmp_path / row["file"]).read_bytes())
        assert min(rgb.shape[:2]) >= min_side_px
        assert row["licence"] == find(row["origin"]).licence and row["attribution"]
        if "-crop" not in row["file"]:
            assert (tmp_path / row["file"]).read_bytes() == find(row["origin"]).path.read_bytes()
    for origin in {row["origin"] for row in rows}:
        whole = find(origin).role == "background"
        assert sum(row["origin"] == origin for row in rows) == len(find(origin).crops) + whole >= 1
