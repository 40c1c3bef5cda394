"""A whole shard as the unit of work: whoever makes it, it is as the process that runs the stage would make it."""

import pickle
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from pipelines.factory import Factory
from pipelines.stages.code import code_version
from pipelines.stages.engine import ProcessEngine
from pipelines.stages.leases import take
from pipelines.stages.manifest import read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.shard import MakeShard, Wanted, lease_path
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.pipelines.stages.test_stage import Noise, NoiseInBatches, contents, make

WANTED = Wanted("00000", {"source": "first"})


def work(root: Path, code: str = "", **changes: object) -> MakeShard:
    given = MakeShard(Noise(**changes), Store(str(root)), Path.cwd(), code or code_version())
    return pickle.loads(pickle.dumps(given))


def test_it_is_made_once_and_comes_back_without_its_members(tmp_path):
    made = work(tmp_path)(WANTED)
    whole = read_manifest(Store(str(tmp_path)), "noise", "00000")
    assert made.was_made and made.manifest.members == [] and len(whole.members) == 3
    assert made.manifest.tar_sha256 == whole.tar_sha256
    again = work(tmp_path)(WANTED)
    assert (again.was_made, again.manifest) == (False, made.manifest)
    assert not list((tmp_path / "noise").glob(".*"))


def test_it_is_left_to_whoever_has_it_in_hand(tmp_path):
    held = take(Store(str(tmp_path)), lease_path(Noise(), "00000"))
    assert held is not None
    assert work(tmp_path)(WANTED).manifest is None
    assert not (tmp_path / "noise" / "00000.json").exists()
    held.release()
    assert work(tmp_path)(WANTED).was_made


def test_other_code_and_other_inputs_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        BadSetup, match=r"the worker on .* has code [0-9a-f]{16}, .* has other: install the same commit"
    ):
        work(tmp_path, code="other")(WANTED)
    with pytest.raises(
        BadSetup, match=r"noise/00000: the worker sees other inputs .*\(source differ\).*lacks a folder"
    ):
        work(tmp_path, source="second")(WANTED)
    assert not list((tmp_path / "noise").glob("*"))


def test_processes_take_whole_shards_where_there_are_several_for_each(tmp_path):
    make(tmp_path / "serial", num_shards=4)
    engine = ProcessEngine(2)
    assert engine.shard_workers(4, keeps_weights=False) and not engine.shard_workers(3, keeps_weights=False)
    make(tmp_path / "shards", engine, num_shards=4)
    run_stage(NoiseInBatches(3, num_shards=4), Store(str(tmp_path / "batches")), engine)
    assert contents(tmp_path / "serial") == contents(tmp_path / "shards") == contents(tmp_path / "batches")


def test_items_are_planned_when_their_shard_begins(tmp_path, monkeypatch):
    planned = []
    items = Noise.items

    def watched(self, shard):
        planned.append((shard, [path.stem for path in (tmp_path / "noise").glob("*.json") if path.stem.isdigit()]))
        return items(self, shard)

    monkeypatch.setattr(Noise, "items", watched)
    make(tmp_path, empty="none")
    assert [(shard, sorted(there)) for shard, there in planned] == [
        ("00000", []),
        ("00001", []),  # The next one begins when the last items of one are given out.
        ("00002", ["00000"]),
    ]


@pytest.mark.parametrize("profile", ["demo", "paper"])
def test_every_stage_can_be_sent_to_a_worker(tmp_path, profile):
    factory = Factory(load_profile(profile, str(tmp_path)), Store(str(tmp_path)))
    stages = [*factory.foreground_sources, factory.backgrounds, *factory.training.stages, *factory.held_out.stages]
    for stage in (*stages, *([factory.layouts] if factory.layouts else [])):
        sent = pickle.loads(pickle.dumps(MakeShard(stage, factory.store, Path.cwd(), code_version())))
        assert (sent.stage.name, sent.stage.recipe, sent.stage.layout) == (stage.name, stage.recipe, stage.layout)
        assert sent.stage.schema == stage.schema and list(sent.stage.shards()) == list(stage.shards())
