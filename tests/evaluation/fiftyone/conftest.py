"""A MongoDB for these tests, and a small dataset in it; without FiftyOne or MongoDB they are skipped."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from evaluation.fiftyone.database import URI, database, find_mongod
from pipelines.factory import Factory
from pipelines.stages.store import Store
from profiles.profile import load_profile

SMALL = {
    "scenes.num_scenes": "8",
    "scenes.scenes_per_shard": "2",
    "scenes.size_px": "64",
    "held_out.num_scenes": "3",
    "generated.prompts_per_category": "4",
    "generated.size_px": "128",
    "engine.kind": "serial",
}


@pytest.fixture(scope="session")
def mongod() -> Path:
    found = find_mongod() if importlib.util.find_spec("fiftyone") else None
    if found is None:
        # `.ci/run` says CI: there they must run.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no FiftyOne with a mongod; `make test` gets both")
    return found


@pytest.fixture(scope="session")
def server(mongod: Path, tmp_path_factory: pytest.TempPathFactory):
    if os.environ.get(URI):
        pytest.skip(f"{URI} names a database that is not the tests'")
    with database(tmp_path_factory.mktemp("database")) as uri:
        yield uri


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inspected")
    factory_of(root).make_shards()
    factory_of(root).make_held_out()
    return root


@pytest.fixture
def root(whole: Path, server: str, tmp_path: Path):
    """A copy that a test may change; its dataset goes with it."""
    import fiftyone as fo

    yield Path(shutil.copytree(whole, tmp_path / "root"))
    fo.delete_datasets("decoupage-*")


def profile_of(root: Path, **changes: str):
    return load_profile("demo", str(root), SMALL | {key.replace("__", "."): value for key, value in changes.items()})


def factory_of(root: Path, **changes: str) -> Factory:
    return Factory(profile_of(root, **changes), Store(str(root)))
