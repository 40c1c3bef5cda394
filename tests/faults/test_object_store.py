"""An object store that answers badly, goes away, or is written to by two runs: the same bytes as in a folder."""

import threading
import time

import pytest

from pipelines.stages.store import Store
from tests.faults.harness import SOURCES, assert_like, assert_recovers, decoupage, has
from tests.object_store import Fault

pytestmark = pytest.mark.faults
pytest.importorskip("s3fs")
STAGES = ("scenes", "masks", "shards")


@pytest.fixture
def bucket(whole, s3, tmp_path, monkeypatch):
    """A root in an object store that lacks scenes and what is made from them."""
    monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / "cache"))
    store, sources = Store(f"{s3.bucket()}/run"), Store(str(whole))
    for path in sources.tree():
        if path.split("/")[0] in SOURCES:
            store.write(path, sources.read(path))
    return store.root


@pytest.fixture
def at_once(monkeypatch):
    """Attempts without waits between them, in this process."""
    from botocore.retries.standard import ExponentialBackoff

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0.0)


def of_stages(request):
    """Whether a request is for a shard that is being made."""
    return request.path.rpartition("/")[0].rpartition("/")[2] in STAGES


def test_a_store_that_answers_badly_in_the_middle_of_the_stages(whole, bucket, faulty, at_once, capsys):
    bad = [{"status": 500}, {"status": 503}, {"reset": True}, {"lost": True}, {"delay_s": 0.3}]
    for kind in ("PUT", "GET", "HEAD", "DELETE"):
        faulty.add(*(Fault(kind, times=3, matches=of_stages, **fault) for fault in bad))
    faulty.add(Fault("GET", times=3, matches=of_stages, short=True))
    assert_recovers(bucket, whole, capsys)
    left = [fault for fault in faulty._faults if fault.times and fault.kind in ("PUT", "GET")]
    assert left == [], "every fault happened"


def test_a_store_that_goes_away_for_twenty_seconds(whole, bucket, faulty, commands, capsys):
    run = commands.make(bucket)
    run.until(has(bucket, "scenes/00000.json"), "first shard")
    faulty.add(Fault(times=1_000_000, reset=True))
    time.sleep(20)
    faulty.clear()
    assert run.ended() == 0, run.said
    assert_like(bucket, whole, capsys)


def test_a_store_that_does_not_come_back_ends_the_run_with_a_sentence(whole, bucket, faulty, at_once, capsys):
    def take_away():
        while not any(of_stages(request) and request.kind == "PUT" for request in list(faulty.requests)):
            time.sleep(0.005)
        faulty.add(Fault(times=1_000_000, reset=True))

    threading.Thread(target=take_away, daemon=True).start()
    assert decoupage("scenes", "make", "--root", bucket) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told and faulty.url in told.splitlines()[-1] and bucket in told.splitlines()[-1], told
    faulty.clear()
    assert_recovers(bucket, whole, capsys)


def test_two_runs_of_all_shards_in_an_object_store(whole, bucket, commands, capsys):
    runs = [commands.make(bucket) for _ in range(2)]
    assert [run.ended() for run in runs] == [0, 0], runs[0].said + runs[1].said
    assert_like(bucket, whole, capsys)


def test_a_step_that_is_killed_leaves_a_lease_that_the_next_run_takes_over(
    whole, bucket, commands, capsys, monkeypatch
):
    from pipelines.stages import object_leases

    monkeypatch.setattr(object_leases, "LEASE_S", 3.0)
    run = commands.make(bucket)
    run.until(lambda: has(bucket, "scenes/00000.json")() and has(bucket, "scenes/.00001.lock")(), "second shard")
    run.kill()
    run.assert_all_gone()
    assert_recovers(bucket, whole, capsys)
    assert not has(bucket, "scenes/.00001.lock")()
