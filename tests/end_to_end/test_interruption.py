"""The whole data run, killed at random moments and resumed: the same bytes as an uninterrupted one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.test_command import SMALL

FOLDERS = ("foregrounds/mulan", "foregrounds/generated", "scenes", "masks", "edges", "segmentation", "depth", "shards")


def start(root, engine):
    command = [
        sys.executable,
        "-m",
        "commands.main",
        "scenes",
        "make",
        "--root",
        str(root),
        "--scenes",
        "8",
        "--engine",
        engine,
    ]
    env = {**os.environ, **SMALL, "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def made(root):
    files = [path for folder in FOLDERS for kind in ("tar", "parquet") for path in (root / folder).glob(f"*.{kind}")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.faults
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tmp_path):
    started = time.monotonic()
    assert start(tmp_path / "whole", "serial").wait() == 0
    seconds = time.monotonic() - started
    moments = random.Random(time.time_ns())
    kills = 0
    for engine in ("serial", "process", "serial", "process"):
        run = start(tmp_path / "broken", engine)
        try:
            run.wait(timeout=moments.uniform(0.1, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills += 1
    assert kills
    assert start(tmp_path / "broken", "process").wait() == 0
    assert made(tmp_path / "broken") == made(tmp_path / "whole")
    assert not list((tmp_path / "broken").rglob(".*.tmp"))
