"""What a run page shows of a failed step."""

from concurrent.futures.process import BrokenProcessPool

import dagster as dg
import pyarrow as pa
import pytest

from assets_defs.asset import asset
from decoupage.faults import BadItem, BadOutput, BadSetup


def failure(raised: Exception):
    @asset(retry_policy=dg.RetryPolicy(max_retries=3))
    def broken(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        raise raised

    result = dg.materialize([broken], raise_on_error=False)
    assert not result.success
    (event,) = (event for event in result.all_events if event.is_step_failure)
    return event.step_failure_data


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (BadSetup("there is no photograph in /nowhere; fetch them with make photographs"), "there is no photograph"),
        (BadItem("truncated", "member 3 of shard 00001"), "truncated: member 3 of shard 00001"),
        (BadOutput("the foreground's alpha holds 4 values that are not finite"), "the foreground's alpha holds 4"),
        (
            PermissionError(13, "Permission denied", "/root/shards/00001.tar"),
            "/root/shards/00001.tar: Permission denied",
        ),
        (OSError(18, "Cross-device link", "/a", None, "/b"), "/a -> /b: Cross-device link"),
        (ConnectionRefusedError(111, "Connection refused"), "a file, a pipe or a connection: Connection refused"),
        (
            BrokenProcessPool("terminated abruptly"),
            "a worker process was killed, usually because memory ran out: set engine",
        ),
        (pa.ArrowInvalid("Parquet magic bytes not found"), "a parquet file cannot be read or written: Parquet magic"),
    ],
    ids=["set-up", "item", "output", "permission", "two files", "connection", "worker", "parquet"],
)
def test_a_bad_set_up_fails_at_once_in_its_own_words(raised, sentence):
    found = failure(raised)
    assert found.user_failure_data.description.startswith(sentence)
    assert found.error.message.partition(": ")[2].startswith(sentence)


def test_a_fault_of_the_code_keeps_its_stack():
    found = failure(KeyError("layer"))
    assert found.user_failure_data is None and "Exceeded max_retries" in found.error.to_string()


def test_a_step_without_a_fault_gives_what_it_gives():
    @asset(name="whole", description="A table.")
    def whole(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"step": context.op_execution_context.op.name})

    result = dg.materialize([whole])
    assert result.asset_materializations_for_node("whole")[0].metadata["step"].value == "whole"
    assert whole.specs_by_key[dg.AssetKey("whole")].description == "A table."
