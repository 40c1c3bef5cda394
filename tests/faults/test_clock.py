"""A clock that is set forward or back while a stage runs: nothing is remade, nothing that is alive is removed."""

import signal
from pathlib import Path

import pytest

from tests.faults.harness import assert_like, assert_recovers, has, hidden, in_hand

pytestmark = pytest.mark.faults
DAY_S = 86_400
CLOCK = str(Path(__file__).parent / "clock")


def test_a_clock_that_jumps_during_a_run(whole, root, tmp_path, commands, capsys):
    clock = tmp_path / "clock.txt"
    run = commands.make(root, PYTHONPATH=CLOCK, FAULTS_CLOCK=str(clock))
    for stage, offset_s in (("scenes", DAY_S), ("masks", -DAY_S), ("segmentation", 400 * DAY_S), ("shards", 0)):
        run.until(has(root, f"{stage}/00000.json"), f"first shard of {stage}")
        clock.write_text(str(offset_s))
    assert run.ended() == 0, run.said
    assert_like(root, whole, capsys)


@pytest.mark.parametrize("offset_s", [30 * DAY_S, -30 * DAY_S])
def test_what_is_alive_is_not_removed_by_a_process_with_another_clock(
    whole, root, tmp_path, commands, capsys, offset_s
):
    """By it, the temp file and the lock of a paused process are a month old, or from the future."""
    clock = tmp_path / "clock.txt"
    clock.write_text(str(offset_s))
    run = commands.make(root)
    run.until(in_hand(root, "scenes"), "first shard")
    run.send(signal.SIGSTOP)
    before = hidden(root)
    assert any(name.endswith(".lock") for name in before) and any(name.endswith(".tmp") for name in before)
    pruned = commands.start("prune", "--root", root, "--apply", PYTHONPATH=CLOCK, FAULTS_CLOCK=str(clock))
    assert pruned.ended() == 0, pruned.said
    assert hidden(root) == before
    other = commands.make(root, PYTHONPATH=CLOCK, FAULTS_CLOCK=str(clock))
    other.until(lambda: "waiting for process" in other.said, "that it waits")
    assert set(before) <= set(hidden(root))
    run.send(signal.SIGCONT)
    assert (run.ended(), other.ended()) == (0, 0), run.said + other.said
    assert_recovers(root, whole, capsys)
