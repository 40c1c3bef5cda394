"""A machine of a Ray cluster that is lost in the middle of a run: another one makes its shards, to the same bytes."""

import pytest

from tests.faults.harness import assert_like, has
from tests.ray_nodes import add, cluster

pytestmark = pytest.mark.faults


def test_a_step_that_loses_a_machine(whole, root, commands, capsys):
    with cluster(1, 1) as nodes:
        leaving = add(nodes, 1)
        nodes.wait_for_nodes()
        run = commands.make(root, "--engine", "ray", DECOUPAGE__ENGINE__ADDRESS=nodes.address)
        run.until(has(root, "scenes/00000.json"), "first shard")
        nodes.remove_node(leaving, allow_graceful=False)
        assert run.ended() == 0, run.said
        assert_like(root, whole, capsys)
    run.assert_all_gone()
