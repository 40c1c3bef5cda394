"""The stage of generated foregrounds, run on a store: same bytes, nothing made twice, provenance complete."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgba
from pipelines.config import GateConfig, GeneratedConfig
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.stages.engine import SerialEngine
from pipelines.stages.manifest import read_manifests
from pipelines.stages.run import Report, run_stage
from pipelines.stages.store import Store
from pipelines.stages.tarfiles import Member

CONFIG = GeneratedConfig(prompts_per_category=1, num_shards=2, size_px=96)
GATES = GateConfig(min_side_px=16, min_area_px=100)


def _run(root: Path, config: GeneratedConfig = CONFIG, gates: GateConfig = GATES) -> Report:
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


def test_a_second_run_makes_nothing_and_another_root_gets_the_same_bytes(tmp_path: Path) -> None:
    first = _run(tmp_path / "a")
    assert (first.num_items, first.num_made, first.drops) == (10, 2, [])
    assert _run(tmp_path / "a").num_made == 0
    second = _run(tmp_path / "b")
    for shard, manifest in first.shards.items():
        assert manifest.tar_sha256 == second.shards[shard].tar_sha256
        assert manifest.parquet_sha256 == second.shards[shard].parquet_sha256


def test_rows_tell_where_a_foreground_comes_from(tmp_path: Path) -> None:
    _run(tmp_path)
    rows = _rows(tmp_path)
    assert len({row["id"] for row in rows}) == 10
    for row in rows:
        assert row["source"] == "procedural" and row["kind"] == "generated" and row["completeness"] == "complete"
        assert row["licence"] == "cc0-1.0" and row["attribution"] == "decoupage procedural generator"
        assert row["origin"] == f"procedural:{row['category']}/{row['prompt']}/0"
        assert row["split"] == "train"
    dog = next(row for row in rows if row["prompt"] == "dog")
    assert dog["id"] == "procedural-animal-dog-0"
    shard, member = _members(tmp_path)[dog["member"]]
    data = Store(str(tmp_path)).read_range(f"foregrounds/generated/{shard}.tar", member.offset, member.num_bytes)
    assert decode_rgba(data).shape == (dog["height_px"], dog["width_px"], 4)


def test_more_pictures_keep_the_bytes_of_those_that_were_there(tmp_path: Path) -> None:
    _run(tmp_path)
    before = {name: member.sha256 for name, (_, member) in _members(tmp_path).items()}
    _run(tmp_path, CONFIG.model_copy(update={"images_per_prompt": 2}))
    after = {name: member.sha256 for name, (_, member) in _members(tmp_path).items()}
    assert len(before) == 10
    assert len(after) == 20
    assert before.items() <= after.items()


def test_another_seed_is_another_recipe(tmp_path: Path) -> None:
    _run(tmp_path)
    with pytest.raises(BadSetup, match="seed"):
        _run(tmp_path, CONFIG.model_copy(update={"seed": 1}))


def test_what_a_gate_refuses_is_quarantined_and_the_run_goes_on(tmp_path: Path) -> None:
    report = _run(tmp_path, gates=GATES.model_copy(update={"min_side_px": 50}))
    assert 0 < report.num_items < 10
    assert report.drops_by_reason == {"too_small": 10 - report.num_items}
