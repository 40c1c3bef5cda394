"""On a Ray cluster a stage makes the same bytes, whoever is lost on the way; what cannot start says why."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from decoupage.faults import BadSetup
from pipelines.config import EngineConfig
from pipelines.engines import requirements
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.pipelines.stages.test_stage import Batches, Noise, contents, make
from tests.ray_nodes import add, cluster

pytestmark = pytest.mark.faults
log = logging.getLogger("pipelines.tests")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Three machines, of which the last one claims two GPUs."""
    with cluster(1, 1, 1, num_gpus=2) as made:
        yield made


@pytest.fixture
def ray_engine(nodes):
    from pipelines.stages.ray_engine import RayEngine

    def engine(workers: int = 0, gpus_per_actor: float = 0.0):
        return RayEngine(workers, nodes.address, gpus_per_actor)

    return engine


@dataclass(frozen=True)
class Odd(Noise):
    """Noise of which one item does something odd in its worker, as often as is said; then it is as ever."""

    folder: str = ""
    what: str = ""
    times: int = 1
    at: int = 11

    def task(self, i):
        if i == self.at and len(list(Path(self.folder).glob("odd*"))) < self.times:
            Path(self.folder, f"odd{time.monotonic_ns()}").touch()
            self._do()
        return super().task(i)

    def _do(self):
        if self.what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "bug":
            log.warning("item %d is odd", self.at)
            raise ZeroDivisionError("of ours")
        elif self.what == "setup":
            raise BadSetup("the input is damaged; mend it")
        time.sleep(600)


def odd(folder: Path, what: str, **changes: Any) -> Odd:
    marks = folder / "marks"
    marks.mkdir()
    return Odd(num_shards=6, empty="none", folder=str(marks), what=what, **changes)


def test_the_same_bytes_in_any_order_and_batches(tmp_path, ray_engine):
    make(tmp_path / "serial", num_shards=6)
    report = make(tmp_path / "ray", ray_engine(), [f"{i:05d}" for i in (3, 1, 5, 0, 4, 2)], num_shards=6)
    assert contents(tmp_path / "serial" / "noise") == contents(tmp_path / "ray" / "noise")
    assert report.num_made == 6 and report.drops_by_reason == {"truncated": 5, "empty_alpha": 5}
    assert make(tmp_path / "ray", ray_engine(), num_shards=6).num_made == 0
    assert make(tmp_path / "ray", ray_engine(2), num_shards=6, source="second").num_made == 6


@dataclass
class Weighty(Batches):
    """Keeps weights; each process that loads them leaves a note of its GPUs."""

    folder: str = ""

    def many(self, items):
        if not self.seen:
            Path(self.folder, f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}").touch()
        return super().many(items)


class WeightyNoise(Noise):
    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__(**changes)
        object.__setattr__(self, "task", Weighty(Noise(**changes), 3, True, folder=str(folder)))


@pytest.mark.parametrize(("gpus", "num_processes"), [(0.0, {1, 2, 3}), (0.5, {1})])
def test_weights_are_loaded_once_by_each_actor(tmp_path, ray_engine, gpus, num_processes):
    make(tmp_path / "serial", num_shards=6)
    notes = tmp_path / "notes"
    notes.mkdir()
    store = Store(str(tmp_path / "ray"))
    run_stage(WeightyNoise(notes, num_shards=6), store, ray_engine(gpus_per_actor=gpus))
    assert contents(tmp_path / "serial") == contents(tmp_path / "ray")
    # The machine with GPUs has one core.
    said = [path.name.split() for path in notes.iterdir()]
    assert len(said) in num_processes
    assert {devices for _, devices in said} <= ({"0", "1"} if gpus else {"", "None"})


def test_a_killed_worker_is_replaced(tmp_path, ray_engine, caplog):
    make(tmp_path / "serial", num_shards=6, empty="none")
    report = run_stage(odd(tmp_path, "killed"), Store(str(tmp_path / "ray")), ray_engine())
    assert contents(tmp_path / "serial") == contents(tmp_path / "ray")
    assert report.num_made == 6
    assert "shard 00002: its worker ended" in caplog.text


def test_a_shard_that_kills_every_worker_ends_the_run(tmp_path, ray_engine):
    store = Store(str(tmp_path / "ray"))
    with pytest.raises(BadSetup, match=r"noise was not finished: shard 00002: its worker ended 3 times.*lower engine"):
        run_stage(odd(tmp_path, "killed", times=99), store, ray_engine())
    assert run_stage(Noise(num_shards=6, empty="none"), store, SerialEngine()).num_made in range(1, 6)


@pytest.mark.parametrize(("what", "fault"), [("bug", ZeroDivisionError), ("setup", BadSetup)])
def test_a_fault_arrives_as_itself_with_what_was_logged(tmp_path, ray_engine, caplog, what, fault):
    caplog.set_level("INFO")
    with pytest.raises(fault) as raised:
        run_stage(odd(tmp_path, what), Store(str(tmp_path / "ray")), ray_engine(2))
    assert str(raised.value) == ("of ours" if what == "bug" else "the input is damaged; mend it")
    assert "in _do" in raised.value.__notes__[0]
    assert ("item 11 is odd" in caplog.text) == (what == "bug")
    assert not list((tmp_path / "ray" / "noise").glob(".*")), "the others stopped, and cleaned up"


def test_a_machine_that_leaves_takes_nothing_with_it(tmp_path, nodes, ray_engine):
    make(tmp_path / "serial", num_shards=12, empty="none")
    leaving = add(nodes, 2)
    nodes.wait_for_nodes()
    root = tmp_path / "ray"

    def leave() -> None:
        wait_for(lambda: len(list((root / "noise").glob("*.json"))) > 3)
        nodes.remove_node(leaving, allow_graceful=False)

    leaver = threading.Thread(target=leave)
    leaver.start()
    report = make(root, ray_engine(), num_shards=12, empty="none", pause_s=0.3)
    leaver.join()
    assert report.num_made == 12
    assert contents(tmp_path / "serial") == contents(root)


def test_what_is_given_up_stops_at_once(tmp_path, ray_engine):
    stage = odd(tmp_path, "sleeps")
    engine = ray_engine(3)

    def interrupt() -> None:
        wait_for(lambda: any(Path(stage.folder).iterdir()))
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, Store(str(tmp_path / "ray")), engine)
    interrupter.join()
    assert not list((tmp_path / "ray" / "noise").glob(".*")), "no temp file and no lock"
    assert run_stage(replace(stage, times=0), Store(str(tmp_path / "ray")), engine).num_made >= 1, "cores are free"


def test_items_are_mapped_in_order(ray_engine):
    assert list(ray_engine().map(slow_first, range(20))) == list(range(20))


def slow_first(item: int) -> int:
    time.sleep(0.5 if item == 0 else 0.0)
    return item


@pytest.mark.parametrize(
    ("options", "in_process", "root", "sentence"),
    [
        ({"workers": 9}, False, "", r"engine\.workers is 9, and the Ray cluster at .* has 3 cores: lower it"),
        ({"gpus_per_actor": 4}, True, "", r"no machine with 4 GPUs \(engine\.gpus_per_actor\).*to compute on cores"),
        ({}, False, "memory://nowhere", r"Ray's machine .* \(and 2 more of 3 machines\): it does not see memory://no"),
    ],
)
def test_what_cannot_start_says_why(tmp_path, ray_engine, options, in_process, root, sentence):
    stage = WeightyNoise(tmp_path) if in_process else Noise()
    store = Store(root or str(tmp_path / "ray"))
    with pytest.raises(BadSetup, match=sentence):
        run_stage(stage, store, ray_engine(**options))
    assert store.tree() == []


def test_other_code_is_refused(tmp_path, ray_engine, monkeypatch):
    monkeypatch.setattr("pipelines.stages.looking.code_version", lambda: "0123456789abcdef")
    with pytest.raises(BadSetup, match=r"Ray's machine .*has code .*runs the stage has 0123456789abcdef: install"):
        make(tmp_path, ray_engine())


def wait_for(happened: Callable[[], Any], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_doctor_looks_at_each_machine(tmp_path, nodes):
    config = EngineConfig(kind="ray", address=nodes.address, workers=9)
    found = {one.name: one for one in requirements(config, Store(str(tmp_path)))}
    assert found["cluster"].found == f"3 machines at {nodes.address}, 3 cores, at most 2 GPUs on one"
    assert (found["engine.workers"].present, found["engine.workers"].found) == (False, "9 of 3")
    machines = [one for name, one in found.items() if name.startswith("machine ")]
    assert len(machines) == 3 and all(one.present and "sees the root" in one.found for one in machines)
    unseen = requirements(config, Store("memory://nowhere"))
    assert sum("does not see memory://nowhere" in one.found and not one.present for one in unseen) == 3


OWN = """
import sys
from pathlib import Path
from pipelines.stages.ray_engine import RayEngine
from tests.pipelines.stages.test_stage import make
if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]), RayEngine(2), num_shards=4, pause_s=float(sys.argv[2]), empty="none")
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize("end", ["its end", "Ctrl-C", "SIGKILL"])
def test_a_ray_of_our_own_ends_with_its_process(tmp_path, end):
    pytest.importorskip("ray")
    (tmp_path / "run.py").write_text(OWN)
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "RAY_TMPDIR": folder}
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "root"), "0" if end == "its end" else "0.5"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
            if end != "its end":
                locks = (tmp_path / "root" / "noise").glob
                wait_for(lambda: list(locks(".0*.lock")) or process.poll() is not None, 120)
                if end == "Ctrl-C":
                    os.killpg(process.pid, signal.SIGINT)
                else:
                    process.kill()
            out, err = process.communicate(timeout=120)
        assert (out, err) == ("interrupted\n" if end == "Ctrl-C" else "", "")
        # Of a Ray that is killed, two agents first try to tell its head so, for 60 s (`GcsClient.publish_error`).
        wait_for(lambda: not of_ray(folder), 90)
    if end == "Ctrl-C":
        assert not list((tmp_path / "root" / "noise").glob(".*"))
    make(tmp_path / "root", num_shards=4, empty="none")
    make(tmp_path / "serial", num_shards=4, empty="none")
    assert contents(tmp_path / "root") == contents(tmp_path / "serial")


def of_ray(folder: str) -> list[str]:
    """The processes of the Ray whose files are in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"RAY_TMPDIR={folder}" in path.read_bytes().decode(errors="replace"):
                found.append(path.parent.name)
    return found
