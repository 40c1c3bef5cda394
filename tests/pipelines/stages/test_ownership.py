"""A folder belongs to one recipe, and a shard to the process that makes it: decided by the file system, not guessed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from pipelines.stages.engine import SerialEngine
from pipelines.stages.locks import take
from pipelines.stages.manifest import claim, read_manifest
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.pipelines.stages.test_stage import Noise, contents, make

CLAIMS = """
import sys
from decoupage.faults import BadSetup
from pipelines.stages.manifest import claim
from pipelines.stages.store import Store
store = Store(sys.argv[1])
for line in sys.stdin:
    try:
        claim(store, f"stage{line.strip()}", {"seed": int(sys.argv[2])}, {})
        print("mine", flush=True)
    except BadSetup as fault:
        print("refused" if "seed" in str(fault) else fault, flush=True)
"""
MAKES = """
import sys
from pathlib import Path
from pipelines.stages.engine import ProcessEngine, SerialEngine
from tests.pipelines.stages.test_stage import make
if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    engine = ProcessEngine(2) if sys.argv[2] == "process" else SerialEngine()
    shards = sys.argv[3].split(",") if sys.argv[3] else None
    print(make(Path(sys.argv[1]), engine, shards, num_shards=4, pause_s=float(sys.argv[4]), empty="none").num_made)
"""


def started(program: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], env=environment, **pipes, **options)


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def test_of_two_recipes_that_claim_at_once_one_gets_the_folder(tmp_path):
    with started(CLAIMS, tmp_path, 1) as one, started(CLAIMS, tmp_path, 2) as two:
        for number in range(50):
            tell(one, str(number))
            tell(two, str(number))
            said = [one.stdout.readline().strip(), two.stdout.readline().strip()]
            assert sorted(said) == ["mine", "refused"], number
            told = json.loads((tmp_path / f"stage{number}" / "recipe.json").read_text())
            assert told["recipe"] == {"seed": 1 if said[0] == "mine" else 2}
        one.stdin.close()
        two.stdin.close()


def test_shards_of_another_recipe_are_refused_though_the_recipe_is_lost(tmp_path):
    made = make(tmp_path).shards["00000"]
    (tmp_path / "noise" / "recipe.json").unlink()
    with pytest.raises(
        BadSetup, match=rf"holds shards of recipe {made.fingerprint} \(00000 first\).*remove that folder"
    ):
        make(tmp_path, seed=2)
    assert not (tmp_path / "noise" / "recipe.json").exists()
    assert make(tmp_path).num_made == 0, "its own recipe takes it back"
    Store(str(tmp_path)).remove("noise")
    assert make(tmp_path, seed=2).num_made == 3, "the remedy works"


def test_a_shard_that_says_another_recipe_is_stale(tmp_path):
    """As it was left by a version that let another recipe in: what is asked for is made anew, never mixed."""
    make(tmp_path / "a", seed=2)
    make(tmp_path / "b", seed=1)
    for path in (tmp_path / "a" / "noise").glob("00000.*"):
        path.rename(tmp_path / "b" / "noise" / path.name)
    assert make(tmp_path / "b", seed=1).num_made == 1
    make(tmp_path / "c", seed=1)
    assert contents(tmp_path / "b") == contents(tmp_path / "c")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"fingerprint": 3}', '{"fingerprint": "a", "recipe": {}}', "\\xff"])
def test_a_damaged_recipe_is_a_sentence_with_a_remedy_that_works(tmp_path, damage):
    make(tmp_path)
    path = tmp_path / "noise" / "recipe.json"
    path.write_bytes(damage.encode("latin-1"))
    with pytest.raises(BadSetup, match=r"noise/recipe\.json is damaged.*Remove it"):
        make(tmp_path)
    path.unlink()
    assert make(tmp_path).num_made == 0 and path.exists()


def test_a_recipe_that_does_not_hash_to_what_it_says_is_damaged(tmp_path):
    make(tmp_path)
    path = tmp_path / "noise" / "recipe.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 5'))
    with pytest.raises(BadSetup, match="does not hash to the fingerprint"):
        claim(Store(str(tmp_path)), "noise", {"seed": 1}, {"per_shard": 5})


@pytest.mark.parametrize("engine", ["serial", "process"])
@pytest.mark.parametrize("shards", [("", ""), ("00000,00001,00002", "00001,00002,00003")])
def test_two_processes_make_each_shard_once(tmp_path, engine, shards):
    with (
        started(MAKES, tmp_path, engine, shards[0], 0.02) as one,
        started(MAKES, tmp_path, engine, shards[1], 0.02) as two,
    ):
        assert one.stdout.readline() == two.stdout.readline() == "ready\n"
        tell(one)
        tell(two)
        assert int(one.stdout.readline()) + int(two.stdout.readline()) == 4
        assert (one.wait(), two.wait()) == (0, 0)
    make(tmp_path / "alone", num_shards=4, empty="none")
    assert contents(tmp_path / "noise") == contents(tmp_path / "alone" / "noise")


def test_different_shards_are_made_side_by_side(tmp_path):
    """One process holds a shard for long; another makes the others meanwhile."""
    with started(MAKES, tmp_path, "serial", "00000", 30) as slow:
        assert slow.stdout.readline() == "ready\n"
        tell(slow)
        wait_for(tmp_path / "noise" / ".00000.lock")
        assert make(tmp_path, shards=["00001", "00002"], num_shards=4, empty="none").num_made == 2
        slow.kill()


def test_a_shard_in_hand_is_waited_for_and_the_log_says_whom_for(tmp_path, caplog):
    caplog.set_level("INFO")
    with started(MAKES, tmp_path, "serial", "00000", 0.8) as slow:
        assert slow.stdout.readline() == "ready\n"
        tell(slow)
        wait_for(tmp_path / "noise" / ".00000.lock")
        report = make(tmp_path, shards=["00000", "00001"], num_shards=4, empty="none")
        assert report.num_made == 1 and list(report.shards) == ["00000", "00001"]
        assert slow.wait() == 0
    assert f"noise/00000: waiting for process {slow.pid} on " in caplog.text


def test_a_killed_process_locks_nothing(tmp_path):
    with started(MAKES, tmp_path, "serial", "", 0.2) as child:
        assert child.stdout.readline() == "ready\n"
        tell(child)
        wait_for(tmp_path / "noise" / ".00000.lock")
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (tmp_path / "noise" / ".00000.lock").exists()
    assert make(tmp_path, num_shards=4, empty="none").num_made == 4
    assert not list((tmp_path / "noise").glob(".*"))


def test_a_stale_shard_that_another_made_current_meanwhile_is_not_made_again(tmp_path, monkeypatch):
    make(tmp_path)
    original = Noise.items

    def items(self, shard):
        if shard == "00000" and not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            run_stage(Noise(source="second"), Store(str(tmp_path)), SerialEngine(), ["00001", "00002"])
        return original(self, shard)

    monkeypatch.setattr(Noise, "items", items)
    assert make(tmp_path, source="second").num_made == 1
    assert read_manifest(Store(str(tmp_path)), "noise", "00002").inputs == {"source": "second"}


def test_the_note_of_a_lock_may_be_anything(tmp_path, caplog):
    held = take(tmp_path / "lock")
    assert held is not None and take(tmp_path / "lock") is None
    held.release()
    assert not (tmp_path / "lock").exists()


INTERRUPTED = """
import sys, time
from pathlib import Path
from pipelines.stages.engine import ProcessEngine
from tests.pipelines.stages.test_stage import make
if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]), ProcessEngine(2), num_shards=4, pause_s=float(sys.argv[2]), empty="none")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.faults
@pytest.mark.parametrize("pause_s", [0.5, 60])
def test_ctrl_c_ends_the_workers_at_once_and_says_nothing_of_its_own(tmp_path, pause_s):
    """As a terminal sends it: to every process of the group."""
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), str(tmp_path / "root"), str(pause_s)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(tmp_path / "root" / "noise" / ".00000.lock")
        time.sleep(2.0)  # The workers have started, or are about to.
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=50)
        assert time.monotonic() - began < 30
    assert (out, err) == ("interrupted\n", "")
    assert is_gone(process.pid)
    assert not list((tmp_path / "root" / "noise").glob(".*"))
    if pause_s < 1:
        make(tmp_path / "root", num_shards=4, empty="none")
        make(tmp_path / "whole", num_shards=4, empty="none")
        assert contents(tmp_path / "root") == contents(tmp_path / "whole")


def is_gone(group: int) -> bool:
    """Whether every process of a group ends within seconds; multiprocessing's own helper leaves after its parent."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.01)
