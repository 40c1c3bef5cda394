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
from typing import Any, Final

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from pipelines.foregrounds.prompts.builtin import Prompt, categories
from pipelines.foregrounds.prompts.chat import MAX_DETAIL, Answer, Ask, messages, options, read_answer, response_format
from pipelines.foregrounds.prompts.client import Unfinished
from pipelines.foregrounds.prompts.ledger import Line
from pipelines.foregrounds.prompts.writer import MAX_FRUITLESS, SPARE, Session, used_up

log = logging.getLogger(__name__)

URL: Final = "/v1/chat/completions"
MARK = "decoupage_plan"
"""Key in a batch's metadata under which the plan's name stands."""
ENDED = ("completed", "failed", "expired", "cancelled")
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

    def send() -> str:
        nonlocal unsure
        found = _find(session, plan) if unsure else None
        unsure = True  # A request that fails from here on may have reached the server.
        return found or _send(session, plan)

    batch = session.client.retry.call(send)
    session.ledger.append({"kind": "batch", "plan": plan["plan"], "batch": batch})
    log.info("prompts: batch %s with %d requests was sent", batch, len(plan["requests"]))
    return batch


def _find(session: Session, plan: Line) -> str | None:
    for number, batch in enumerate(session.client.api.batches.list(limit=100)):
        if (batch.metadata or {}).get(MARK) == plan["plan"]:
            return batch.id
        if number + 1 >= _MAX_LISTED:
            break
    return None


def _send(session: Session, plan: Line) -> str:
    api = session.client.api
    data = b"".join(canonical_json(_request_line(session, ask)) + b"\n" for ask in _asks(plan))
    file = api.files.create(file=(f"prompts-{plan['plan']}.jsonl", data), purpose="batch")
    batch = api.batches.create(
        input_file_id=file.id, endpoint=URL, completion_window="24h", metadata={MARK: plan["plan"]}
    )
    return batch.id


def _request_line(session: Session, ask: Ask) -> dict[str, Any]:
    body = options(session.config, ask) | {
        "messages": messages(ask, session.ledger.texts(ask.category)),
        "response_format": response_format(),
    }
    return {"custom_id": ask.id, "method": "POST", "url": URL, "body": body}


def _finish(session: Session, plan: Line, batch_id: str) -> int:
    """Wait for a batch and enter its answers, partial ones too; returns the number of accepted prompts."""
    api, call = session.client.api, session.client.retry.call
    status = ""
    while (batch := call(lambda: api.batches.retrieve(batch_id))).status not in ENDED:
        if batch.status != status:
            status = batch.status
            log.info("prompts: batch %s is %s; an interrupted run can be continued", batch_id, status)
        time.sleep(session.config.poll_s)
    answers: dict[str, Answer] = {}
    for file_id in (batch.error_file_id, batch.output_file_id):
        if file_id:
            text = call(lambda wanted=file_id: api.files.content(wanted).text)  # type: ignore[misc]
            answers |= read_output(session.client.hide(text))
    closed = {"kind": "closed", "plan": plan["plan"], "status": batch.status}
    if batch.status == "failed":
        session.ledger.append(closed)
        errors = batch.errors.data if batch.errors and batch.errors.data else []
        message = session.client.hide("; ".join(str(error.message) for error in errors[:3]))
        raise BadSetup(f"the server refuses batch {batch_id}: {message[:MAX_DETAIL] or 'it gives no reason'}")
    silent = Answer("unanswered", detail=f"batch {batch_id} is {batch.status} without it")
    num_new = session.enter(*((ask, answers.get(ask.id, silent)) for ask in _asks(plan)), then=closed)
    if batch.status == "cancelled":
        raise Unfinished(f"batch {batch_id} was cancelled; its answers so far are entered; run again to send the rest")
    return num_new


def read_output(text: str) -> dict[str, Answer]:
    """Answers by `custom_id` from a batch's output or error file, whose lines come in any order.

    A line: `{"custom_id", "response": {"status_code", "body"} | null, "error": {"code", "message"} | null}`. Lines of
    another form are left out: their requests count as unanswered.
    """
    answers: dict[str, Answer] = {}
    for line in text.splitlines():
        try:
            read = json.loads(line)
            name, response, error = read["custom_id"], read.get("response") or {}, read.get("error")
            status, body = response.get("status_code"), response.get("body")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if not isinstance(name, str):
            continue
        if status == 200 and isinstance(body, dict):
            answers[name] = read_answer(body)
        else:
            answers[name] = Answer("unanswered", detail=f"HTTP {status}: {error or body}"[:MAX_DETAIL])
    return answers
