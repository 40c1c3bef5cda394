"""The factory's two splits: scenes for testing come from what is held out, and from nothing else."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from pipelines.factory import Factory
from pipelines.library.catalogue import read_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.masks.imperfect import KINDS
from pipelines.scenes.record import MASK_COLUMNS
from pipelines.shards.folder import find_shards
from pipelines.shards.reader import read_scenes, read_triplets
from pipelines.shards.verify import verify
from pipelines.stages.store import Store
from profiles.profile import load_profile

SMALL = {
    "scenes.num_scenes": "16",
    "scenes.scenes_per_shard": "8",
    "scenes.size_px": "96",
    "held_out.num_scenes": "12",
    "generated.prompts_per_category": "2",
    "generated.size_px": "160",
    "engine.kind": "serial",
}


def factory(root: Path, **changes: str) -> Factory:
    overrides = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    return Factory(load_profile("demo", str(root), overrides), Store(str(root)))


def test_supported_placement_without_classes_stops_before_work(tmp_path: Path) -> None:
    with pytest.raises(BadSetup, match=r"maps\.segmentation\.model"):
        factory(tmp_path, scenes__placement__kind="supported").make_shards()
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Made:
    root: Path
    origins: dict[str, str]
    """Asset's id -> origin."""
    splits: dict[str, str]
    """Asset's id -> split."""

    def drawn(self, shards: str) -> set[str]:
        """Ids of every asset that a folder's scenes drew, rejected draws too."""
        tables = [pq.read_table(path, columns=["draws"]) for path in (self.root / shards).glob("*.parquet")]
        tokens = {token for table in tables for draws in table["draws"].to_pylist() for token in draws}
        return {token.split("@")[0] for token in tokens} - {"plan"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("factory")
    whole = factory(root)
    whole.make_shards()
    whole.make_held_out()
    foregrounds, _ = read_catalogue(whole.store, ForegroundRecord)
    backgrounds, _ = read_catalogue(whole.store, BackgroundRecord)
    records: list[ForegroundRecord | BackgroundRecord] = [*foregrounds, *backgrounds]
    return Made(root, {r.id: r.origin for r in records}, {r.id: r.split for r in records})


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """The same root, for a test that changes it."""
    return Path(shutil.copytree(made.root, tmp_path / "root"))


def test_no_origin_of_a_training_scene_is_in_a_held_out_one(made: Made) -> None:
    train, test = ({made.origins[asset] for asset in made.drawn(f)} for f in ("shards", "held_out/shards"))
    assert train and test and not train & test
    held_out = set(factory(made.root).config.library.held_out)
    assert test <= held_out and not train & held_out
    # Not by the names alone: each split draws from its own part of the library.
    assert {made.splits[asset] for asset in made.drawn("shards")} == {"train"}
    assert {made.splits[asset] for asset in made.drawn("held_out/shards")} == {"test"}


def test_held_out_shards_are_read_and_verified_as_any_others(made: Made) -> None:
    root = f"{made.root}/held_out"
    assert find_shards(root).shards == ("00000", "00001")
    triplets = list(read_triplets(root))
    assert {triplet.key for triplet in triplets} == {f"{i:08d}" for i in range(12)}
    report = verify([root])
    assert report.num_scenes == 12 and not report.faults


def test_about_half_of_the_held_out_layers_are_from_photographs(made: Made) -> None:
    kinds = [t.record["layers"][t.layer]["foreground"]["kind"] for t in read_triplets(f"{made.root}/held_out")]
    assert 0.25 < kinds.count("real") / len(kinds) < 0.75


def test_training_keeps_enough_photographs(made: Made) -> None:
    train = {asset for asset, split in made.splits.items() if split == "train"}
    # Of nine and of sixteen; five and twelve are held out. The demo's training begins from weights that saw many more.
    assert len({made.origins[asset] for asset in train if asset.startswith("mulan-")}) == 4
    assert len({made.origins[asset] for asset in train if asset.startswith("packaged-")}) == 4


def test_what_is_done_is_skipped_and_more_scenes_are_appended(copy: Path) -> None:
    assert [report.num_made for report in factory(copy).make_held_out()] == [0] * 9
    before = (copy / "held_out/shards/00000.tar").read_bytes()
    more = factory(copy, held_out__num_scenes="20").make_held_out()
    assert {r.stage: r.num_made for r in more if r.num_made} == {
        f"held_out/{name}": 2 for name in ("scenes", "masks", "edges", "segmentation", "depth", "shards")
    }
    assert (copy / "held_out/shards/00000.tar").read_bytes() == before


def changed_json(one: bytes, other: bytes) -> set[str]:
    """Keys at which two jsons of a scene differ; those of layers without their number."""
    ours, theirs = json.loads(one), json.loads(other)
    pairs = zip(ours.pop("layers"), theirs.pop("layers"), strict=True)
    return {k for a, b in (*pairs, (ours, theirs)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)}


def test_another_mix_of_mask_errors_remakes_masks_and_shards_alone(copy: Path) -> None:
    own, other = factory(copy), factory(copy, **{f"masks__{kind}__weight": "0.0" for kind in set(KINDS) - {"box"}})
    assert own.scenes.recipe == other.scenes.recipe
    assert [stage.recipe for stage in own.maps.values()] == [stage.recipe for stage in other.maps.values()]
    with pytest.raises(BadSetup, match=r"masks holds recipe .* masks\.blob\.weight .* remove that folder"):
        other.make_shards()
    kept = ("foregrounds", "backgrounds", "scenes", "edges", "segmentation", "depth")
    paths = [path for name in kept for path in sorted((copy / name).rglob("0*.*"))]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    assert {path.suffix for path in paths} == {".tar", ".parquet", ".json"}
    shards = dict(read_scenes(str(copy)))
    for name in ("masks", "shards"):
        shutil.rmtree(copy / name)
    assert {r.stage: r.num_made for r in other.make_shards() if r.num_made} == {"masks": 2, "shards": 2}
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    drawn = dict(read_scenes(str(copy)))
    assert list(drawn) == list(shards)
    for key, members in drawn.items():
        assert list(members) == list(shards[key])
        moved = {suffix for suffix in members if members[suffix] != shards[key][suffix]}
        assert "json" in moved and moved <= {"json", "mask0.png", "mask1.png", "mask2.png"}
        said = changed_json(shards[key]["json"], members["json"])
        assert "masks_recipe" in said and said <= {"masks_recipe", *MASK_COLUMNS}
    layers = [layer for members in drawn.values() for layer in json.loads(members["json"])["layers"]]
    # Where even a box is too far from the target, the mask is left as it is.
    assert Counter(layer["mask_error"] for layer in layers).most_common(1)[0][0] == "box"
    assert {layer["mask_error"] for layer in layers} <= {"box", "none"}
    assert not verify([str(copy)]).faults


def test_held_out_scenes_do_not_depend_on_those_for_training(made: Made) -> None:
    own, other = factory(made.root), factory(made.root, scenes__num_scenes="4", scenes__seed="99")
    assert own.held_out.scenes.recipe == other.held_out.scenes.recipe
    assert own.scenes.recipe != other.scenes.recipe


def test_a_library_that_holds_too_little_out_stops_before_work(copy: Path) -> None:
    shutil.rmtree(copy / "held_out")
    with pytest.raises(BadSetup, match="no generated foreground in split 'test'"):
        factory(copy, library__held_out='["coffee", "rocket"]').make_held_out()
    assert not (copy / "held_out").exists()
