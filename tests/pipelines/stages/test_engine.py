"""Whichever engine maps, the results are the same, in order; and nobody is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from decoupage.faults import BadItem
from decoupage.randomness import generator
from pipelines.config import EngineConfig
from pipelines.engines import make_engine
from pipelines.stages.answers import WorkerLost
from pipelines.stages.engine import ProcessEngine, SerialEngine, ThreadEngine


def draw(item: int) -> float:
    return float(generator(3, "engine", item).random())


def slow_first(item: int) -> int:
    time.sleep(0.2 if item == 0 else 0.0)
    return item


def refuse_three(item: int) -> int:
    if item == 3:
        raise BadItem("too_large", "three is too many")
    return item


def worker_pid(_: int) -> int:
    return os.getpid()


def die(_: int) -> int:
    os._exit(3)


@dataclass
class Counting:
    """A task that keeps something between items, as caches of decoded pictures do."""

    seen: int = 0

    def __call__(self, _: int) -> int:
        self.seen += 1
        return self.seen


@pytest.fixture(scope="module", params=["serial", "process", "thread"])
def engine(request):
    return ThreadEngine(2) if request.param == "thread" else make_engine(EngineConfig(kind=request.param, workers=2))


def test_order_is_kept_whatever_finishes_first(engine):
    assert list(engine.map(slow_first, range(10))) == list(range(10))


def test_no_items_no_results(engine):
    assert list(engine.map(draw, [])) == []


def test_an_exception_travels_with_its_content(engine):
    results = engine.map(refuse_three, range(30))
    with pytest.raises(BadItem) as fault:
        list(results)
    assert (fault.value.reason, fault.value.detail) == ("too_large", "three is too many")


def test_an_exception_of_the_items_travels_too(engine):
    def items():
        yield 1
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        list(engine.map(draw, items()))


def test_processes_give_what_one_process_gives():
    assert list(ProcessEngine(2).map(draw, range(40))) == list(SerialEngine().map(draw, range(40)))


def test_work_is_done_elsewhere_by_as_many_as_asked():
    pids = set(ProcessEngine(2).map(worker_pid, range(64)))
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_a_task_reaches_each_worker_once():
    assert list(ProcessEngine(1).map(Counting(), range(5))) == [1, 2, 3, 4, 5]


def test_items_are_drawn_a_few_ahead_only():
    drawn = 0

    def items():
        nonlocal drawn
        while drawn < 1000:
            drawn += 1
            yield drawn

    results = ProcessEngine(2).map(draw, items())
    ahead = []
    for done, _ in enumerate(results, 1):
        ahead.append(drawn - done)
        if done == 100:
            results.close()
            break
    assert max(ahead) <= 8
    assert drawn < 120, "a closed map draws no further items"


def test_threads_share_the_task_and_hold_few_items():
    drawn, together = [], threading.Barrier(3)

    def items():
        for i in range(30):
            drawn.append(i)
            yield i

    def task(i):
        together.wait(timeout=30)  # Three at once, or it breaks.
        return i

    held = [len(drawn) - done for done, _ in enumerate(ThreadEngine(3).map(task, items()))]
    assert len(held) == 30
    assert max(held) <= 4


def test_a_closed_map_of_threads_ends():
    started = []
    results = ThreadEngine(2).map(started.append, range(1000))
    next(results)
    results.close()
    assert len(started) <= 4


def test_a_dying_worker_is_a_sentence_and_not_a_wait():
    with pytest.raises(WorkerLost, match=r"a worker process ended.*engine\.workers.*to continue"):
        list(ProcessEngine(1).map(die, range(3)))


def test_worker_numbers():
    assert isinstance(make_engine(EngineConfig(kind="serial")), SerialEngine)
    assert make_engine(EngineConfig(kind="process")).num_workers == len(os.sched_getaffinity(0))
    assert make_engine(EngineConfig(kind="process", workers=3)).num_workers == 3
    with pytest.raises(ValueError, match=r"engine\.workers must be at least 1, got -1"):
        ProcessEngine(-1)
    with pytest.raises(ValueError, match="at least 1 thread, got 0"):
        ThreadEngine(0)


PARENT = """
import os, sys, time
from pathlib import Path
from pipelines.config import EngineConfig
from pipelines.stages.engine import ProcessEngine

def task(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(0.05)

if __name__ == "__main__":
    for _ in ProcessEngine(2).map(task, [sys.argv[1]] * 10_000):
        pass
"""


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_workers_leave_when_the_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    pids = tmp_path / "pids"
    pids.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(pids)], env=environment)
    deadline = time.monotonic() + 60
    while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    workers = [int(path.name) for path in pids.iterdir()]
    assert len(workers) == 2
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
