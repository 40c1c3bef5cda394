"""Two runs of one thing at once: one makes it, the other waits; the same bytes, once."""

import json

import pytest

from tests.faults.harness import assert_like

pytestmark = pytest.mark.faults


def test_two_runs_of_all_shards_on_a_folder(whole, root, commands, capsys):
    runs = [commands.make(root, "--json", "--engine", engine, "--workers", 2) for engine in ("serial", "process")]
    assert [run.ended() for run in runs] == [0, 0], runs[0].said + runs[1].said
    made = [{report["stage"]: report["num_made"] for report in json.loads(run.said.splitlines()[-1])} for run in runs]
    assert {stage: made[0][stage] + made[1][stage] for stage in ("scenes", "masks", "edges", "shards")} == {
        "scenes": 4, "masks": 4, "edges": 4, "shards": 4,
    }  # fmt: skip
    assert_like(root, whole, capsys)
