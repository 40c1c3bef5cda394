"""Has a model write the list, one request after another, until it is long enough.

One at a time: each request leaves out what is there already, the order of acceptance is the order of the ledger, and
a killed run loses no more than the answer that was on its way. Sending many at once is `batch`'s business.
"""

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts.answers import Answer
from pipelines.foregrounds.prompts.asking import Ask
from pipelines.foregrounds.prompts.builtin import Prompt, categories
from pipelines.foregrounds.prompts.client import Client, server
from pipelines.foregrounds.prompts.ledger import Ledger, Line, answer_line
from pipelines.foregrounds.prompts.patience import Unfinished
from pipelines.foregrounds.prompts.rules import Sieve

log = logging.getLogger(__name__)

MAX_FRUITLESS = 4
"""Answers of a category in a row, or batches, that bring nothing new, before the run is given up."""
SPARE = 1.25
"""Times the missing number that is asked for: some of what comes is rejected."""


@dataclass
class Desk:
    """What both ways of writing share: what is missing, what may be spent, and how an answer is entered.

    Attributes:
        config: of the list.
        wanted: prompts in each category.
        ledger: open for writing.
        client: asks the server.
        new: prompts accepted by this run that `take_new` has not handed over.
    """

    config: PromptsConfig
    wanted: int
    ledger: Ledger
    client: Client
    new: list[Prompt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sieve = Sieve(self.ledger.prompts())

    def missing(self, category: str) -> int:
        """Prompts that the category still lacks."""
        return max(0, self.wanted - len(self.ledger.texts(category)))

    def left(self) -> int:
        """Requests that may still be paid for."""
        return self.config.max_requests - len(self.ledger.answers)

    def ask(self, category: str, number: int, count: int, letters: tuple[str, str] | None = None) -> Ask:
        """The `number`-th request of the ledger."""
        slug = re.sub(r"[^a-z0-9]+", "-", category.lower())
        return Ask(f"{number:05d}-{slug}", category, count, self.config.seed + number, letters)

    def enter(self, *answers: tuple[Ask, Answer], then: Line | None = None) -> int:
        """Judge the answers in order and write them down, with a closing line where one is given, all at once.

        Returns how many prompts were accepted.
        """
        lines: list[Line] = []
        fresh: list[Prompt] = []
        for ask, answer in answers:
            accepted, rejected = self._sieve.sift(list(answer.texts))
            lines.append(answer_line(ask, answer, accepted, rejected, server(self.config)))
            fresh += [Prompt(ask.category, text) for text in accepted]
            if answer.outcome != "answered":
                log.info("prompts: %s %s: %s", ask.id, answer.outcome, answer.detail)
        self.ledger.append(*lines, *([then] if then else []))
        self.new += fresh
        return len(fresh)

    def take_new(self) -> Iterator[Prompt]:
        """Hand over what was accepted since the last time."""
        fresh, self.new = self.new, []
        yield from fresh


def write_one_by_one(desk: Desk) -> Iterator[Prompt]:
    """Prompts as they are accepted, until every category has as many as wanted.

    Raises:
        Unfinished: the requests are used up, or the model brings nothing new.
        BadSetup: the server refuses the requests.
    """
    for category in categories():
        fruitless, share = 0, 1.0
        while missing := desk.missing(category):
            if desk.left() < 1:
                raise used_up(desk)
            if fruitless == MAX_FRUITLESS:
                raise Unfinished(
                    f"{fruitless} answers in a row brought nothing new for {category!r}: {_latest(desk)}; another "
                    "model or temperature may bring more, or lower generated.prompts_per_category"
                )
            count = max(1, math.floor(share * min(desk.config.per_request, math.ceil(missing * SPARE))))
            ask = desk.ask(category, len(desk.ledger.answers), count)
            answer = desk.client.ask(ask, desk.ledger.texts(category))
            fruitless = 0 if desk.enter((ask, answer)) else fruitless + 1
            # An answer that ran out of tokens would do so again: ask for less.
            share = share / 2 if answer.outcome == "truncated" else share
            yield from desk.take_new()


def used_up(desk: Desk) -> Unfinished:
    """The fault that `prompts.max_requests` is reached."""
    return Unfinished(
        f"all {desk.config.max_requests} requests of prompts.max_requests are used; raise it to go on from there"
    )


def _latest(desk: Desk) -> str:
    last = desk.ledger.answers[-1]
    reasons = ", ".join(f"{len(texts)} {reason}" for reason, texts in last["rejected"].items())
    return f"the last was {last['outcome']}" + (f" with {reasons}" if reasons else f" ({last['detail']})")
