"""Processes that are killed or told to end: the next run makes the rest, to the same bytes."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.faults.harness import assert_recovers, has, hidden, in_hand

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("stage", "engine"), [("scenes", "process"), ("masks", "serial"), ("segmentation", "serial"), ("shards", "serial")]
)
def test_a_step_that_is_killed_in_the_middle_of_a_shard(whole, root, commands, capsys, stage, engine):
    run = commands.make(root, "--engine", engine, "--workers", 2)
    run.until(lambda: has(root, f"{stage}/00000.json")() and in_hand(root, stage)(), f"second shard of {stage}")
    run.kill()
    run.assert_all_gone()
    assert not has(root, f"{stage}/00003.json")()
    assert_recovers(root, whole, capsys)


def test_a_worker_that_is_killed_ends_the_step_with_a_sentence(whole, root, commands, capsys):
    run = commands.make(root, "--engine", "process", "--workers", 2)
    run.until(has(root, "scenes/00000.json"), "first shard")
    os.kill(run.descendants("forkserver")[-1], signal.SIGKILL)
    assert run.ended() == 2
    assert "was not finished: a worker process ended" in run.said and "Traceback" not in run.said
    run.assert_all_gone()
    assert_recovers(root, whole, capsys)  # What the worker left of its shard is gone, too.


@pytest.mark.parametrize("engine", ["serial", "process"])
def test_a_step_that_is_told_to_end_leaves_whole_shards_and_nothing_else(whole, root, commands, capsys, engine):
    """SIGTERM is what Kubernetes, compose and systemd send, to the process they started alone."""
    run = commands.make(root, "--engine", engine, "--workers", 2)
    run.until(lambda: has(root, "scenes/00000.json")() and in_hand(root, "scenes")(), "second shard")
    run.send(signal.SIGTERM)
    assert run.ended() == 128 + signal.SIGTERM
    assert (
        run.said.splitlines()[-1] == "decoupage: told to end; what is finished is kept, and the same command continues"
    )
    run.assert_all_gone()
    assert hidden(root) == []
    assert not has(root, "masks/00000.json")()
    assert_recovers(root, whole, capsys)


@pytest.mark.slow
def test_a_whole_run_that_is_killed_at_random_moments(whole, tmp_path, commands, capsys):
    """From the sources on, where the other tests begin with scenes."""
    root = tmp_path / "root"
    started = time.monotonic()
    assert commands.make(tmp_path / "measured").ended() == 0
    seconds = time.monotonic() - started
    moments = random.Random(time.time_ns())
    kills = 0
    for engine in ("serial", "process", "serial", "process"):
        run = commands.make(root, "--engine", engine)
        try:
            run.process.wait(moments.uniform(0.1, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            run.kill()
            kills += 1
        run.assert_all_gone()
    assert kills
    assert_recovers(root, whole, capsys)
