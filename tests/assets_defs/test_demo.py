"""`make demo` beside its own earlier runs: one at a time, and a killed one blocks nobody."""

import dagster as dg

from assets_defs.demo import MARK, close_dead_runs
from assets_defs.summary import INTERRUPTED, failures


def test_a_killed_demo_gives_its_place_in_the_pool_back(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("gpu", 1)
        killed, other = (
            instance.create_run_for_job(make_job(), tags=tags, status=dg.DagsterRunStatus.STARTED)
            for tags in (MARK, {"of": "somebody else"})
        )
        assert storage.claim_concurrency_slot("gpu", killed.run_id, "adapter").is_claimed
        close_dead_runs(instance)
        assert storage.claim_concurrency_slot("gpu", "next", "adapter").is_claimed
        assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(other.run_id).status == dg.DagsterRunStatus.STARTED


def test_an_interruption_is_told_in_words():
    @dg.asset
    def trained() -> None:
        raise dg.DagsterExecutionInterruptedError

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.define_asset_job("train").resolve(asset_graph=dg.Definitions([trained]).resolve_asset_graph())
        told = failures(result.execute_in_process(instance=instance, raise_on_error=False))
    assert f"trained: {INTERRUPTED}" in told


def make_job() -> dg.JobDefinition:
    @dg.job
    def nothing() -> None:
        pass

    return nothing
