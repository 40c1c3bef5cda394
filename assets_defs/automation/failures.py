"""Tells people that something failed: a line in a file, and a message to a webhook where one is set.

The webhook's address may itself be a secret (chat services put a token into it): it is read from the environment when
it is needed, and never logged. Telling is a favour to people; whatever goes wrong with it, the run goes on.
"""

import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError

WEBHOOK = "DECOUPAGE_FAILURE_WEBHOOK"
FILE = "failures.jsonl"
TIMEOUT_S = 10.0
_MESSAGE_CHARS = 2000
_BY_HAND = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)


@dataclass(frozen=True)
class Failure:
    """What failed; `step` is empty where a whole run died."""

    run_id: str
    job: str
    step: str
    message: str

    @property
    def sentence(self) -> str:
        """For a person."""
        return f"decoupage: {self.step or 'the run'} failed in {self.job} (run {self.run_id[:8]}): {self.message}"


@dg.failure_hook(name="tell_of_failures")
def tell_of_failures(context: dg.HookContext) -> None:
    """Called by every failing step; a run that somebody cancels is no failure."""
    error = context.op_exception
    if isinstance(error, _BY_HAND):
        return
    # Dagster wraps what an asset raised; what it says itself is what a person wants to read.
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    message = getattr(error, "description", None) or str(error)
    if isinstance(error, DagsterAssetCheckFailedError):
        message = "; ".join(_failed_checks(context)) or message
    failure = Failure(context.run_id, context.job_name, context.op.name, message[:_MESSAGE_CHARS])
    tell(context.instance, failure, context.log)


def _failed_checks(context: dg.HookContext) -> list[str]:
    """What the step's failed checks say; the error itself only names them."""
    records = context.instance.get_records_for_run(
        context.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    events = (record.event_log_entry.get_dagster_event() for record in records)
    found = [event.asset_check_evaluation_data for event in events if event.step_key == context.step_key]
    return [f"check {check.check_name}: {check.description}" for check in found if not check.passed and check.blocking]


def tell(instance: dg.DagsterInstance, failure: Failure, log: logging.Logger) -> None:
    """Append to `failures.jsonl` under DAGSTER_HOME, and post to the webhook where there is one."""
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
    try:
        status = httpx2.post(url, json=message, timeout=TIMEOUT_S).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        # Its text may hold the address.
        log.warning("the address in %s could not be told: %s", WEBHOOK, type(error).__name__)
        return
    if status >= 400:
        log.warning("the address in %s answered with status %s", WEBHOOK, status)
