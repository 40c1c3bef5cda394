"""Writes a profile's list of prompts, or continues it, and reports: called by both the command and the asset."""

import logging
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.config import DataConfig, PromptsConfig
from pipelines.foregrounds.prompts.batch import write_by_batches
from pipelines.foregrounds.prompts.builtin import categories
from pipelines.foregrounds.prompts.chat import recipe
from pipelines.foregrounds.prompts.client import Client, RetryPolicy, Unfinished, key_of
from pipelines.foregrounds.prompts.ledger import open_ledger
from pipelines.foregrounds.prompts.writer import Session, write_one_by_one
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptsReport:
    """Summary of a written list; all but `num_new` and `seconds` are totals over all runs.

    Attributes:
        fingerprint: hash of everything that decides the prompts.
        model: the model that was requested.
        wanted: number of prompts in each category.
        by_category: category -> number of written prompts, those beyond `wanted` included.
        num_new: number of prompts accepted by this run.
        rejected: reason -> number of prompts that were not accepted.
        requests: outcome -> number of finished requests.
        tokens_in: input tokens paid.
        tokens_out: output tokens paid.
        cost_usd: cost by the profile's prices; None where it names none.
        left_out: field of a request -> why this run's server refused it; it was left out.
        seconds: duration of this run.
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
    left_out: dict[str, str]
    seconds: float


class UnfinishedList(Unfinished):
    """The list is too short; `report` says what it holds."""

    def __init__(self, message: str, report: PromptsReport) -> None:
        super().__init__(message, report)
        self.message, self.report = message, report

    def __str__(self) -> str:
        return self.message


def write_prompts(config: DataConfig, store: Store, retry: RetryPolicy | None = None) -> PromptsReport:
    """Have the profile's model write prompts until each category holds `generated.prompts_per_category`.

    Prompts written before are kept and not paid for again; a list that is long enough costs nothing and needs no key.

    Args:
        config: all data sections.
        store: the root; the list is `sources/prompts/<fingerprint>.jsonl`.
        retry: how to retry a request; None = as the profile says.

    Raises:
        UnfinishedList: fewer prompts were accepted than needed; they are kept, and the message says how to continue.
        BadSetup: the profile asks for built-in prompts, a key is missing, the server refuses the requests, another
            process is writing, or the root cannot be written to.
    """
    asked, wanted = config.prompts, config.generated.prompts_per_category
    if asked.source != "written":
        raise BadSetup("prompts.source is 'builtin': there is nothing to write; set DECOUPAGE__PROMPTS__SOURCE=written")
    started = time.monotonic()
    with open_ledger(asked, store) as ledger:
        before = len(ledger.prompts())

        def report() -> PromptsReport:
            return _report(session, len(ledger.prompts()) - before, time.monotonic() - started)

        session = Session(asked, wanted, ledger, Client(asked, retry))
        session.enter_received()
        missing = sum(session.missing(name) for name in categories())
        if missing:
            key_of(asked)
            try:
                _run(session, missing)
            except Unfinished as fault:
                raise _unfinished(fault, report(), store.url(ledger.path)) from None
        return report()


def _run(session: Session, missing: int) -> None:
    write = write_by_batches if session.config.batch else write_one_by_one
    with Progress("prompts", "prompts", missing) as progress:
        for prompt in progress.counting(write(session)):
            log.debug("prompts: %s/%s", prompt.category, prompt.text)


def _report(session: Session, num_new: int, seconds: float) -> PromptsReport:
    config, ledger = session.config, session.ledger
    tokens_in, tokens_out = (sum(line[key] for line in ledger.answers) for key in ("tokens_in", "tokens_out"))
    return PromptsReport(
        fingerprint=fingerprint(recipe(config)),
        model=config.model,
        wanted=session.wanted,
        by_category={name: len(ledger.texts(name)) for name in categories()},
        num_new=num_new,
        rejected=ledger.rejected(),
        requests=ledger.counted("outcome"),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost_usd=_cost_usd(config, tokens_in, tokens_out),
        left_out=dict(session.client.left_out),
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
        f"{there} of {report.wanted * len(report.by_category)} prompts are written, in {path}: {fault}. They are "
        "not requested again: run `decoupage prompts write` with the same profile and root to continue.",
        report,
    )


def show(report: PromptsReport) -> None:
    """Print a report to the terminal: prompts by category, then requests, tokens and cost."""
    table = Table("category", "prompts", "wanted")
    for name, number in report.by_category.items():
        table.add_row(name, str(number), str(report.wanted))
    console = Console()
    console.print(table)
    for title, counts in (("requests", report.requests), ("rejected", report.rejected)):
        listed = ", ".join(f"{number} {name}" for name, number in counts.items())
        console.print(f"{title}: {listed or 'none'}", highlight=False)
    for name, reason in report.left_out.items():
        console.print(f"left out: {name}, which the server refused ({reason})", highlight=False, markup=False)
    cost = "" if report.cost_usd is None else f", {report.cost_usd:.4f} USD"
    console.print(f"tokens: {report.tokens_in} in, {report.tokens_out} out{cost}", highlight=False)
    console.print(f"{report.num_new} new by {report.model} in {report.seconds:.1f} s", highlight=False)
