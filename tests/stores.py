"""Roots in object stores for tests: of one process's memory, and of an S3 server."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.stages import object_leases
from pipelines.stages.store import Store


@pytest.fixture(params=["memory", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty root in an object store; this machine's copies of it lie in the test's folder."""
    monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / "cache"))
    root = request.getfixturevalue("s3").bucket() if request.param == "s3" else f"memory://{uuid.uuid4().hex}"
    return Store(f"{root}/run")


@pytest.fixture
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases in object stores that a dead process holds for seconds."""
    for name, seconds in {"LEASE_S": 3.0, "RENEW_S": 0.2, "LOOK_S": 0.05}.items():
        monkeypatch.setattr(object_leases, name, seconds)
    # The thread of the one that is there may sleep for as long as leases are usually renewed after.
    monkeypatch.setattr(object_leases, "_keeper", object_leases._Keeper())


@contextmanager
def held_elsewhere(store: Store, path: str) -> Iterator[None]:
    """A lease that a process on another machine holds, and renews."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(0.1):
            store.write(path, uuid.uuid4().bytes)

    store.write(path, b"begun")
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        store.remove(path)


def put_up(folder: Path, store: Store, below: str = "") -> None:
    """Copy a folder with all that is in it into a store."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.write(f"{below}/{path.relative_to(folder).as_posix()}".lstrip("/"), path.read_bytes())
