"""`decoupage prune`: lists before it removes, and never touches what anybody needs."""

import fcntl
import json
import os
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets_defs.automation.prune import old_runs
from commands.main import app
from commands.prune import prune
from decoupage.fingerprint import fingerprint
from pipelines.stages.leftovers import remove
from pipelines.stages.store import Store
from profiles.profile import Profile, load_profile
from tests.stores import held_elsewhere
from tests.warm.python import PYTHON

IDENTITY = {"recipe": "a", "data": "b"}
IN_USE = fingerprint(IDENTITY)
DAY_S = 86_400


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An instance of Dagster of its own."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture
def profile(tmp_path) -> Profile:
    return load_profile("demo", str(tmp_path / "root"))


def write(path: Path, age_days: float = 0.0, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    for part in (path, path.parent):
        os.utime(part, (time.time() - age_days * DAY_S,) * 2)
    return path


def make_run(profile: Profile, name: str, age_days: float, steps: tuple[int, ...] = (), best: int = 0) -> Path:
    run = Path(profile.root) / "training" / "adapter" / "runs" / name
    write(run / "metrics.jsonl", age_days)
    for step in steps:
        checkpoint = run / "checkpoints" / f"{step:07d}"
        write(checkpoint / "adapter.safetensors", age_days)
        (checkpoint / "state.json").write_text(json.dumps({"step": step, "best_step": best}))
    for path in (*run.rglob("*"), run):
        os.utime(path, (time.time() - age_days * DAY_S,) * 2)
    return run


def export(profile: Profile) -> Path:
    folder = Path(profile.root) / "training" / "adapter"
    write(folder / "export" / "weights.safetensors", 100)
    (folder / "export.json").write_text(json.dumps(IDENTITY))
    return folder


def paths(profile: Profile, **options) -> set[str]:
    found = prune(profile, **options)
    root = Path(profile.root)
    return {str(one.path.relative_to(root)) for one in found.removables if one.path.is_relative_to(root)}


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_nothing_to_do_in_an_empty_place(profile):
    assert prune(profile).removables == ()


def test_dagsters_database_says_nothing_between_the_lines(profile, home):
    command = [PYTHON, "-m", "commands.main", "prune", "--root", profile.root]
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "0 things, 0.00 MB can be removed with --apply\n"
    assert (home / "history").is_dir()  # It was looked into.


def test_old_runs_go_and_the_one_in_use_stays_however_old(profile):
    export(profile)
    make_run(profile, IN_USE, age_days=100)
    old, young = make_run(profile, "0" * 16, age_days=31), make_run(profile, "1" * 16, age_days=29)
    before = tree(Path(profile.root))
    assert paths(profile) == {f"training/adapter/runs/{old.name}"}
    assert tree(Path(profile.root)) - {"training/adapter/.lock"} == before  # Listed, not removed.
    done = prune(profile, apply=True)
    assert done.applied and done.num_bytes == 1000
    assert not old.exists() and young.is_dir() and (old.parent / IN_USE).is_dir()
    assert (old.parents[1] / "export" / "weights.safetensors").is_file()


def test_runs_of_ablations_go_like_others(profile):
    run = make_run(profile, "0" * 16, age_days=31)
    row = Path(profile.root) / "training" / "ablations" / "no_maps"
    row.parent.mkdir()
    run.parents[1].rename(row)
    prune(profile, apply=True)
    assert row.is_dir() and not (row / "runs" / run.name).exists()


def test_of_a_run_that_stays_the_best_and_the_last_checkpoint_stay(profile):
    run = make_run(profile, "1" * 16, age_days=1, steps=(100, 200, 300, 400), best=200)
    found = prune(profile, apply=True)
    assert [one.path.name for one in found.removables] == ["0000100", "0000300"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["0000200", "0000400"]


def test_a_checkpoint_that_was_set_aside_as_damaged_goes(profile):
    run = make_run(profile, "1" * 16, age_days=1, steps=(100,), best=100)
    aside = write(run / "checkpoints" / "0000200.damaged" / "state.json").parent
    assert paths(profile) == {str(aside.relative_to(profile.root))} and (run / "checkpoints" / "0000100").is_dir()


def test_checkpoints_stay_where_it_cannot_be_told_which_is_best(profile):
    run = make_run(profile, "1" * 16, age_days=1, steps=(100, 200, 300), best=100)
    (run / "checkpoints" / "0000300" / "state.json").write_text("{")
    assert paths(profile) == set()


def test_champions_stay(profile):
    weights = write(Path(profile.root) / "champion" / "v1" / "adapter" / "weights.safetensors", 400)
    prune(profile, days=0, apply=True)
    assert weights.is_file()


def test_what_a_process_trains_is_left_alone(profile):
    old = make_run(profile, "0" * 16, age_days=31)
    with (old.parents[1] / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = prune(profile, apply=True)
    assert old.is_dir() and found.removables == () and found.busy == (old.parents[1],)


def test_hard_linked_weights_free_nothing(profile):
    old = make_run(profile, "0" * 16, age_days=31)
    champion = Path(profile.root) / "champion" / "v1"
    champion.mkdir(parents=True)
    (champion / "metrics.jsonl").hardlink_to(old / "metrics.jsonl")
    (found,) = prune(profile, apply=True).removables
    assert found.num_bytes == 0 and (champion / "metrics.jsonl").stat().st_size == 1000


def test_temp_files_of_dead_processes_go_and_those_of_living_ones_stay(profile):
    shards = Path(profile.root) / "shards"
    dead = write(shards / ".00000.tar.0123456789abcdef.tmp")
    far, far_and_old = write(shards / ".2.tar.elsewhere.1.tmp", 6), write(shards / ".3.tar.elsewhere.1.tmp", 8)
    whole = write(shards / "00000.tar", 100)
    with Store(profile.root).writing("shards/00001.tar") as file:
        file.write(b"half")
        (alive,) = shards.glob(".00001.tar.*.tmp")
        prune(profile, apply=True)
        assert {path.name for path in shards.iterdir()} == {alive.name, far.name, whole.name}
    assert not dead.exists() and not far_and_old.exists()


def test_half_made_folders_go_after_an_hour_and_partial_downloads_stay(profile):
    root = Path(profile.root)
    stale = write(root / "training" / "adapter" / ".export.partial" / "a", 0.1).parent
    fresh = write(root / "training" / "adapter" / "runs" / "1" / "checkpoints" / ".0000100.partial" / "a", 0.01).parent
    download = write(root / "sources" / "openimages" / ".partial" / "x.part", 100)
    prune(profile, apply=True)
    assert not stale.exists() and fresh.is_dir() and download.is_file()


def test_a_kill_during_the_removal_leaves_nothing_that_looks_whole(profile, monkeypatch):
    run = make_run(profile, "0" * 16, age_days=31)
    (removable,) = prune(profile).removables

    def killed(path, ignore_errors=False):
        if Path(path).exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.stages.temps.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(removable)
    assert [path.name for path in run.parent.iterdir()] == [f".{run.name}.partial"]


@dg.asset
def number() -> int:
    return 1


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def part() -> None: ...


def test_runs_in_dagster_that_made_nothing_current_go():
    with dg.DagsterInstance.get() as instance:
        superseded = dg.materialize([number], instance=instance).run_id
        current = dg.materialize([number], instance=instance).run_id
        parts = [dg.materialize([part], instance=instance, partition_key=key).run_id for key in ("a", "b")]
        assert set(old_runs(instance, days=0)) == {superseded}
        assert old_runs(instance, days=1) == {}
    found = prune(load_profile("demo", "nowhere"), days=0, apply=True)
    assert [one.kind for one in found.removables] == ["Dagster run"] and found.num_bytes > 0
    assert not found.removables[0].path.exists()
    with dg.DagsterInstance.get() as instance:
        assert {run.run_id for run in instance.get_runs()} == {current, *parts}
        assert instance.get_latest_materialization_event(number.key).run_id == current
        assert instance.get_materialized_partitions(part.key) == {"a", "b"}


def test_the_command_lists_and_only_removes_when_told_to(profile, home):
    old = make_run(profile, "0" * 16, age_days=31)
    listed = CliRunner().invoke(app, ["prune", "--root", profile.root])
    assert listed.exit_code == 0 and old.is_dir()
    assert "old run" in listed.output and "1 things, 0.00 MB can be removed with --apply" in listed.output
    told = json.loads(CliRunner().invoke(app, ["prune", "--root", profile.root, "--json"]).output)
    assert told["applied"] is False and told["num_bytes"] == 1000 and told["removables"][0]["kind"] == "old run"
    assert CliRunner().invoke(app, ["prune", "--root", profile.root, "--apply"]).exit_code == 0
    assert not old.exists()
    (home / "dagster.yaml").unlink()
    assert "not examined" in CliRunner().invoke(app, ["prune", "--root", profile.root]).output


def test_a_linked_run_is_left_alone_and_what_it_points_at_too(profile, tmp_path):
    elsewhere = write(tmp_path / "elsewhere" / "weights", 100).parent
    run = make_run(profile, "0" * 16, age_days=31)
    link, dangling = run.with_name("1" * 16), run.with_name("2" * 16)
    link.symlink_to(elsewhere)
    dangling.symlink_to(tmp_path / "absent")
    (run / "loop").symlink_to(run)
    for part in (run / "loop", run):
        os.utime(part, (time.time() - 31 * DAY_S,) * 2, follow_symlinks=False)
    (Path(profile.root) / "training" / "linked").symlink_to(elsewhere)
    done = prune(profile, apply=True)
    assert [one.path for one in done.removables] == [run] and not run.exists()
    assert (elsewhere / "weights").is_file() and link.is_symlink() and dangling.is_symlink()


@pytest.mark.parametrize("damage", ["", "{", "[1]", "3"])
def test_no_run_goes_where_it_cannot_be_told_which_is_in_use(profile, damage):
    (export(profile) / "export.json").write_text(damage)
    run = make_run(profile, "0" * 16, age_days=31)
    assert prune(profile, apply=True).removables == () and run.is_dir()


def test_of_a_linked_partial_folder_the_link_goes(profile, tmp_path):
    kept = write(tmp_path / "elsewhere" / "a", 1)
    folder = Path(profile.root) / "training"
    folder.mkdir(parents=True)
    link = folder / ".x.partial"
    link.symlink_to(kept.parent)
    os.utime(link, (0, 0), follow_symlinks=False)
    prune(profile, apply=True)
    assert kept.is_file() and not link.is_symlink()


def test_a_root_in_an_object_store_is_pruned(s3):
    root = f"{s3.bucket()}/run"
    store = Store(root)
    for shard in ("00000", "00001"):
        for end in ("tar", "parquet", "json"):
            store.write(f"shards/{shard}.{end}", b"data")
    store.write("plans/shards.json", b'{"shards": ["00000"]}')
    run = CliRunner()
    listed = run.invoke(app, ["prune", "--root", root])
    assert listed.exit_code == 0, listed.output
    assert f"shard beyond the plan: {root}/shards/00001.tar" in listed.stdout
    assert store.exists("shards/00001.tar")
    applied = json.loads(run.invoke(app, ["prune", "--root", root, "--apply", "--json"]).stdout)
    assert [found["path"] for found in applied["removables"]] == [f"{root}/shards/00001.tar"]
    assert store.names("shards") == ["00000.json", "00000.parquet", "00000.tar"]


def put_run(store: Store, name: str) -> None:
    for path in ("metrics.jsonl", "checkpoints/0000100/adapter.safetensors", "checkpoints/0000100/state.json"):
        store.write(f"training/adapter/runs/{name}/{path}", b"data")


def test_old_runs_of_training_in_an_object_store_go_and_the_one_in_use_stays(s3, monkeypatch):
    root = f"{s3.bucket()}/run"
    store, removed = Store(root), []
    for name in (IN_USE, "0" * 16):
        put_run(store, name)
    store.write("training/adapter/export/weights.safetensors", b"data")
    store.write("training/adapter/export.json", json.dumps(IDENTITY).encode())
    store.write("champion/v0001/adapter/weights.safetensors", b"data")
    profile = load_profile("demo", root)
    assert prune(profile, apply=True).removables == ()  # Both are young.
    whole = Store.remove
    monkeypatch.setattr(Store, "remove", lambda self, path: (removed.append(path), whole(self, path)))
    done = prune(profile, days=-1.0, apply=True)
    assert [(one.path, one.kind, one.num_bytes) for one in done.removables] == [
        (f"{root}/training/adapter/runs/{'0' * 16}", "old run", 12)
    ]
    # Killed here, there would be no checkpoint that looks whole.
    assert removed[0] == f"training/adapter/runs/{'0' * 16}/checkpoints/0000100/state.json"
    assert len([path for path in store.tree() if path.startswith("training/adapter/runs/")]) == 3
    assert store.exists("champion/v0001/adapter/weights.safetensors")


@pytest.mark.parametrize("damage", [None, b"{", b"[1]"])
def test_no_run_in_an_object_store_goes_where_it_cannot_be_told_which_is_in_use(s3, damage):
    root = f"{s3.bucket()}/run"
    store = Store(root)
    put_run(store, "0" * 16)
    store.write("training/adapter/export/weights.safetensors", b"data")
    if damage is not None:
        store.write("training/adapter/export.json", damage)
    assert prune(load_profile("demo", root), days=-1.0, apply=True).removables == ()


def test_what_another_machine_trains_in_an_object_store_is_left_alone(s3):
    root = f"{s3.bucket()}/run"
    store = Store(root)
    put_run(store, "0" * 16)
    with held_elsewhere(store, "training/adapter/.lock"):
        done = prune(load_profile("demo", root), days=-1.0, apply=True)
    assert done.removables == () and done.busy == (f"{root}/training/adapter",)
