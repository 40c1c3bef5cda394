"""Before/after pairs as a stage: what is stored, what is refused, and that the bytes are the pairs' own."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from decoupage.faults import BadItem, BadSetup
from decoupage.maps.table import MAPS, decode_maps
from pipelines.backgrounds.attribution import Attribution, attributions_csv
from pipelines.config import LibraryConfig, ScenesConfig
from pipelines.factory import Factory
from pipelines.library.evaluation_lists import HASH_LISTS, hash_list
from pipelines.library.picture_hashes import hash_picture
from pipelines.library.takedowns import read_takedowns
from pipelines.pairs import stage
from pipelines.pairs.cut import cut_out
from pipelines.pairs.parts import PairParts
from pipelines.pairs.reading import Pair
from pipelines.scenes.read import read_members, scene_keys
from pipelines.shards.verify import verify
from pipelines.stages.engine import ProcessEngine
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import Report
from pipelines.stages.store import Store
from pipelines.takedowns import find_takedowns
from profiles.profile import load_profile
from tests.library import write_library
from tests.pairs import build_pairs, pair, save, stage_of, write_pairs


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library")
    write_library(str(root))
    return root


@pytest.fixture
def root(library: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(library, tmp_path / "root"))


def stored(root: Path, report: Report) -> dict[str, tuple[PairParts, dict[str, bytes]]]:
    """Name -> the pair and its members."""
    found, store = {}, Store(str(root))
    for shard in report.shards:
        manifest = read_manifest(store, "pairs", shard)
        assert manifest is not None
        for key in scene_keys(manifest):
            members = read_members(store, manifest, key)
            parts = PairParts.decode(key, members)
            found[parts.record["name"]] = parts, members
    return found


def reasons(report: Report) -> dict[str, str]:
    return {drop["id"]: drop["reason"] for drop in report.drops}


def tars(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "pairs").iterdir()) if path.suffix != ".json"}


def test_a_listed_pair_goes_and_the_others_of_its_shard_keep_their_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, listed = write_pairs(tmp_path / "pairs", 4), tmp_path / "takedowns.txt"
    before = stored(root, build_pairs(root, folder, num_shards=2))
    listed.write_text("p2  # asked for by its author\nsomething else\n")
    monkeypatch.setattr(stage, "read_takedowns", lambda config: read_takedowns(LibraryConfig(takedowns=str(listed))))
    report = build_pairs(root, folder, num_shards=2)
    assert report.num_made == 1 and reasons(report) == {"p2": "takedown"}
    after = stored(root, report)
    assert {name: members for name, (_, members) in after.items()} == {
        name: members for name, (_, members) in before.items() if name != "p2"
    }


def test_the_command_on_takedowns_names_the_shards_that_hold_a_listed_pair(root: Path, tmp_path: Path):
    report = build_pairs(root, write_pairs(tmp_path / "pairs", 4), num_shards=2)
    held = stored(root, report)["p2"][0].record["key"]
    (tmp_path / "takedowns.txt").write_text("p2\n")
    pairs = {"pairs.source": "folder", "pairs.folder": str(tmp_path / "pairs"), "pairs.num_shards": "2"}
    profile = load_profile("demo", str(root), {**pairs, "library.takedowns": str(tmp_path / "takedowns.txt")})
    found = find_takedowns(Factory(profile, Store(str(root))))
    assert list(found.removed) == [held] and not found.unmatched
    (shard,) = found.shards
    assert (shard.folder, shard.shown, shard.planned) == ("pairs", (held,), True)


def test_a_pair_is_stored_as_its_pictures_show_it(root: Path, tmp_path: Path):
    report = build_pairs(root, write_pairs(tmp_path / "pairs", 3, with_foreground=(1,)))
    assert (report.num_items, report.drops) == (3, [])
    for name, (parts, members) in stored(root, report).items():
        assert parts.size == (64, 64) and parts.mask.any() and not parts.mask.all()
        assert parts.has_foreground == (name == "p1") == ("foreground.webp" in members)
        left, top, side = (parts.record[f"{part}_px"] for part in ("left", "top", "side"))
        original = pair(int(name[1:]))
        assert parts.mask.mean() == pytest.approx(original["mask"].sum() / 255 / side**2, rel=0.1)
        window = original["background"][top : top + side, left : left + side].astype(float)
        assert parts.flatten(without=0).mean() == pytest.approx(window.mean(), abs=1.0)
        assert parts.composite[parts.mask].mean() > 190 > parts.background.max() - 20
        maps = decode_maps(members, tuple(MAPS))
        assert set(maps) == set(MAPS) and maps["edges"].shape == (64, 64)
    assert verify([str(root / "pairs")]).faults == []


def test_the_shadow_is_in_the_composite_and_in_no_mask(root: Path, tmp_path: Path):
    ((parts, _),) = stored(root, build_pairs(root, write_pairs(tmp_path / "pairs", 1))).values()
    darker = (parts.background.astype(int) - parts.composite).min(axis=-1) > 20
    assert darker.any() and not (darker & parts.mask).any()


def test_every_engine_order_and_number_of_shards_gives_a_pair_the_same_bytes(root: Path, tmp_path: Path):
    folder = write_pairs(tmp_path / "pairs", 6)
    one = stored(root, build_pairs(root, folder))
    serial = tars(root)
    shutil.rmtree(root / "pairs")
    build_pairs(root, folder, ProcessEngine(2))
    assert tars(root) == serial
    shutil.rmtree(root / "pairs")
    three = stored(root, build_pairs(root, folder, num_shards=3))
    assert {name: members for name, (_, members) in three.items()} == {
        name: members for name, (_, members) in one.items()
    }


def test_a_new_pair_makes_its_shard_again_and_leaves_the_others(root: Path, tmp_path: Path):
    folder = write_pairs(tmp_path / "pairs", 6)
    before = build_pairs(root, folder, num_shards=3)
    assert build_pairs(root, folder, num_shards=3).made == frozenset()
    save(folder, "new", {role: picture for role, picture in pair(77).items() if role != "foreground"})
    after = build_pairs(root, folder, num_shards=3)
    assert after.num_made == 1 and after.num_items == before.num_items + 1


def test_a_published_layout_with_black_masks(root: Path, tmp_path: Path):
    roles = {"image": "img", "mask": "mask", "background": "gt"}
    for frame in range(2):
        pictures = {role: picture for role, picture in pair(frame).items() if role in roles}
        pictures["mask"] = 255 - pictures["mask"]
        save(tmp_path / "rord", f"room_F{frame}", pictures, roles)
    report = build_pairs(root, tmp_path / "rord", layout="rord")
    assert {parts.record["scene"] for parts, _ in stored(root, report).values()} == {"room"} and not report.drops


def test_what_cannot_be_used_is_refused_with_its_reason(root: Path, tmp_path: Path):
    folder = write_pairs(tmp_path / "pairs", 1)
    whole = {role: picture for role, picture in pair(5).items() if role != "foreground"}
    for name in ("noise", "animated", "alpha", "twice", "lone", "wide", "same", "link", "bare"):
        save(folder, name, whole)
    (folder / "image/noise.png").write_bytes(b"not a picture")
    frames = [Image.fromarray(whole["image"]).resize((140, 110)) for _ in range(2)]
    (folder / "image/animated.png").unlink()
    frames[0].save(folder / "image/animated.gif", save_all=True, append_images=[Image.new("RGB", (140, 110))])
    Image.fromarray(np.dstack([whole["image"], np.full((110, 140), 90, np.uint8)])).save(folder / "image/alpha.png")
    Image.fromarray(whole["image"]).save(folder / "image/twice.jpg")
    (folder / "background/lone.png").unlink()
    (folder / "mask/bare.png").unlink()
    Image.fromarray(whole["mask"]).resize((99, 99)).save(folder / "mask/wide.png")
    Image.fromarray(whole["image"]).save(folder / "background/same.png")
    secret = tmp_path / "secret.png"
    Image.fromarray(whole["image"]).save(secret)
    (folder / "image/link.png").unlink()
    (folder / "image/link.png").symlink_to(secret)
    small = {role: picture[28:66, 38:82] for role, picture in whole.items()}
    save(folder, "small", small)
    report = build_pairs(root, folder)
    found = reasons(report)
    assert found == {
        "noise": "bad_image", "alpha": "transparent", "twice": "ambiguous", "lone": "missing_background",
        "wide": "shape_mismatch", "same": "mask_disagrees", "link": "outside", "bare": "missing_mask",
        "small": "too_small",
    }  # fmt: skip
    assert report.num_items == 2  # Of an animated picture the first frame is taken.
    written = [json.loads(line) for line in (root / "quarantine/pairs.jsonl").read_text().splitlines()]
    assert len(written) == 9


def test_a_folder_without_masks_is_refused_before_anything_is_made(root: Path, tmp_path: Path):
    folder = write_pairs(tmp_path / "pairs", 1)
    shutil.rmtree(folder / "mask")
    with pytest.raises(BadSetup, match=r"pairs\.folder: .* holds no mask \(mask/\*\); choose another pairs\.layout"):
        build_pairs(root, folder)
    assert not (root / "pairs").exists()


def test_the_library_comes_first(tmp_path: Path):
    folder = write_pairs(tmp_path / "pairs", 1)
    with pytest.raises(BadSetup, match="foregrounds library first"):
        stage_of(tmp_path / "empty", folder).inputs("00000")


@pytest.mark.parametrize("change", ["as it is", "mirrored", "smaller"])
def test_a_pair_that_evaluation_shows_is_left_out(root: Path, tmp_path: Path, change: str):
    folder = write_pairs(tmp_path / "pairs", 3)
    shown = Image.fromarray(pair(1)["background"])
    if change == "mirrored":
        shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if change == "smaller":
        shown = shown.resize((70, 55), Image.Resampling.LANCZOS)
    evaluated = hash_list(["a"], {"a/background": hash_picture("0" * 64, shown)})
    before = build_pairs(root, folder)
    assert before.num_items == 3
    Store(str(root)).write(f"{HASH_LISTS}/mine.json", evaluated)
    after = build_pairs(root, folder)
    assert after.num_made == 1 and reasons(after) == {"p1": "leak"}


def test_a_pair_that_a_list_of_ids_names_is_left_out(root: Path, tmp_path: Path):
    folder = tmp_path / "pairs"
    for seed, name in enumerate(("coco_000000000139", "other")):
        save(folder, name, {role: picture for role, picture in pair(seed).items() if role != "foreground"})
    (tmp_path / "ids.txt").write_text("000000000139\n")
    assert reasons(build_pairs(root, folder, lists=(str(tmp_path / "ids.txt"),))) == {"coco_000000000139": "leak"}


def test_licences_come_from_the_table_and_a_commercial_build_takes_only_those_that_permit_it(
    root: Path, tmp_path: Path
):
    folder = write_pairs(tmp_path / "pairs", 3)
    lines = {
        "image/p0.png": Attribution("room 0", "CC0-1.0", "Ann", "", 0),
        "image/p1.png": Attribution("room 1", "CC-BY-4.0", "Bo", "", 0),
        "background/p1.png": Attribution("room 1", "CC-BY-NC-4.0", "Cy", "", 0),
    }
    (folder / "attribution.csv").write_bytes(attributions_csv(lines))
    report = build_pairs(root, folder)
    rows = {
        row["name"]: row for row in pq.read_table(io.BytesIO((root / "pairs/00000.parquet").read_bytes())).to_pylist()
    }
    assert rows["p0"]["licence"] == "CC0-1.0" and rows["p0"]["origin"] == "room 0"
    assert (rows["p1"]["licence"], rows["p1"]["attribution"]) == ("CC-BY-4.0 AND CC-BY-NC-4.0", "Bo; Cy")
    assert rows["p2"]["licence"] == "unknown" and report.num_items == 3
    shutil.rmtree(root / "pairs")
    sold = build_pairs(root, folder, commercial=True)
    assert reasons(sold) == {"p1": "unlicensed", "p2": "unlicensed"} and sold.num_items == 1


def test_orientation_tags_are_applied_before_the_square_is_cut(root: Path, tmp_path: Path):
    folder = write_pairs(tmp_path / "pairs", 1)
    for role in ("image", "background"):
        image = Image.fromarray(np.rot90(pair(0)[role]))
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(folder / role / "p0.png", exif=exif)
    report = build_pairs(root, folder)
    assert not report.drops
    ((parts, _),) = stored(root, report).values()
    assert parts.composite[parts.mask].mean() > 190


def test_a_damaged_member_is_named(root: Path, tmp_path: Path):
    ((parts, members),) = stored(root, build_pairs(root, write_pairs(tmp_path / "pairs", 1))).values()
    for suffix in ("composite.webp", "background.webp", "mask.png", "json"):
        with pytest.raises(BadItem, match=suffix.replace(".", r"\.")):
            PairParts.decode(parts.key, members | {suffix: b"damaged"})
    with pytest.raises(BadItem, match="does not have the size"):
        PairParts.decode(parts.key, members | {"mask.png": b""} | {"mask.png": _other_size()})


def _other_size() -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.eye(9) > 0).save(data, "PNG")
    return data.getvalue()


@given(
    height=st.integers(64, 200), width=st.integers(64, 200), name=st.text("abc", min_size=1), data=st.data(),
    enlargement=st.floats(1.0, 2.0),
)  # fmt: skip
def test_the_square_holds_the_whole_object_and_is_never_enlarged_too_far(
    height: int, width: int, name: str, data: st.DataObject, enlargement: float
):
    top, left = data.draw(st.integers(0, height - 16)), data.draw(st.integers(0, width - 16))
    bottom, right = data.draw(st.integers(top + 12, height)), data.draw(st.integers(left + 12, width))
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    rgb = np.zeros((height, width, 3), np.uint8)
    scenes = ScenesConfig(num_scenes=1, scenes_per_shard=1, size_px=64, max_background_enlargement=enlargement)
    whole = Pair(rgb, rgb, mask, mask, None)
    if max(bottom - top, right - left) > min(height, width):
        with pytest.raises(BadItem, match="a square of the picture"):
            cut_out(whole, name, scenes)
        return
    x, y, side = cut_out(whole, name, scenes).crop
    assert 0 <= x <= left and right <= x + side <= width
    assert 0 <= y <= top and bottom <= y + side <= height
    assert side * enlargement >= 64 and side <= min(height, width)
    assert cut_out(whole, name, scenes).crop == (x, y, side)
