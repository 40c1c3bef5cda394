"""Has a model write the list, one request after another, until it is long enough.

One at a time: each request excludes the prompts so far, prompts are accepted in the order of the ledger, and a killed
run loses no more than the answer in flight. `batch` sends many requests at once.
"""

import logging
import math
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from decoupage.faults import BadSetup
from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts.answers import Answer, read_answer
from pipelines.foregrounds.prompts.builtin import Prompt, categories
from pipelines.foregrounds.prompts.chat import Ask
from pipelines.foregrounds.prompts.client import Client, Unfinished, server
from pipelines.foregrounds.prompts.ledger import Ledger, Line, answer_line, received, received_line
from pipelines.foregrounds.prompts.rules import PromptFilter

log = logging.getLogger(__name__)

MAX_FRUITLESS = 4
"""Successive answers of a category, or successive batches, without a new prompt before the run gives up."""
SPARE = 1.25
"""Factor by which more prompts are requested than are missing, because some are rejected."""


@dataclass
class Session:
    """The state that sequential and batched writing share: missing prompts, remaining requests, the open ledger.

    Attributes:
        config: the profile's `[prompts]`.
        wanted: number of prompts in each category.
        ledger: the list, open for writing.
        client: the connection to the server.
        new: prompts accepted by this run that `take_new` has not returned yet.
    """

    config: PromptsConfig
    wanted: int
    ledger: Ledger
    client: Client
    new: list[Prompt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._filter = PromptFilter(self.ledger.prompts())

    def missing(self, category: str) -> int:
        """Number of prompts that the category still lacks."""
        return max(0, self.wanted - len(self.ledger.texts(category)))

    def left(self) -> int:
        """Number of requests that may still be paid for."""
        return self.config.max_requests - len(self.ledger.answers)

    def ask(self, category: str, number: int, count: int, letters: tuple[str, str] | None = None) -> Ask:
        """The `number`-th request of the ledger."""
        slug = re.sub(r"[^a-z0-9]+", "-", category.lower())
        return Ask(f"{number:05d}-{slug}", category, count, self.config.seed + number, letters)

    def enter(self, *answers: tuple[Ask, Answer], then: Line | None = None) -> int:
        """Filter the answers in order and append them to the ledger in one write, followed by the line `then`.

        Returns the number of accepted prompts.
        """
        lines: list[Line] = []
        fresh: list[Prompt] = []
        for ask, answer in answers:
            accepted, rejected = self._filter.judge(list(answer.texts))
            lines.append(answer_line(ask, answer, accepted, rejected, server(self.config)))
            fresh += [Prompt(ask.category, text) for text in accepted]
            if answer.outcome != "answered":
                log.info("prompts: %s %s: %s", ask.id, answer.outcome, answer.detail)
        self.ledger.append(*lines, *([then] if then else []))
        self.new += fresh
        return len(fresh)

    def send(self, ask: Ask) -> Answer:
        """Send a request. What comes back is stored before it is read, because it was paid for."""

        def keep(text: str) -> None:
            try:
                self.ledger.append(received_line(ask, text))
            except (BadSetup, OSError):
                log.error("prompts: %s was paid for and cannot be stored; it is: %r", ask.id, text)
                raise

        return self.client.ask(ask, self.ledger.texts(ask.category), keep)

    def enter_received(self) -> None:
        """Enter the answers that a run stored, and did not come to enter."""
        for line in [line for line in self.ledger.lines if line["kind"] == "received"]:
            ask, text = received(line)
            self.enter((ask, read_answer(text)))

    def take_new(self) -> Iterator[Prompt]:
        """The prompts accepted since the last call."""
        fresh, self.new = self.new, []
        yield from fresh


def write_one_by_one(session: Session) -> Iterator[Prompt]:
    """Prompts as they are accepted, until every category has as many as needed.

    Raises:
        Unfinished: the requests are used up, or the model gives no new prompt.
        BadSetup: the server refuses the requests.
    """
    refused: dict[str, str] = {}
    for category in categories():
        if reason := (yield from _write_category(session, category)):
            refused[category] = reason
    if refused:
        told = "; ".join(f"{category!r} ({reason})" for category, reason in refused.items())
        raise Unfinished(f"{MAX_FRUITLESS} requests in a row were refused for {told}; try another model")


def _write_category(session: Session, category: str) -> Generator[Prompt, None, str]:
    """Prompts of one category; returns the reason when requests for it are refused, which the others need not be."""
    fruitless, refused, share = 0, 0, 1.0
    while missing := session.missing(category):
        if session.left() < 1:
            raise used_up(session)
        if refused == MAX_FRUITLESS:
            return str(session.ledger.answers[-1]["detail"])
        if fruitless == MAX_FRUITLESS:
            raise Unfinished(
                f"{fruitless} answers in a row gave no new prompt for {category!r}: {_latest(session)}; try "
                "another model or temperature, or lower generated.prompts_per_category"
            )
        count = max(1, math.floor(share * min(session.config.per_request, math.ceil(missing * SPARE))))
        ask = session.ask(category, len(session.ledger.answers), count)
        answer = session.send(ask)
        fruitless = 0 if session.enter((ask, answer)) else fruitless + 1
        refused = refused + 1 if answer.outcome == "refused" else 0
        # An answer that ran out of tokens would do so again: request fewer prompts.
        share = share / 2 if answer.outcome == "truncated" else share
        yield from session.take_new()
    return ""


def used_up(session: Session) -> Unfinished:
    """The error raised when `prompts.max_requests` is reached."""
    return Unfinished(
        f"all {session.config.max_requests} requests of prompts.max_requests are used; raise it to continue from there"
    )


def _latest(session: Session) -> str:
    last = session.ledger.answers[-1]
    reasons = ", ".join(f"{len(texts)} {reason}" for reason, texts in last["rejected"].items())
    return f"the last was {last['outcome']}" + (f" with {reasons}" if reasons else f" ({last['detail']})")
