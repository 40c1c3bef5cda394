"""What all tests share: one thread a process, a clean environment, and the pictures that are not in the repository."""

import gc
import os
import signal
import sys

# A shell lets what it starts in the background ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Before anything imports a numeric library: threads on shared cores only fight (and tests may run side by side).
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.object_store import _faulty, faulty, s3  # noqa: F401 - fixtures of all tests
from tests.packaged import packaged_sources_are_cut_out_once  # noqa: F401
from tests.stores import quick_leases, remote  # noqa: F401
from tests.warm.python import warm_python

CHECKOUT = Path(__file__).parent.parent
LONG = {CHECKOUT / "tests" / name for name in ("training/test_on_ray.py", "end_to_end/test_data_page.py")}
SHARED_DATA = CHECKOUT.parent / "shared" / "data"

# How long an example takes says nothing on a shared core.
settings.register_profile("house", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_profile_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own DECOUPAGE_* variables do not reach the tests."""
    for name in [name for name in os.environ if name.startswith("DECOUPAGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_picture() -> Callable[[str], Path]:
    """Path of a real picture by name, e.g. `cutouts/dog.png`; the test is skipped where the pictures are absent."""

    def find(name: str) -> Path:
        if not SHARED_DATA.is_dir():
            pytest.skip("the shared pictures are absent")
        return SHARED_DATA / name

    return find


def pytest_configure(config: pytest.Config) -> None:
    """Beside several workers runs one warm Python, for the programs that tests start."""
    if getattr(config.option, "numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        warm = warm_python()
        warm.__enter__()
        config.add_cleanup(lambda: warm.__exit__(None, None, None))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes begin first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: item.path not in LONG)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Definitions are loaded without an instance's state; tests marked `gpu` are skipped without a CUDA device."""
    _set_apart(item.path)
    if "dagster" in sys.modules:
        from dagster._core.storage.defs_state.base import DefsStateStorage

        # An instance puts its storage in a variable of the process, and whenever it is collected as garbage, the one
        # before it back, which may be dead: whatever loads definitions then fails. No definitions of ours have state.
        DefsStateStorage.get = staticmethod(lambda: None)
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


_last_file: Path | None = None


def _set_apart(path: Path) -> None:
    """Before a file's first test, what is there by now is set apart from the garbage collector.

    Else each collection, of which some code of ours asks for one after every method that it has evaluated, looks at the
    millions of objects of five thousand tests and their libraries, which takes seconds.
    """
    global _last_file
    if path != _last_file:
        _last_file = path
        gc.collect()
        gc.freeze()
