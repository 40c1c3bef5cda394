"""A path holds a whole object or nothing, in a folder as in an object store."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from decoupage.faults import BadSetup
from pipelines.stages.store import Store
from pipelines.stages.tables import parquet_bytes


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path) -> Store:
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('s3').bucket()}/a prefix")
    return Store(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4()}/a prefix")


def test_what_is_written_is_read(store):
    store.write("scenes/00000.tar", b"0123456789")
    assert store.exists("scenes/00000.tar")
    assert store.read("scenes/00000.tar") == b"0123456789"
    assert store.size("scenes/00000.tar") == 10
    assert store.read_range("scenes/00000.tar", 3, 4) == b"3456"
    assert store.read_range("scenes/00000.tar", 8, 0) == b""


def test_a_second_write_replaces_the_first(store):
    store.write("a", b"long first")
    store.write("a", b"2")
    assert store.read("a") == b"2"


def test_names_are_sorted_and_direct(store):
    for name in ("x/b.json", "x/a.json", "x/a.tar", "x/y/c.json"):
        store.write(name, b"")
    assert store.names("x", ".json") == ["a.json", "b.json"]
    assert store.names("absent") == []


def test_absent_objects(store):
    assert not store.exists("nothing")
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    store.remove("nothing")


def test_many_are_read_in_order_and_absent_ones_are_none(store):
    for name in ("a", "b", "c"):
        store.write(f"x/{name}", name.encode())
    assert store.read_many(["x/c", "x/nothing", "x/a"]) == [b"c", None, b"a"]
    assert store.read_many([]) == []


def test_tables_are_read_in_order_by_columns_and_an_absent_one_is_told(store):
    schema = pa.schema([("key", "str"), ("size", "int8")])
    for name in ("a", "b"):
        store.write(f"x/{name}", parquet_bytes([{"key": name, "size": 1}], schema))
    found = list(store.read_tables(["x/b", "x/a"], ["key"]))
    assert [table.to_pylist() for table in found] == [[{"key": "b"}], [{"key": "a"}]]
    with pytest.raises(FileNotFoundError, match="x/c"):
        list(store.read_tables(["x/a", "x/c"]))


def test_remove_takes_an_object_alone(store):
    store.write("x/a", b"a")
    store.write("x/ab", b"b")
    store.remove("x/a")
    assert store.tree() == ["x/ab"]


def test_remove_tree_takes_all_below_a_folder(store):
    store.write("x/a", b"a")
    store.write("x/y/b", b"b")
    store.write("xy", b"c")
    store.remove_tree("x")
    store.remove_tree("absent")
    assert not store.exists("x/a")
    assert not store.exists("x/y/b")
    assert store.exists("xy")


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd", "a\\..\\b", ".."])
def test_paths_stay_inside(store, path):
    with pytest.raises(ValueError, match="stay inside"):
        store.write(path, b"x")


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_nothing_and_the_old_object_stays(store, fault):
    def half(path: str) -> None:
        with store.writing(path) as file:
            file.write(b"half")
            raise fault

    store.write("x/old", b"old")
    with pytest.raises(fault):
        half("x/new")
    with pytest.raises(fault):
        half("x/old")
    assert store.names("x") == ["old"]
    assert store.read("x/old") == b"old"


def test_an_exception_leaves_no_temp_file(tmp_path):
    with pytest.raises(RuntimeError), Store(str(tmp_path)).writing("x/a"):
        raise RuntimeError
    assert list((tmp_path / "x").iterdir()) == []


def test_a_kill_in_the_middle_leaves_nothing_under_the_name(tmp_path):
    store = Store(str(tmp_path))
    program = (
        "import sys, time\n"
        "from pipelines.stages.store import Store\n"
        "with Store(sys.argv[1]).writing('x/a') as file:\n"
        "    file.write(b'half'); file.flush(); print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "writing\n"
    assert store.remove_leftovers("x") == 0, "the writer is alive: its file must stay"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not store.exists("x/a")
    assert store.names("x") == []
    assert len(list((tmp_path / "x").iterdir())) == 1
    assert store.remove_leftovers("x") == 1
    assert list((tmp_path / "x").iterdir()) == []


def test_who_holds_a_temp_file_open_is_alive_whatever_its_host_and_process_id_are(tmp_path, monkeypatch):
    """Two containers with equal host names and process ids must not remove each other's files."""
    store = Store(str(tmp_path))
    with store.writing("x/a") as file:
        file.write(b"half")
        (temp,) = (tmp_path / "x").iterdir()
        assert str(os.getpid()) not in temp.name.split(".") and socket.gethostname() not in temp.name
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        monkeypatch.setattr(os, "getpid", lambda: 1)
        assert store.remove_leftovers("x") == 0
    assert store.read("x/a") == b"half"


def test_temp_files_that_no_lock_tells_of_stay_for_a_week(tmp_path):
    (tmp_path / "x").mkdir()
    dead = tmp_path / "x" / ".a.tar.0123456789abcdef.tmp"
    old, fresh = tmp_path / "x" / ".a.tar.host.17.tmp", tmp_path / "x" / ".b.tar.host.17.tmp"
    link = tmp_path / "x" / ".c.tar.0123456789abcdef.tmp"
    kept = [fresh, link, tmp_path / "x" / "notes.tmp"]
    for path in (dead, old, fresh, kept[-1]):
        path.write_bytes(b"")
    link.symlink_to(fresh)
    os.utime(old, (time.time() - 8 * 86_400,) * 2)
    assert Store(str(tmp_path)).remove_leftovers("x") == 2
    assert sorted((tmp_path / "x").iterdir()) == sorted(kept)
    assert Store(str(tmp_path)).remove_leftovers("absent") == 0


def test_without_locks_age_alone_tells(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    store = Store(str(tmp_path))
    with store.writing("x/a") as file:
        file.write(b"half")
        assert store.remove_leftovers("x") == 0
    assert store.read("x/a") == b"half"
    old = tmp_path / "x" / ".b.0123456789abcdef.tmp"
    old.write_bytes(b"")
    os.utime(old, (time.time() - 8 * 86_400,) * 2)
    assert store.remove_leftovers("x") == 1


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_an_object_is_created_once(tmp_path, kind):
    store = Store(str(tmp_path) if kind == "local" else "memory://created")
    assert store.create("x/a", b"first") and not store.create("x/a", b"second")
    assert store.read("x/a") == b"first" and store.names("x") == ["a"]


def test_an_object_is_created_without_hard_links_too(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    store = Store(str(tmp_path))
    assert store.create("x/a", b"first") and not store.create("x/a", b"second")
    assert store.read("x/a") == b"first" and [path.name for path in (tmp_path / "x").iterdir()] == ["a"]


def test_what_the_system_says_of_a_file_names_it(tmp_path):
    store = Store(str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "f").write_text("")
    for fault in (lambda: store.read("a"), lambda: store.read_json("a"), lambda: store.read_range("f/b", 0, 1)):
        with pytest.raises(BadSetup, match=r"/(a|f/b) cannot be read \((Is|Not) a directory\)"):
            fault()
    with pytest.raises(BadSetup, match=r"Is a directory while writing /.*/a; correct that and run again"):
        store.write("a", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "f"]


def test_two_may_remove_at_once(tmp_path):
    """A folder of many files under two removers and a reader of it: no exception, and it is gone."""
    program = (
        "import sys\nfrom pipelines.stages.store import Store\nstore = Store(sys.argv[1])\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "for i in range(20): store.remove(f'folder{i}')\n"
    )
    for i in range(20):
        (tmp_path / f"folder{i}" / "deep").mkdir(parents=True)
        for number in range(40):
            (tmp_path / f"folder{i}" / "deep" / str(number)).write_bytes(b"")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], **pipes) for _ in range(2)]
    assert all(child.stdout.readline() == "ready\n" for child in children)
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.wait() for child in children] == [0, 0]
    for child in children:
        child.stdin.close()
        child.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_of_a_link_the_link_is_removed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    store = Store(str(tmp_path))
    for path in ("link", "nowhere", "absent"):
        store.remove(path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and (tmp_path / "there" / "a").is_file()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_stops_the_run_with_advice(tmp_path, monkeypatch, code):
    def no_space(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(BadSetup, match=r"while writing /.*/x/a; free space and run again"):
        Store(str(tmp_path)).write("x/a", b"data")
    assert list((tmp_path / "x").iterdir()) == []


def test_a_truly_full_device(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(BadSetup, match="No space left"), Store(str(tmp_path)).writing("a"):
        full.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_place_stops_the_run_with_advice(tmp_path, monkeypatch):
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(BadSetup, match="Read-only"):
        Store(str(tmp_path)).write("new/folder/a", b"data")


def test_readers_see_the_old_object_until_the_new_one_is_whole(store):
    store.write("a", b"old")
    with store.writing("a") as file:
        file.write(b"new")
        assert store.read("a") == b"old"
    assert store.read("a") == b"new"


def test_relative_roots_do_not_follow_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("data").url("a") == f"{tmp_path}/data/a"
    assert Store("data").is_local
    assert not Store("memory://x").is_local


def test_the_same_name_is_written_by_two_processes_without_mixing(tmp_path):
    program = (
        "import sys\nfrom pipelines.stages.store import Store\n"
        "for _ in range(50): Store(sys.argv[1]).write('a', sys.argv[2].encode() * 100_000)\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), letter]) for letter in "xy"]
    store, seen = Store(str(tmp_path)), set()
    deadline = time.monotonic() + 60
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        if store.exists("a"):
            seen.add(store.read("a"))
    assert all(child.wait() == 0 for child in children)
    seen.add(store.read("a"))
    assert seen <= {b"x" * 100_000, b"y" * 100_000}


def test_a_root_that_cannot_be_written_to_is_a_bad_set_up(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadSetup, match=r"cannot be written to.*choose another root"):
        Store(str(tmp_path / "file" / "root")).write("scenes/00000.json", b"{}")
