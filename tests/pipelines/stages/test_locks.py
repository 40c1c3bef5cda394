"""One process inside at a time; a killed one blocks nobody."""

import signal
import subprocess
import sys
from pathlib import Path

from pipelines.stages.locks import alone

HOLDS = "import sys, time; from pathlib import Path; from pipelines.stages.locks import alone\n"
HOLDS += "with alone(Path(sys.argv[1])) as free: print(free, flush=True); time.sleep(600)"


def test_only_one_is_inside(tmp_path: Path):
    with alone(tmp_path / "lock") as first, alone(tmp_path / "lock") as second:
        assert first and not second
    with alone(tmp_path / "lock") as again:
        assert again


def test_a_fault_inside_opens_it_again(tmp_path: Path):
    try:
        with alone(tmp_path / "lock"):
            raise KeyError("inside")
    except KeyError:
        pass
    with alone(tmp_path / "lock") as free:
        assert free


def test_a_killed_process_blocks_nobody(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == "True"
        with alone(tmp_path / "lock") as free:
            assert not free
        process.send_signal(signal.SIGKILL)
        process.wait()
    with alone(tmp_path / "lock") as free:
        assert free
