"""A lowered number leaves shards that nothing reads: named by everyone, counted by no one, removed by `prune`."""

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.main import app
from commands.prune import prune
from decoupage.faults import BadSetup
from pipelines.shards.folder import find_shards
from pipelines.shards.reader import read_triplets
from pipelines.shards.verify import verify
from pipelines.stages.leftovers import remove, shards_beyond
from pipelines.stages.locks import take
from pipelines.stages.plan import read_plan
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from profiles.profile import load_profile
from tests.pipelines.stages.test_stage import make
from training.data.index import open_index

STAGES = ("scenes", "masks", "edges", "segmentation", "depth", "shards")


@pytest.fixture
def lowered(tmp_path) -> Store:
    """Eight scenes in four shards, then three of them asked for: one whole shard, one that shrank, two beyond."""
    build_dataset(tmp_path / "root", FakeScenes(num_scenes=8))
    return build_dataset(tmp_path / "root", FakeScenes(num_scenes=3))


def test_the_report_and_the_log_name_them(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert make(tmp_path, num_shards=5).beyond == ()
    assert "beyond" not in caplog.text
    report = make(tmp_path, num_shards=2, shards=["00001"])
    assert report.beyond == ("00002", "00003", "00004") and list(report.shards) == ["00001"]
    assert "; beyond the plan, and not read: 00002, 00003, 00004" in caplog.text
    lines = (tmp_path / "quarantine" / "noise.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["0002", "0003-1"]
    assert make(tmp_path, num_shards=5).num_made == 0, "a number that is raised again finds them"


def test_verify_counts_what_is_planned_and_names_the_rest(lowered):
    report = verify([lowered.root])
    assert (report.num_shards, report.num_scenes) == (2, 3)
    assert [(fault.shard, fault.kind) for fault in report.faults] == [
        ("00002", "beyond_the_plan"),
        ("00003", "beyond_the_plan"),
    ]
    run = CliRunner().invoke(app, ["shards", "verify", lowered.root])
    assert run.exit_code == 1
    assert "2 shards, 3 scenes, 2 faults (2 shards beyond the plan are not counted)" in run.output
    assert verify([f"{lowered.root}/shards/00001.tar"]).num_scenes == 1


def test_training_evaluation_and_export_leave_them_out(lowered, tmp_path):
    assert find_shards(lowered.root).shards == ("00000", "00001")
    assert len(open_index(lowered)) == 3
    assert {triplet.key for triplet in read_triplets(lowered)} == {"00000000", "00000001", "00000002"}
    assert find_shards(f"{lowered.root}/shards/00003.tar").shards == ("00003",), "who names one gets it"


def test_only_shards_beyond_the_plan_are_a_sentence(lowered):
    for shard in ("00000", "00001"):
        for suffix in ("tar", "parquet", "json"):
            lowered.remove(f"shards/{shard}.{suffix}")
    with pytest.raises(BadSetup, match=r"no shard of its plan, only shards beyond it \(00002, 00003\)"):
        find_shards(lowered.root)
    assert verify([lowered.root]).num_scenes == 0


def test_prune_removes_them_and_only_them(lowered):
    found = shards_beyond(lowered, {})
    assert [str(one.path.relative_to(lowered.root)) for one in found] == [
        f"{stage}/{shard}.tar" for stage in sorted(STAGES) for shard in ("00002", "00003")
    ]
    assert {one.kind for one in found} == {"shard beyond the plan"}
    assert all(one.num_bytes == sum(path.stat().st_size for path in (*one.first, one.path)) for one in found)
    before = set(lowered.tree())
    for one in found:
        remove(one)
        remove(one)  # Another `prune` at the same time.
    gone = {
        f"{stage}/{shard}.{end}"
        for stage in STAGES
        for shard in ("00002", "00003")
        for end in ("tar", "parquet", "json")
    }
    assert before - set(lowered.tree()) == gone
    assert verify([lowered.root]).ok


def test_prune_says_of_a_shard_that_the_profile_plans_how_to_keep_it(lowered):
    """A number that was lowered for one run, by the environment."""
    profile = load_profile("demo", lowered.root, {"scenes.num_scenes": "6", "scenes.scenes_per_shard": "2"})
    found = prune(profile).removables
    assert {one.path.name: "scenes make` uses it again" in one.why for one in found} == {
        "00002.tar": True,
        "00003.tar": False,
    }
    assert len(prune(profile, apply=True).removables) == len(found) == 12
    json.dumps(prune(profile).to_dict())
    assert verify([lowered.root]).ok


def test_prune_leaves_a_shard_that_a_process_makes(lowered):
    held = take(Path(lowered.url("shards/.00003.lock")))
    assert held is not None
    for one in shards_beyond(lowered, {}):
        remove(one)
    held.release()
    assert lowered.exists("shards/00003.json") and not lowered.exists("shards/00002.json")


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"shards": 3}', b'{"shards": ["../x"]}', b"\xff"])
def test_a_damaged_plan_is_a_sentence_and_the_next_run_writes_it(lowered, damage):
    lowered.write("plans/shards.json", damage)
    with pytest.raises(BadSetup, match=r"plans/shards\.json is not a list of planned shards .*remove it"):
        find_shards(lowered.root)
    assert [(f.member, f.kind) for f in verify([lowered.root]).faults] == [("plans", "bad_json")]
    build_dataset(lowered.root, FakeScenes(num_scenes=3))
    assert read_plan(lowered, "shards") == {"00000", "00001"}
