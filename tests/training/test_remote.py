"""A run whose folder is in an object store: what is there, when, and that another machine goes on from it."""

import os
import shutil
import threading
import uuid
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from decoupage.faults import BadSetup
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder
from tests.object_store import S3Server
from tests.training.toy_task import Killed, ToyTask, toy_config
from training.alone import alone_in
from training.checkpoint_files import fault_of, read_progress
from training.journal import read_metrics
from training.loop import Outcome, fit, make_accelerator
from training.remote import Remote, fetch_if_there, put_anew, working_folder


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this machine."""
    monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def home(machine: Path) -> WorkingFolder:
    """In a store that answers at once; what is particular to S3 is tested with the store."""
    return working_folder(f"memory://{uuid.uuid4().hex}/runs/toy")


@pytest.fixture
def home_in_s3(s3: S3Server, machine: Path) -> WorkingFolder:
    return working_folder(f"{s3.bucket()}/runs/toy")


def train(home: WorkingFolder, task: ToyTask | None = None, resume: bool = False) -> Outcome:
    task = task or ToyTask(toy_config())
    remote = Remote(home)
    remote.begin()
    return fit(task, make_accelerator(task.config, "cpu"), home.path, resume, remote=remote)


def whole(tmp_path: Path) -> Outcome:
    """The same run, undisturbed and in a local folder."""
    task = ToyTask(toy_config())
    return fit(task, make_accelerator(task.config, "cpu"), tmp_path / "whole")


def there(home: WorkingFolder) -> list[str]:
    return home.store.tree(home.folder)


def steps(home: WorkingFolder) -> list[int]:
    return sorted({int(path.split("/")[1]) for path in there(home) if path.startswith("checkpoints/")})


def assert_same(first: Outcome, second: Outcome) -> None:
    """Bit for bit, but for the time of the random states."""
    for name in ("line.safetensors", "other.safetensors", "averaged.safetensors"):
        ours, theirs = (load_file(each.checkpoint / name) for each in (first, second))
        assert set(ours) == set(theirs) and all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    ours, theirs = (torch.load(each.checkpoint / "line.optimiser.pt", weights_only=True) for each in (first, second))
    for key, moments in ours["optimiser"]["state"].items():
        assert all(torch.equal(value, theirs["optimiser"]["state"][key][name]) for name, value in moments.items())
    assert first.progress == second.progress


def test_what_is_finished_is_in_the_store_and_nothing_else(home_in_s3, tmp_path):
    home = home_in_s3
    outcome = train(home)
    local = {path.relative_to(home.path).as_posix() for path in home.path.rglob("[!.]*") if path.is_file()}
    assert set(there(home)) == local
    assert steps(home) == [9, 12] == sorted(int(path.name) for path in (home.path / "checkpoints").iterdir())
    copy = tmp_path / "0000012"
    for path in there(home):
        if path.startswith("checkpoints/0000012/"):
            copy.mkdir(exist_ok=True)
            (copy / Path(path).name).write_bytes(home.store.read(f"{home.folder}/{path}"))
    assert fault_of(copy) == ""
    assert read_progress(copy) == outcome.progress  # With the validation loss, which was measured later.


@pytest.mark.parametrize(("left_at", "where"), [(1, "home"), (22, "home_in_s3"), (40, "home")])
def test_another_machine_goes_on_to_the_same_bits(request, machine, tmp_path, left_at, where):
    home = request.getfixturevalue(where)
    task = ToyTask(toy_config())
    task.leave_at = left_at
    first = train(home, task)
    assert first.status == "interrupted" and steps(home)[-1] == first.progress.step
    shutil.rmtree(machine)
    second = train(home, resume=True)
    assert second.status == "done"
    assert_same(whole(tmp_path), second)
    losses = [[line["line.loss"] for line in read_metrics(folder)] for folder in (home.path, tmp_path / "whole")]
    assert losses[0] == losses[1] and len(losses[0]) == 12
    judged = [
        [line.get("validation_loss") for line in read_metrics(folder)] for folder in (home.path, tmp_path / "whole")
    ]
    assert judged[0] == judged[1]


def test_a_killed_run_goes_on_elsewhere_from_what_was_up(home, machine, tmp_path):
    task = ToyTask(toy_config())
    task.fail[10] = Killed()
    with pytest.raises(Killed):
        train(home, task)
    shutil.rmtree(machine)
    assert_same(whole(tmp_path), train(home, resume=True))


def damage(home: WorkingFolder, path: str) -> None:
    data = home.store.read(f"{home.folder}/{path}")
    home.store.write(f"{home.folder}/{path}", data[: len(data) // 2])


def stopped_at_ten(home: WorkingFolder) -> None:
    task = ToyTask(toy_config())
    task.leave_at = 40
    train(home, task)
    assert steps(home) == [9, 10]


@pytest.mark.parametrize("name", ["line.safetensors", "state.json"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(home, machine, tmp_path, caplog, name):
    stopped_at_ten(home)
    shutil.rmtree(machine)
    damage(home, f"checkpoints/0000010/{name}")
    second = train(home, resume=True)
    assert "0000010 is damaged" in caplog.text and (home.path / "checkpoints" / "0000010.damaged").is_dir()
    assert steps(home) == [9, 12]
    assert_same(whole(tmp_path), second)


def test_a_checkpoint_without_its_state_is_none_and_goes(home, machine):
    stopped_at_ten(home)
    shutil.rmtree(machine)
    home.store.remove(f"{home.folder}/checkpoints/0000010/state.json")
    remote = Remote(home)
    remote.begin()
    assert remote.steps == [9]
    train(home, resume=True)
    assert steps(home) == [9, 12]


def test_a_checkpoint_that_is_damaged_on_this_machine_alone_is_fetched_again(home, caplog):
    stopped_at_ten(home)
    file = home.path / "checkpoints" / "0000010" / "line.safetensors"
    os.truncate(file, 10)
    train(home, resume=True)
    assert "damaged" not in caplog.text


def test_scratch_of_a_run_that_the_store_no_longer_has_is_not_continued(home):
    train(home)
    home.store.remove_tree(home.folder)
    task = ToyTask(toy_config())
    again = train(home, task)  # Without resume: there is no run.
    assert again.status == "done" and steps(home) == [9, 12]


def test_a_run_in_the_store_is_not_written_over(home, machine):
    train(home)
    shutil.rmtree(machine)
    with pytest.raises(BadSetup, match="--resume"):
        train(home)


def test_steps_go_on_while_the_store_is_away_and_the_checkpoints_follow(home, tmp_path, caplog, monkeypatch):
    away = [True] * 4
    put = WorkingFolder.put

    def fail(self, *within):
        if within and within[0].startswith("checkpoints/") and away:
            away.pop()
            raise BadSetup("s3://there cannot be written to")
        put(self, *within)

    monkeypatch.setattr(WorkingFolder, "put", fail)
    outcome = train(home)
    assert caplog.text.count("stays in") == 4 - len(away) == 4
    assert outcome.status == "done" and steps(home) == [9, 12]


def test_a_run_that_cannot_put_its_last_checkpoint_says_where_it_is(home, monkeypatch):
    put = WorkingFolder.put

    def fail(self, *within):
        if within and within[0].startswith("checkpoints/0000012"):
            raise BadSetup("s3://there cannot be written to")
        put(self, *within)

    monkeypatch.setattr(WorkingFolder, "put", fail)
    with pytest.raises(BadSetup, match=rf"s3://there .*until then the newest checkpoints are in {home.path} alone"):
        train(home)
    monkeypatch.undo()


def test_a_checkpoint_that_goes_up_slowly_gets_there_and_goes_later(home, monkeypatch):
    """All others are written while the first one goes up."""
    seen, removed = [], []
    put, remove, wait = Remote._put, Remote.remove, Remote.wait
    written = threading.Event()

    def slow(self, step):
        if step == 3:
            assert written.wait(30)
            seen.append((home.path / "checkpoints" / "0000003" / "state.json").is_file())
        put(self, step)

    def waited(self):
        written.set()
        wait(self)

    monkeypatch.setattr(Remote, "_put", slow)
    monkeypatch.setattr(Remote, "wait", waited)
    monkeypatch.setattr(Remote, "remove", lambda self, step: (removed.append(step), remove(self, step)))
    train(home)
    assert seen == [True] and 3 in removed and steps(home) == [9, 12]
    assert sorted(path.name for path in (home.path / "checkpoints").iterdir()) == ["0000009", "0000012"]


@pytest.mark.usefixtures("quick_leases")
def test_only_one_machine_trains_in_a_folder(home, tmp_path):
    refusal = pytest.raises(BadSetup, match=rf"another machine trains in {home.store.url(home.folder)}")
    with alone_in(tmp_path / "copy of another machine", home), refusal, alone_in(home.path, home):
        pass
    with alone_in(home.path, home):  # It was given up.
        pass


def test_an_export_is_replaced_as_a_whole(home):
    (home.path / "export").mkdir(parents=True)
    for name in ("a", "b"):
        (home.path / "export" / name).write_text(name)
    (home.path / "export.json").write_text("{}")
    put_anew(home, "export", "export.json")
    (home.path / "export" / "b").unlink()
    put_anew(home, "export", "export.json")
    assert there(home) == ["export.json", "export/a"]
    (home.path / "export" / "stray").write_text("of an earlier one")
    fetch_if_there(home, "export")
    assert [path.name for path in (home.path / "export").iterdir()] == ["a"]


def test_an_address_below_the_root_has_the_copy_of_its_assets(machine):
    store = Store("s3://bucket/root")
    found = working_folder("s3://bucket/root/training/rgba_vae/export", store)
    assert found == WorkingFolder(store, "training/rgba_vae/export")
    assert found.path == WorkingFolder(store, "training/rgba_vae").path / "export"
    with pytest.raises(BadSetup, match="names no folder in a bucket"):
        working_folder("s3://bucket")
