"""A folder of a store as a local folder: copied from it, and put into it."""

import subprocess
import sys
import uuid

import pytest

from decoupage.cache import cache_folder
from decoupage.faults import BadSetup
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder
from tests.object_store import Fault


@pytest.fixture(params=["memory", "s3"])
def store(request) -> Store:
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('s3').bucket()}/run")
    return Store(f"memory://{uuid.uuid4()}/run")


@pytest.fixture
def bucket(faulty, s3) -> Store:
    return Store(f"{s3.bucket()}/run")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Change to a machine of this name: its cache is its own."""

    def change(name):
        monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / name))

    change("first")
    return change


def files(folder):
    found = (path for path in folder.path.rglob("*") if path.is_file())
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in found if path.name[0] != "."}


def test_a_local_folder_is_used_itself(tmp_path):
    store = Store(str(tmp_path))
    folder = WorkingFolder(store, "training/run")
    assert folder.path == tmp_path / "training" / "run"
    folder.fetch()
    folder.put("anything")
    assert not folder.path.exists()


def test_what_one_machine_puts_another_fetches(store, machine):
    folder = WorkingFolder(store, "training/run")
    (folder.path / "checkpoints" / "1").mkdir(parents=True)
    (folder.path / "checkpoints" / "1" / "weights").write_bytes(b"w" * 1000)
    (folder.path / "checkpoints" / "1" / ".hidden").write_bytes(b"")
    (folder.path / "latest").write_bytes(b"1")
    (folder.path / "scratch").write_bytes(b"stays here")
    folder.put("checkpoints", "latest")
    assert store.tree() == ["training/run/checkpoints/1/weights", "training/run/latest"]
    machine("second")
    assert not folder.path.exists()
    folder.fetch("latest", "absent")
    assert files(folder) == {"latest": b"1"}
    folder.fetch()
    assert files(folder) == {"latest": b"1", "checkpoints/1/weights": b"w" * 1000}
    assert folder.path.is_relative_to(cache_folder())


def test_only_what_changed_is_copied(bucket, faulty, machine):
    for i in range(5):
        bucket.write(f"a/{i}", b"old")
    folder = WorkingFolder(bucket, "a")
    folder.fetch()
    bucket.write("a/3", b"new")
    faulty.clear()
    folder.fetch()
    assert faulty.counts == {"LIST": 1, "GET": 1}
    assert files(folder) == {"0": b"old", "1": b"old", "2": b"old", "3": b"new", "4": b"old"}
    (folder.path / "1").write_bytes(b"put by this machine")
    folder.put("1")
    faulty.clear()
    folder.fetch()
    assert faulty.counts == {"LIST": 1}


def test_of_a_folder_only_what_the_store_lacks_is_put(bucket, faulty, machine):
    folder = WorkingFolder(bucket, "a")
    (folder.path / "x").mkdir(parents=True)
    for i in range(4):
        (folder.path / "x" / str(i)).write_bytes(b"old")
    folder.put("x")
    (folder.path / "x" / "1").write_bytes(b"newer")
    bucket.remove("a/x/2")
    faulty.clear()
    folder.put("x")
    assert faulty.counts == {"LIST": 1, "PUT": 2}
    assert [bucket.read(f"a/x/{i}") for i in range(4)] == [b"old", b"newer", b"old", b"old"]


def test_copies_go_with_their_objects_and_own_files_stay(store, machine):
    for name in ("x/kept", "x/gone", "x/changed", "y/gone"):
        store.write(f"a/{name}", b"data")
    folder = WorkingFolder(store, "a")
    folder.fetch()
    (folder.path / "x" / "own").write_bytes(b"never in the store")
    (folder.path / "x" / "changed").write_bytes(b"changed here since")
    for name in ("x/gone", "x/changed", "y/gone"):
        store.remove(f"a/{name}")
    folder.fetch("x")
    assert sorted(files(folder)) == ["x/changed", "x/kept", "x/own", "y/gone"]
    folder.fetch()
    assert sorted(files(folder)) == ["x/changed", "x/kept", "x/own"]


def test_a_fetch_that_broke_off_goes_on(bucket, faulty, machine, monkeypatch):
    monkeypatch.setattr("pipelines.stages.working._NOTE_EVERY", 2)
    for i in range(6):
        bucket.write(f"a/{i}", bytes([i]) * 100)
    folder = WorkingFolder(bucket, "a")
    faulty.add(Fault("GET", times=100, status=403, matches=lambda request: request.path.endswith("/3")))
    with pytest.raises(BadSetup, match=r"a/3 cannot be read"):
        folder.fetch()
    assert {"0", "1"} <= set(files(folder)) <= set("01245")
    faulty.clear()
    folder.fetch()
    assert files(folder) == {str(i): bytes([i]) * 100 for i in range(6)}
    assert faulty.counts["GET"] == 4


def test_an_object_cannot_leave_the_folder(s3, machine, tmp_path):
    bucket = Store(f"{s3.bucket()}/run")
    objects = bucket.objects
    objects.run(objects.call("put_object", Key="run/a/../../../../../evil", Body=b"x"))
    WorkingFolder(bucket, "a").fetch()
    assert not list(tmp_path.rglob("evil"))
    objects.run(objects.call("put_object", Key="run/a/b//c", Body=b"x"))
    with pytest.raises(BadSetup, match="cannot be a file"):
        WorkingFolder(bucket, "a").fetch()


@pytest.mark.slow
def test_two_processes_fetch_at_once(bucket, machine):
    for i in range(40):
        bucket.write(f"a/{i}", bytes([i]) * 10_000)
    program = (
        "import sys\nfrom pipelines.stages.store import Store\nfrom pipelines.stages.working import WorkingFolder\n"
        "folder = WorkingFolder(Store(sys.argv[1]), 'a')\n"
        "for _ in range(5): folder.fetch()\n"
        "assert all((folder.path / str(i)).read_bytes() == bytes([i]) * 10_000 for i in range(40))\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, bucket.root]) for _ in range(3)]
    assert [child.wait(90) for child in children] == [0, 0, 0]
