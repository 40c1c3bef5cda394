"""Of several processes one works on a thing, and what a dead one held is free again."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from types import SimpleNamespace

import pytest

from pipelines.stages import object_leases
from pipelines.stages.leases import take, wait_until_free
from pipelines.stages.store import Store
from tests.object_store import Fault

PROGRAM = """
import sys, time
from pipelines.stages import object_leases
from pipelines.stages.leases import take, wait_until_free
from pipelines.stages.store import Store
object_leases.RENEW_S, object_leases.LOOK_S = 0.2, 0.1
store = Store(sys.argv[1])
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(object_leases, "LEASE_S", 3.0)
    monkeypatch.setattr(object_leases, "RENEW_S", 0.2)
    monkeypatch.setattr(object_leases, "LOOK_S", 0.05)


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path) -> Store:
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('s3').bucket()}/run")
    return Store(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4()}")


@pytest.fixture
def bucket(s3) -> Store:
    return Store(f"{s3.bucket()}/run")


def test_one_at_a_time(store):
    held = take(store, "scenes/.00000.lock")
    assert held is not None
    assert take(store, "scenes/.00000.lock") is None
    other = take(store, "scenes/.00001.lock")
    assert other is not None
    other.release()
    held.release()
    again = take(store, "scenes/.00000.lock")
    assert again is not None
    again.release()
    assert store.names("scenes") == []


def test_waiting_ends_with_the_release(store, quick):
    wait_until_free(store, "a.lock", "a")
    held = take(store, "a.lock")
    assert held is not None
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (wait_until_free(store, "a.lock", "a"), done.set()), daemon=True)
    waiting.start()
    assert not done.wait(0.3)
    held.release()
    assert done.wait(30)


@pytest.mark.faults
def test_a_lease_that_is_renewed_is_not_taken_over(bucket, quick, monkeypatch):
    monkeypatch.setattr(object_leases, "_keeper", object_leases._Keeper())
    held = take(bucket, "a.lock")
    assert held is not None
    deadline = time.monotonic() + 2 * object_leases.LEASE_S
    versions = set()
    while time.monotonic() < deadline:
        assert take(bucket, "a.lock") is None
        versions.add(bucket.version("a.lock"))
        time.sleep(0.1)
    assert len(versions) > 2
    held.release()
    assert not bucket.exists("a.lock")


def test_of_several_one_takes_over_what_is_not_renewed(bucket, monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(object_leases, "_keeper", SimpleNamespace(add=lambda held: None, drop=lambda held: None))
    clock = SimpleNamespace(monotonic=lambda: now_s[0], sleep=time.sleep, strftime=time.strftime)
    monkeypatch.setattr(object_leases, "time", clock)
    held = take(bucket, "a.lock")
    assert held is not None
    waiting = [object_leases._Watch() for _ in range(5)]

    def all_try():
        won = []
        for watch in waiting:
            monkeypatch.setattr(object_leases, "_watch", watch)
            won += [found] if (found := take(bucket, "a.lock")) else []
        return won

    assert all_try() == []
    now_s[0] += object_leases.LEASE_S - 1
    assert all_try() == []
    now_s[0] += 1
    (winner,) = all_try()
    held.renew()
    assert held.is_lost
    held.release()
    assert bucket.exists("a.lock"), "a release removed another's lease"
    winner.release()
    assert not bucket.exists("a.lock")


def test_a_clock_that_jumps_frees_nothing(bucket, monkeypatch):
    held = take(bucket, "a.lock")
    assert take(bucket, "a.lock") is None
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert take(bucket, "a.lock") is None
    held.release()


def test_a_renewal_that_fails_is_tried_again(faulty, s3, quick, monkeypatch, caplog):
    monkeypatch.setattr(object_leases, "_keeper", object_leases._Keeper())
    bucket = Store(f"{s3.bucket()}/run")
    held = take(bucket, "a.lock")
    assert held is not None
    before = bucket.version("a.lock")
    faulty.add(Fault("PUT", times=1, status=403))
    deadline = time.monotonic() + 30
    while bucket.version("a.lock") == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "a lease was not renewed" in caplog.text
    assert not held.is_lost
    held.release()
    assert not bucket.exists("a.lock")


@pytest.mark.faults
def test_what_a_killed_process_held_is_free_again(bucket, quick, caplog):
    program = PROGRAM + "take(store, 'a.lock')\nprint('has it', flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-c", program, bucket.root], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout.readline() == "has it\n"
        end = time.monotonic() + 1.2 * object_leases.LEASE_S
        while time.monotonic() < end:
            assert take(bucket, "a.lock") is None
            time.sleep(0.1)
        os.kill(child.pid, signal.SIGKILL)
    wait_until_free(bucket, "a.lock", "a")
    assert f"taken over from process {child.pid}" in caplog.text
    assert not bucket.exists("a.lock")


@pytest.mark.faults
def test_processes_take_turns(bucket):
    program = PROGRAM + (
        "for _ in range(5):\n"
        "    while (held := take(store, 'a.lock')) is None: wait_until_free(store, 'a.lock', 'a')\n"
        "    assert store.create('inside', b''), 'two at once'\n"
        "    store.remove('inside')\n"
        "    held.release()\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, bucket.root]) for _ in range(3)]
    assert [child.wait(90) for child in children] == [0, 0, 0]
    assert bucket.tree() == []
