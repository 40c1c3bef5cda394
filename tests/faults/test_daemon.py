"""Dagster's daemon, its database and its runs, killed or restarted in the middle of a backfill."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from tests.faults.harness import CHECKOUT, Commands, Started, assert_like, has

pytestmark = pytest.mark.faults
MODULE = "tests.faults.one_shard_a_run"
SHARDS = ["00000", "00001", "00002", "00003"]
START_TIMEOUT_S = 90
PATIENCE_S = 240.0


@pytest.fixture
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None] | None]:
    """How to restart the database; None where it is files."""
    if request.param == "sqlite":
        yield None
        return
    pytest.importorskip("dagster_postgres")
    from decoupage.faults import BadSetup
    from deploy.cluster_demo import postgres
    from deploy.cluster_demo.processes import Programs, free_port

    with tempfile.TemporaryDirectory(prefix="faults-postgres-") as name:
        folder, port, password = Path(name), free_port(), secrets.token_urlsafe(24)
        programs = Programs(folder / "logs")
        try:
            postgres._make(folder, password)
        except BadSetup as fault:
            pytest.skip(str(fault))
        for key, value in {"HOST": "127.0.0.1", "PORT": port, "DB": "postgres", "USER": "dagster"}.items():
            monkeypatch.setenv(f"DAGSTER_POSTGRES_{key}", str(value))
        monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", password)
        servers = [postgres.running(programs, folder, port)]
        servers[0].__enter__()

        def restart() -> None:
            servers.pop().__exit__(None, None, None)
            time.sleep(3.0)
            servers.append(postgres.running(programs, folder, port))
            servers[0].__enter__()

        try:
            yield restart
        finally:
            servers.pop().__exit__(None, None, None)


@contextmanager
def instance_of(home: Path, settings: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a folder, by a file of settings; slots of ended runs come free within a second.

    A run whose daemon is killed before its process starts is found by the time that a start may take, and by no sign
    of its own.
    """
    home.mkdir()
    told = yaml.safe_load(settings.read_text())
    told["run_monitoring"] |= {
        "free_slots_after_run_end_seconds": 1,
        "poll_interval_seconds": 1,
        "start_timeout_seconds": START_TIMEOUT_S,
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(told))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def launch(instance: dg.DagsterInstance, graph: object, asset: str, keys: list[str]) -> str:
    """A backfill of an asset, as the page of an asset launches it; returns its id."""
    id = secrets.token_hex(4)
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=id,
        asset_graph=graph,
        partition_names=keys,
        asset_selection=[dg.AssetKey(asset)],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return id


def wait_for(what: Callable[[], object], named: str, daemon: Started) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline_s, f"{named}: not within {PATIENCE_S:.0f} s\n{daemon.said[-5000:]}"
        time.sleep(0.2)


def is_over(instance: dg.DagsterInstance, id: str) -> Callable[[], bool]:
    def over() -> bool:
        return instance.get_backfill(id).status in (
            BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILED,
        )  # fmt: skip

    return over


def materialized(instance: dg.DagsterInstance, asset: str) -> list[str | None]:
    """Partitions of an asset, once for each time that it was made."""
    return [record.partition_key for record in instance.fetch_materializations(dg.AssetKey(asset), limit=100).records]


@pytest.mark.parametrize("database", [pytest.param("sqlite", marks=pytest.mark.slow), "postgres"], indirect=True)
def test_a_backfill_outlives_its_daemon_and_its_database(
    whole, tmp_path, commands: Commands, capsys, monkeypatch, database
):
    home, note, root = tmp_path / "dagster", tmp_path / "note", shutil.copytree(whole, tmp_path / "root")
    shutil.rmtree(root / "edges")
    settings = CHECKOUT / ("dagster.yaml" if database is None else "deploy/dagster.postgres.yaml")
    for name, value in {"DAGSTER_HOME": home, "DECOUPAGE_ROOT": root, "FAULTS_NOTE": note}.items():
        monkeypatch.setenv(name, str(value))
    from tests.faults.one_shard_a_run import POOL, defs

    graph = defs.resolve_asset_graph()
    with instance_of(home, settings) as instance:
        daemon = commands.module("dagster._daemon", "run", "-m", MODULE)
        id = launch(instance, graph, "edge_maps", SHARDS)
        launch(instance, graph, "killed_once", ["only"])
        wait_for(has(root, "edges/00000.json"), "the first shard", daemon)
        daemon.kill()
        if database is not None:
            database()
        again = commands.module("dagster._daemon", "run", "-m", MODULE)
        wait_for(is_over(instance, id), "the end of the backfill", again)
        wait_for(lambda: materialized(instance, "killed_once"), "the retry of the killed run", again)
        assert instance.get_backfill(id).status == BulkActionStatus.COMPLETED_SUCCESS
        wait_for(lambda: not instance.event_log_storage.get_concurrency_info(POOL).claimed_slots, "a free slot", again)
        assert sorted(materialized(instance, "edge_maps")) == SHARDS
        assert note.exists() and materialized(instance, "killed_once") == ["only"]
    again.process.terminate()
    again.process.wait(60)
    again.assert_all_gone(90)
    daemon.assert_all_gone(90)
    assert_like(root, whole, capsys)
