"""A run of a commercial profile learns from nothing that forbids commercial use."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from pipelines.licences.terms import canonical
from pipelines.synthetic import FakeScenes, build_dataset
from training.licences import MARK, mark_run, run_obstacles
from training.run import RunPlan


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_dataset(tmp_path_factory.mktemp("data"), FakeScenes(num_scenes=2)).root


def plan_of(tmp_path: Path, shards: str, **changes) -> RunPlan:
    return RunPlan(**({"recipe": "demo", "out": tmp_path / "run", "data": (shards,)} | changes))


def test_a_permitted_run_starts_and_is_marked(tmp_path, shards):
    mark_run(plan_of(tmp_path, shards), commercial=True)
    assert json.loads((tmp_path / "run" / MARK).read_text())["recipe"] == "demo"


def test_an_ordinary_run_in_its_place_takes_the_mark_away(tmp_path, shards):
    mark_run(plan_of(tmp_path, shards), commercial=True)
    mark_run(plan_of(tmp_path, shards, recipe="paper"), commercial=False)
    assert not (tmp_path / "run" / MARK).exists()


@pytest.mark.parametrize("recipe", ["paper", "small_gpu", "rgba_vae"])
def test_a_base_that_forbids_it_is_refused(tmp_path, shards, recipe):
    with pytest.raises(BadSetup, match=r"flux-fill.*flux-1-dev-non-commercial forbids"):
        mark_run(plan_of(tmp_path, shards, recipe=recipe), commercial=True)
    assert not (tmp_path / "run").exists()


def test_weights_in_the_bases_place_are_refused_where_nobody_knows_them(tmp_path, shards):
    assert "unknown" in " ".join(run_obstacles(plan_of(tmp_path, shards, base=str(tmp_path))))


def test_shards_are_judged_by_what_they_hold(tmp_path):
    root = Path(build_dataset(tmp_path / "data", FakeScenes(num_scenes=2)).root)
    assert canonical("CC0") == "cc0-1.0" and run_obstacles(plan_of(tmp_path, str(root))) == []
    path = root / "shards/00000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("foreground_licence")
    pq.write_table(table.set_column(place, "foreground_licence", [["CC BY-NC-SA 4.0"] * table.num_rows]), path)
    (found,) = run_obstacles(plan_of(tmp_path, str(root)))
    assert found.startswith(f"{table.num_rows} layers of the shards (cc-by-nc-sa-4.0 forbids")
    path.unlink()
    (found,) = run_obstacles(plan_of(tmp_path, str(root)))
    assert "is missing, so nobody knows" in found


@pytest.mark.parametrize("given", ["rgba_vae", "warm_start", "resume"])
def test_what_earlier_runs_left_needs_their_mark(tmp_path, shards, given):
    earlier = tmp_path / "earlier"
    (earlier / "export").mkdir(parents=True)
    (earlier / "checkpoints/00000010").mkdir(parents=True)
    changes = {
        "rgba_vae": {"rgba_vae": str(earlier / "export")},
        "warm_start": {"warm_start": earlier / "checkpoints/00000010"},
        "resume": {"resume": True, "out": earlier},
    }[given]
    (found,) = run_obstacles(plan_of(tmp_path, shards, **changes))
    assert "comes without a licence" in found
    (earlier / MARK).write_text("{}")
    assert run_obstacles(plan_of(tmp_path, shards, **changes)) == []


def test_photographs_for_a_base_say_no_licence(tmp_path, shards):
    plan = plan_of(tmp_path, shards, recipe="tiny_base", data=(str(tmp_path),))
    assert "comes without a licence" in run_obstacles(plan)[0]
    assert run_obstacles(plan_of(tmp_path, shards, recipe="tiny_base", data=())) == []
