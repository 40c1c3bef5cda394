"""Roots in object stores for tests: of one process's memory, and of an S3 server."""

import uuid
from pathlib import Path

import pytest

from pipelines.stages.store import Store


@pytest.fixture(params=["memory", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty root in an object store; this machine's copies of it lie in the test's folder."""
    monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / "cache"))
    root = request.getfixturevalue("s3").bucket() if request.param == "s3" else f"memory://{uuid.uuid4().hex}"
    return Store(f"{root}/run")


def put_up(folder: Path, store: Store, below: str = "") -> None:
    """Copy a folder with all that is in it into a store."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.write(f"{below}/{path.relative_to(folder).as_posix()}".lstrip("/"), path.read_bytes())
