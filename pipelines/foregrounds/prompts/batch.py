"""Has a model write the list through the Batch API: cheaper, all requests of a round at once, within 24 hours.

The ledger records a batch three times: `plan` before anything is sent, `batch` with the server's id, `closed` when its
answers are entered. A run that ends in between finds its batch again by the id, or by the plan's name in the batch's
metadata, and does not send it twice.
"""

import json
import logging
import math
import string
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.text_files import printable
from pipelines.foregrounds.prompts.answers import Answer, Report, read_answer, read_report
from pipelines.foregrounds.prompts.builtin import Prompt, categories
from pipelines.foregrounds.prompts.chat import Ask
from pipelines.foregrounds.prompts.client import Unfinished
from pipelines.foregrounds.prompts.ledger import Line
from pipelines.foregrounds.prompts.retry import Reported
from pipelines.foregrounds.prompts.writer import MAX_FRUITLESS, SPARE, Session, used_up

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

log = logging.getLogger(__name__)

URL: Final = "/v1/chat/completions"
MARK = "decoupage_plan"
"""Key in a batch's metadata under which the plan's name stands."""
ENDED = ("completed", "failed", "expired", "cancelled")
_FILE_S = 3600.0
"""Time to send or fetch a file."""
_MAX_LISTED = 500
"""Number of the account's latest batches that are searched for one that was sent."""


def write_by_batches(session: Session) -> Iterator[Prompt]:
    """Prompts as they are accepted, round after round, until every category has as many as needed.

    Raises:
        Unfinished: the requests are used up, rounds give no new prompt, or a batch was cancelled.
        BadSetup: the server refuses the batch.
    """
    fruitless = 0
    while True:
        plan = _open_plan(session)
        sent_before = plan is not None
        if plan is None:
            asks = _round(session)
            if not asks:
                return
            if fruitless == MAX_FRUITLESS:
                raise Unfinished(f"{fruitless} batches in a row gave no new prompt; try another model or temperature")
            plan = _plan(asks)
            session.ledger.append(plan)
        num_new = _finish(session, plan, _batch_id(session, plan, sent_before))
        fruitless = 0 if num_new else fruitless + 1
        yield from session.take_new()


def _open_plan(session: Session) -> Line | None:
    """The plan of the batch that was begun and not closed; None when there is none."""
    closed = {line["plan"] for line in session.ledger.lines if line["kind"] == "closed"}
    plans = [line for line in session.ledger.lines if line["kind"] == "plan" and line["plan"] not in closed]
    return plans[0] if plans else None


def _plan(asks: list[Ask]) -> Line:
    requests = [
        {"request": a.id, "category": a.category, "count": a.count, "seed": a.seed, "letters": a.letters} for a in asks
    ]
    return {"kind": "plan", "plan": uuid.uuid4().hex, "requests": requests}


def _asks(plan: Line) -> list[Ask]:
    return [
        Ask(line["request"], line["category"], line["count"], line["seed"], tuple(line["letters"] or ()) or None)
        for line in plan["requests"]
    ]


def _round(session: Session) -> list[Ask]:
    """Requests for all missing prompts; those of one category ask for different initial letters."""
    asks: list[Ask] = []
    per_request = session.config.per_request
    for category in categories():
        wanted = math.ceil(session.missing(category) * SPARE)
        number = math.ceil(wanted / per_request)
        for part in range(number):
            count = min(per_request, wanted - part * per_request)
            asks.append(session.ask(category, len(session.ledger.answers) + len(asks), count, _letters(part, number)))
    if asks and session.left() < 1:
        raise used_up(session)
    return asks[: session.left()]


def _letters(part: int, number: int) -> tuple[str, str] | None:
    letters = string.ascii_lowercase
    if not 1 < number <= len(letters):
        return None
    first, last = part * len(letters) // number, (part + 1) * len(letters) // number - 1
    return letters[first], letters[last]


def _batch_id(session: Session, plan: Line, sent_before: bool) -> str:
    """The server's id of the plan's batch, which is sent if the server does not have it."""
    for line in session.ledger.lines:
        if line["kind"] == "batch" and line["plan"] == plan["plan"]:
            return str(line["batch"])
    unsure = sent_before

    def send(api: "OpenAI") -> str:
        nonlocal unsure
        found = _find(api, plan) if unsure else None
        unsure = True  # A request that fails from here on may have reached the server.
        return found or _send(session, api, plan)

    batch = session.client.call(send, _FILE_S)
    session.ledger.append({"kind": "batch", "plan": plan["plan"], "batch": batch})
    log.info("prompts: batch %s with %d requests was sent", batch, len(plan["requests"]))
    return batch


def _find(api: "OpenAI", plan: Line) -> str | None:
    for number, batch in enumerate(api.batches.list(limit=100)):
        if (batch.metadata or {}).get(MARK) == plan["plan"]:
            return batch.id
        if number + 1 >= _MAX_LISTED:
            break
    return None


def _checked(batch: "Batch") -> "Batch":
    """What the server says of a batch; the client also passes on other answers, such as a page of a proxy."""
    if not isinstance(getattr(batch, "id", None), str) or not isinstance(getattr(batch, "status", None), str):
        raise Reported(read_report(200, str(batch), {}))
    return batch


def _send(session: Session, api: "OpenAI", plan: Line) -> str:
    data = b"".join(canonical_json(_request_line(session, ask)) + b"\n" for ask in _asks(plan))
    file = api.files.create(file=(f"prompts-{plan['plan']}.jsonl", data), purpose="batch")
    if not isinstance(getattr(file, "id", None), str):
        raise Reported(read_report(200, str(file), {}))
    batch = api.batches.create(
        input_file_id=file.id, endpoint=URL, completion_window="24h", metadata={MARK: plan["plan"]}
    )
    return _checked(batch).id


def _request_line(session: Session, ask: Ask) -> dict[str, Any]:
    body = session.client.body(ask, session.ledger.texts(ask.category))
    return {"custom_id": ask.id, "method": "POST", "url": URL, "body": body}


def _finish(session: Session, plan: Line, batch_id: str) -> int:
    """Wait for a batch and enter its answers, partial ones too; returns the number of accepted prompts."""
    call = session.client.call
    status = ""
    while (batch := call(lambda api: _checked(api.batches.retrieve(batch_id)))).status not in ENDED:
        if batch.status != status:
            status = batch.status
            log.info("prompts: batch %s is %s; an interrupted run can be continued", batch_id, status)
        time.sleep(session.config.poll_s)
    answers: dict[str, Answer] = {}
    for file_id in (batch.error_file_id, batch.output_file_id):
        if file_id:
            data = call(lambda api, wanted=file_id: api.files.content(wanted).content, _FILE_S)  # type: ignore[misc]
            read, reports = read_output(session.client.hide(data.decode("utf-8", "replace")))
            answers |= read
            for report in reports:
                session.client.learn(report)
    closed = {"kind": "closed", "plan": plan["plan"], "status": batch.status}
    if batch.status == "failed":
        session.ledger.append(closed)
        errors = batch.errors.data if batch.errors and batch.errors.data else []
        message = printable(session.client.hide("; ".join(str(error.message) for error in errors[:3])))
        raise BadSetup(f"the server refuses batch {batch_id}: {message or 'it gives no reason'}")
    silent = Answer("unanswered", detail=f"batch {batch_id} is {batch.status} without it")
    num_new = session.enter(*((ask, answers.get(ask.id, silent)) for ask in _asks(plan)), then=closed)
    if batch.status == "cancelled":
        raise Unfinished(f"batch {batch_id} was cancelled; its answers so far are entered; run again to send the rest")
    return num_new


def read_output(text: str) -> tuple[dict[str, Answer], list[Report]]:
    """(answers by `custom_id`, reports of requests that the server refused) in a batch's output or error file.

    The lines come in any order. A line: `{"custom_id", "response": {"status_code", "body"} | null, "error": {"code",
    "message"} | null}`. Lines of another form are left out: their requests count as unanswered.
    """
    answers: dict[str, Answer] = {}
    reports: list[Report] = []
    for line in text.split("\n"):
        try:
            read = json.loads(line)
            name, response, error = read["custom_id"], read.get("response") or {}, read.get("error")
            status, body = response.get("status_code"), response.get("body")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if not isinstance(name, str):
            continue
        if status == 200 and isinstance(body, dict):
            answers[name] = read_answer(body)
            continue
        report = read_report(status if isinstance(status, int) else 0, json.dumps(body or error), {})
        reports.append(report)
        outcome = "refused" if report.is_filter else "unanswered"
        answers[name] = Answer(outcome, detail=f"HTTP {status}: {report.message}")
    return answers, reports
