"""Reports failures to people: a line in a file, and a message to a webhook where one is set.

The webhook's address may itself be a secret (chat services put a token into it): it is read from the environment when
it is needed, and never logged. A failed report never stops the run.
"""

import json
import logging
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError

WEBHOOK = "DECOUPAGE_FAILURE_WEBHOOK"
FILE = "failures.jsonl"
TIMEOUT_S = 10.0
"""Seconds that the webhook gets in all, however it answers."""
_MESSAGE_CHARS = 2000
_BY_HAND = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)


@dataclass(frozen=True)
class Failure:
    """A failed step, or a run that died as a whole (`step` is empty)."""

    run_id: str
    job: str
    step: str
    message: str

    @property
    def sentence(self) -> str:
        """The failure as one sentence for a person."""
        return f"decoupage: {self.step or 'the run'} failed in {self.job} (run {self.run_id[:8]}): {self.message}"


@dg.failure_hook(name="report_failures")
def report_failures(context: dg.HookContext) -> None:
    """Hook that every failing step calls; a cancelled run is not a failure."""
    error = context.op_exception
    if isinstance(error, _BY_HAND):
        return
    # Dagster wraps what an asset raised; a person wants to read the asset's own message.
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    message = getattr(error, "description", None) or str(error)
    if isinstance(error, DagsterAssetCheckFailedError):
        message = "; ".join(_failed_checks(context)) or message
    failure = Failure(context.run_id, context.job_name, context.op.name, message[:_MESSAGE_CHARS])
    report(context.instance, failure, context.log)


def _failed_checks(context: dg.HookContext) -> list[str]:
    """Descriptions of the step's failed checks; the error itself only names them."""
    records = context.instance.get_records_for_run(
        context.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    events = (record.event_log_entry.get_dagster_event() for record in records)
    found = [event.asset_check_evaluation_data for event in events if event.step_key == context.step_key]
    return [f"check {check.check_name}: {check.description}" for check in found if not check.passed and check.blocking]


def report(instance: dg.DagsterInstance, failure: Failure, log: logging.Logger) -> None:
    """Append a failure to `failures.jsonl` under DAGSTER_HOME, and post it to the webhook where there is one."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **asdict(failure)}
    file = Path(instance.root_directory) / FILE
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
    except OSError as error:
        log.warning("the failure could not be written to %s: %s", file, error.strerror)
    url = os.environ.get(WEBHOOK)
    if url:
        _post(url, {"text": failure.sentence, **line}, log)


def _post(url: str, message: dict[str, str], log: logging.Logger) -> None:
    import httpx2

    for name in ("httpx2", "httpcore2"):  # They log addresses.
        logging.getLogger(name).setLevel(logging.WARNING)
    told: list[str] = []
    # Text that UTF-8 cannot hold, such as a lone surrogate in a file's name, is escaped.
    body, headers = json.dumps(message).encode("ascii"), {"Content-Type": "application/json"}

    def post() -> None:
        try:
            # What it answers is not read: it may be endless.
            with httpx2.stream("POST", url, content=body, headers=headers, timeout=TIMEOUT_S) as answer:
                told.append(f"answered with status {answer.status_code}" if answer.status_code >= 400 else "")
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            # The error's own text may hold the address.
            told.append(f"could not be reached: {type(error).__name__}")

    # The client's own limit is for each part of an answer, and a run must not wait for one that comes byte by byte.
    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    thread.join(TIMEOUT_S)
    trouble = told[0] if told else f"gave no answer within {TIMEOUT_S:.0f} s"
    if trouble:
        log.warning("the failure could not be reported: the address in %s %s", WEBHOOK, trouble)


def died_runs_sensor() -> dg.SensorDefinition:
    """The sensor `died_runs`."""

    @dg.run_failure_sensor(
        name="died_runs",
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reports runs that ended without a failing step: their process was killed or never started. "
        "Failing steps report themselves.",
    )
    def died_runs(context: dg.RunFailureSensorContext) -> None:
        if context.get_step_failure_events():
            return
        run, message = context.dagster_run, context.failure_event.message or "no message"
        report(context.instance, Failure(run.run_id, run.job_name, "", message), context.log)

    return died_runs
