"""Stores with finished shards of the discs, without and with the dataset folder."""

import hashlib
import json
import pickle
import shutil

import pytest

from pipelines.config import BackgroundConfig, DataConfig, MulanConfig, ScenesConfig
from pipelines.dataset import figures
from pipelines.dataset.build import write_dataset
from pipelines.dataset.figures import draw_figures
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.pipelines.dataset.discs import NUM_SCENES, SCENES_PER_SHARD, SIZE_PX, FixtureStage


@pytest.fixture(autouse=True, scope="package")
def _same_figures_are_drawn_once():
    """Drawing takes most of a build; that it gives the same bytes each time, `test_statistics.py` shows."""
    drawn: dict[str, dict[str, bytes]] = {}

    def draw(*what: object) -> dict[str, bytes]:
        key = hashlib.sha256(pickle.dumps(what)).hexdigest()
        if key not in drawn:
            drawn[key] = draw_figures(*what)
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_figures", draw)
        yield


@pytest.fixture(scope="session")
def config() -> DataConfig:
    return DataConfig(
        mulan=MulanConfig(source="packaged"),
        backgrounds=BackgroundConfig(source="packaged"),
        scenes=ScenesConfig(num_scenes=NUM_SCENES, scenes_per_shard=SCENES_PER_SHARD, size_px=SIZE_PX, seed=1),
    )


@pytest.fixture(scope="session")
def shard_files(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Finished shards; not to be written to (copy it, or take `store`)."""
    store = Store(str(tmp_path_factory.mktemp("finished")))
    for name in ("scenes", "shards"):
        run_stage(FixtureStage(name), store, SerialEngine())
    drop = {"id": "mulan-7", "reason": "truncated", "detail": "cut off"}
    store.write("quarantine/foregrounds-mulan.jsonl", json.dumps(drop).encode() + b"\n")
    return store


@pytest.fixture
def store(shard_files: Store, tmp_path) -> Store:
    """A copy of the finished shards that a test may change."""
    shutil.copytree(shard_files.root, tmp_path / "root")
    return Store(str(tmp_path / "root"))


@pytest.fixture(scope="session")
def built(shard_files: Store, config: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same with `dataset/` written; not to be written to."""
    root = tmp_path_factory.mktemp("built") / "root"
    shutil.copytree(shard_files.root, root)
    write_dataset(Store(str(root)), "demo", config)
    return Store(str(root))


@pytest.fixture
def built_copy(built: Store, tmp_path) -> Store:
    """A copy of it that a test may change."""
    shutil.copytree(built.root, tmp_path / "root")
    return Store(str(tmp_path / "root"))
