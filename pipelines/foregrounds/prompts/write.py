"""Writes a profile's list of prompts, or goes on with it, and reports: what the command and the asset both call."""

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.config import DataConfig, PromptsConfig
from pipelines.foregrounds.prompts.asking import recipe
from pipelines.foregrounds.prompts.batch import write_by_batches
from pipelines.foregrounds.prompts.builtin import categories
from pipelines.foregrounds.prompts.client import Client, key_of
from pipelines.foregrounds.prompts.ledger import Ledger, open_ledger
from pipelines.foregrounds.prompts.patience import Patience, Unfinished
from pipelines.foregrounds.prompts.writer import Desk, write_one_by_one
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptsReport:
    """A written list at a glance; all but `num_new` and `seconds` are over all runs.

    Attributes:
        fingerprint: of what decides the prompts.
        model: that was asked for.
        wanted: prompts in each category.
        by_category: category -> prompts that are there, more than wanted included.
        num_new: prompts accepted by this run.
        rejected: reason -> prompts that were not accepted.
        requests: outcome -> finished requests.
        tokens_in: paid for questions.
        tokens_out: paid for answers.
        cost_usd: by the profile's prices; None where it names none.
        seconds: of this run.
    """

    fingerprint: str
    model: str
    wanted: int
    by_category: dict[str, int]
    num_new: int
    rejected: dict[str, int]
    requests: dict[str, int]
    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    seconds: float

    @property
    def num_prompts(self) -> int:
        """All that are there."""
        return sum(self.by_category.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class UnfinishedList(Unfinished):
    """The list is too short; `report` tells what is there."""

    def __init__(self, message: str, report: PromptsReport) -> None:
        super().__init__(message, report)
        self.message, self.report = message, report

    def __str__(self) -> str:
        return self.message


def write_prompts(config: DataConfig, store: Store, patience: Patience | None = None) -> PromptsReport:
    """Have the profile's model write prompts until each category holds `generated.prompts_per_category`.

    What is there already is kept and not paid for again; a list that is long enough costs nothing and needs no key.

    Args:
        config: all data sections.
        store: the root; the list is `sources/prompts/<fingerprint>.jsonl`.
        patience: how often to try a request; None = as the profile says.

    Raises:
        UnfinishedList: fewer prompts came than wanted; what is there is kept, and the message says how to go on.
        BadSetup: the profile asks for built-in prompts, a key is missing, the server refuses the requests, another
            process is writing, or the root cannot be written to.
    """
    asked, wanted = config.prompts, config.generated.prompts_per_category
    if asked.source != "written":
        raise BadSetup("prompts.source is 'builtin', there is nothing to write; set DECOUPAGE__PROMPTS__SOURCE=written")
    started = time.monotonic()
    with open_ledger(asked, store) as ledger:
        before = len(ledger.prompts())

        def report() -> PromptsReport:
            return _report(asked, wanted, ledger, len(ledger.prompts()) - before, time.monotonic() - started)

        desk = Desk(asked, wanted, ledger, Client(asked, patience))
        missing = sum(desk.missing(name) for name in categories())
        if missing:
            key_of(asked)
            try:
                _run(desk, missing)
            except Unfinished as fault:
                raise _unfinished(fault, report(), store.url(ledger.path)) from None
        return report()


def _run(desk: Desk, missing: int) -> None:
    write = write_by_batches if desk.config.batch else write_one_by_one
    with Progress("prompts", "prompts", missing) as progress:
        for prompt in progress.counting(write(desk)):
            log.debug("prompts: %s/%s", prompt.category, prompt.text)


def _report(config: PromptsConfig, wanted: int, ledger: Ledger, num_new: int, seconds: float) -> PromptsReport:
    tokens_in, tokens_out = (sum(line[key] for line in ledger.answers) for key in ("tokens_in", "tokens_out"))
    return PromptsReport(
        fingerprint=fingerprint(recipe(config)),
        model=config.model,
        wanted=wanted,
        by_category={name: len(ledger.texts(name)) for name in categories()},
        num_new=num_new,
        rejected=ledger.rejected(),
        requests=ledger.counted("outcome"),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost_usd=_cost_usd(config, tokens_in, tokens_out),
        seconds=round(seconds, 3),
    )


def _cost_usd(config: PromptsConfig, tokens_in: int, tokens_out: int) -> float | None:
    price_in, price_out = config.usd_per_million_tokens_in, config.usd_per_million_tokens_out
    if price_in is None or price_out is None:
        return None
    return round((tokens_in * price_in + tokens_out * price_out) / 1e6, 6)


def _unfinished(fault: Unfinished, report: PromptsReport, path: str) -> UnfinishedList:
    there = sum(min(report.wanted, number) for number in report.by_category.values())
    return UnfinishedList(
        f"{there} of {report.wanted * len(report.by_category)} prompts are there, in {path}: {fault}. Nothing that is "
        "there is asked for again: run `decoupage prompts write` with the same profile and root to go on.",
        report,
    )
