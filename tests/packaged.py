"""The demo's packaged sources, cut out of their photographs once for a whole run of the tests.

GrabCut takes seconds for them, and every demo root begins with the same ones. Tests of their making
(`tests/pipelines/packaged`) and of the command from nothing (`tests/end_to_end`) make their own.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run of the tests share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder, written by whoever comes first; the others wait for it."""
    done = folder.with_suffix(".done")
    with folder.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            write(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session", autouse=True)
def packaged_sources_are_cut_out_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every factory of this process lays out copies; tests that never load the factory pay nothing."""
    if "pipelines.factory" not in sys.modules:
        return
    from pipelines.packaged import mulan_tree
    from pipelines.stages.store import Store
    from tests.stores import put_up

    write, shared = mulan_tree.write_mulan_tree, shared_folder(tmp_path_factory)

    def copy(folder: str | Path) -> None:
        if "://" in str(folder):
            root, _, name = str(folder).rpartition("/")
            put_up(once(shared / "mulan_tree", write), Store(root), name)
            return
        # Without times: a file that is laid out is as new as one that is made.
        shutil.copytree(once(shared / "mulan_tree", write), folder, copy_function=shutil.copyfile, dirs_exist_ok=True)

    mulan_tree.write_mulan_tree = copy
