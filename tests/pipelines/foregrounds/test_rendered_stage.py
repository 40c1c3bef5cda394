"""The stage of generated foregrounds, run on a store: same bytes, nothing made twice, provenance complete."""

import io
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgba
from pipelines.config import GateConfig, GeneratedConfig
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.packaged.cutouts import FOLDER, packaged_cutouts
from pipelines.stages.engine import SerialEngine
from pipelines.stages.manifest import read_manifests
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member

GATES = GateConfig(min_side_px=16, min_area_px=100)
FEW = [cutout.path.name for cutout in packaged_cutouts()[:10]]
CAT = FOLDER / "1f408.webp"


@pytest.fixture
def config(tmp_path: Path) -> GeneratedConfig:
    """Of ten rendered objects, in a folder of the test's own."""
    (tmp_path / "objects").mkdir()
    for name in FEW:
        shutil.copyfile(FOLDER / name, tmp_path / "objects" / name)
    return GeneratedConfig(num_shards=2, rendered_folder=str(tmp_path / "objects"))


def _run(root: Path, config: GeneratedConfig, gates: GateConfig = GATES) -> Report:
    return run_stage(GeneratedForegrounds(config, gates), Store(str(root)), SerialEngine())


def _rows(root: Path) -> list[dict]:
    store = Store(str(root))
    folder = "foregrounds/generated"
    files = [store.read(f"{folder}/{name}") for name in store.names(folder, ".parquet")]
    return [row for data in files for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def _members(root: Path) -> dict[str, tuple[str, Member]]:
    """Name -> (shard, member) of all that the stage's tars hold."""
    store, folder = Store(str(root)), "foregrounds/generated"
    shards = [name.removesuffix(".parquet") for name in store.names(folder, ".parquet")]
    found = zip(shards, read_manifests(store, folder, shards), strict=True)
    return {member.name: (shard, member) for shard, manifest in found if manifest for member in manifest.members}


def _hashes(root: Path) -> dict[str, str]:
    return {name: member.sha256 for name, (_, member) in _members(root).items()}


def test_a_second_run_makes_nothing_and_another_root_gets_the_same_bytes(config: GeneratedConfig, tmp_path: Path):
    first = _run(tmp_path / "a", config)
    assert (first.num_items, first.num_made, first.drops) == (10, 2, [])
    assert _run(tmp_path / "a", config).num_made == 0
    second = _run(tmp_path / "b", config.model_copy(update={"size_px": 128}))
    for shard, manifest in first.shards.items():
        assert manifest.tar_sha256 == second.shards[shard].tar_sha256
        assert manifest.parquet_sha256 == second.shards[shard].parquet_sha256


def test_rows_tell_where_a_foreground_comes_from(config: GeneratedConfig, tmp_path: Path) -> None:
    shutil.copyfile(CAT, tmp_path / "objects" / CAT.name)
    _run(tmp_path, config)
    rows = _rows(tmp_path)
    assert len({row["id"] for row in rows}) == len({*FEW, CAT.name})
    for row in rows:
        assert row["source"] == "rendered" and row["kind"] == "generated" and row["completeness"] == "complete"
        assert row["licence"] == "mit" and "Microsoft" in row["attribution"]
        assert row["origin"] == f"rendered:{row['category']}/{row['prompt']}/0"
        assert row["split"] == "train"
    cat = next(row for row in rows if row["prompt"] == "cat")
    assert cat["id"] == "rendered-animal-cat-0"
    shard, member = _members(tmp_path)[cat["member"]]
    data = Store(str(tmp_path)).read_range(f"foregrounds/generated/{shard}.tar", member.offset, member.num_bytes)
    assert decode_rgba(data).shape == (cat["height_px"], cat["width_px"], 4)


def test_more_pictures_keep_the_bytes_of_those_that_were_there(config: GeneratedConfig, tmp_path: Path) -> None:
    _run(tmp_path, config)
    before = _hashes(tmp_path)
    _run(tmp_path, config.model_copy(update={"rendered_folder": ""}))
    after = _hashes(tmp_path)
    assert len(before) == 10
    assert len(after) == len(packaged_cutouts())
    assert before.items() <= after.items()


def test_another_seed_is_another_recipe(config: GeneratedConfig, tmp_path: Path) -> None:
    _run(tmp_path, config)
    with pytest.raises(BadSetup, match="seed"):
        _run(tmp_path, config.model_copy(update={"seed": 1}))


def test_what_a_gate_refuses_and_what_is_damaged_are_quarantined_and_the_run_goes_on(
    config: GeneratedConfig, tmp_path: Path
) -> None:
    (tmp_path / "objects" / FEW[0]).write_bytes(CAT.read_bytes()[:-9])
    (tmp_path / "objects" / "1f408.webp").write_bytes((FOLDER / FEW[1]).read_bytes())
    (tmp_path / "objects" / "1f3b5.webp").write_bytes(CAT.read_bytes()[:900])
    report = _run(tmp_path, config, GATES.model_copy(update={"min_side_px": 200}))
    num_small = report.drops_by_reason["too_small"]
    assert report.drops_by_reason == {"too_small": num_small, "other_picture": 2, "bad_image": 1}
    assert num_small > 0 and report.num_items == len({*FEW, CAT.name}) + 1 - num_small - 3
