"""The lines of a run in this process: which stage, how much is left, what was up to date."""

import logging

import dagster as dg
import pytest

from assets_defs import steps as module
from assets_defs.metadata import nothing_to_do
from assets_defs.steps import Steps


def run(names_made, seconds, caplog, interrupted=None):
    """Runs three assets one after another; those named make something."""

    def asset_of(name, after):
        @dg.asset(name=name, deps=after)
        def made() -> dg.MaterializeResult:
            if name == interrupted:
                raise dg.DagsterExecutionInterruptedError
            return dg.MaterializeResult(metadata={} if name in names_made else nothing_to_do("remove it"))

        return made

    assets = [asset_of("first", []), asset_of("second", ["first"]), asset_of("slow", ["second"])]
    job = dg.define_asset_job("all").resolve(asset_graph=dg.Definitions(assets).resolve_asset_graph())
    steps = Steps(list(job.graph.node_dict), seconds)
    with dg.DagsterInstance.ephemeral() as instance, caplog.at_level(logging.INFO, module.__name__):
        run_id = "0f4ffab0-4e0c-4998-ae65-8d4bd6cb4d07"
        instance.add_event_listener(run_id, steps.hear)
        job.execute_in_process(instance=instance, run_id=run_id, raise_on_error=False)
    return steps


def test_stages_are_counted_and_what_is_long_weighs_more(caplog):
    steps = run({"first", "second", "slow"}, {"slow": 1200.0}, caplog)
    first, second, slow = caplog.messages
    assert first == "stage 1 of 3: first"
    assert second.startswith("stage 2 of 3: second, about 1") and second.endswith(" min left in all")
    assert slow.startswith("stage 3 of 3: slow, about 1") and steps.up_to_date == []


def test_where_nothing_was_to_be_done_so_far_nothing_is_estimated_and_all_of_it_is_named(caplog):
    steps = run(set(), {"slow": 1200.0}, caplog)
    assert caplog.messages == ["stage 1 of 3: first", "stage 2 of 3: second", "stage 3 of 3: slow"]
    assert steps.up_to_date == ["first", "second", "slow"] and not steps.is_interrupted


def test_what_was_there_already_does_not_shorten_what_is_left(caplog):
    run({"second"}, {"first": 600.0, "slow": 1200.0}, caplog)
    assert caplog.messages[1] == "stage 2 of 3: second"
    assert caplog.messages[2].startswith("stage 3 of 3: slow, about ") and caplog.messages[2].endswith(
        "min left in all"
    )


def test_without_known_times_there_is_no_estimate(caplog):
    run({"first"}, {}, caplog)
    assert caplog.messages == ["stage 1 of 3: first", "stage 2 of 3: second", "stage 3 of 3: slow"]


def test_an_interruption_is_none_of_the_failures(caplog):
    assert run(set(), {}, caplog, interrupted="second").is_interrupted


@pytest.mark.parametrize("name", sorted(module.SECONDS))
def test_times_are_of_assets_that_there_are(name):
    from assets_defs.definitions import build_defs

    assert name in build_defs().resolve_job_def("everything").graph.node_dict
    assert set(build_defs().resolve_job_def("everything").graph.node_dict) >= module.LOOKED_AT
