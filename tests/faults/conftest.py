"""What all tests of faults share: an undisturbed root, made once, and commands that end with their test."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import PROFILE, Commands, copy_sources, decoupage


@pytest.fixture(autouse=True)
def _small_profile(_no_profile_in_the_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PROFILE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A root whose run nothing disturbed; all processes of a run of pytest share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    root = shared / "undisturbed"
    with (shared / "undisturbed.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "undisturbed.made").exists():
            for name, value in PROFILE.items():
                patch.setenv(name, value)
            assert decoupage("scenes", "make", "--root", root) == 0
            (shared / "undisturbed.made").touch()
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A root that lacks scenes and what is made from them."""
    return copy_sources(whole, tmp_path / "root")


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """Starts commands; what is left of them is killed after the test."""
    started = Commands(tmp_path)
    yield started
    for one in started.all:
        one.close()
