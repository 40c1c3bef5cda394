"""The ledger of one list of prompts: each answer that was paid for, in order, and which prompts were accepted from it.

`sources/prompts/<fingerprint>.jsonl` in the store, one JSON object per line:

- `recipe`: the first line, what the list was written by;
- `received`: the text of an answer that was paid for, before anything is made of it; its `answer` takes its place;
- `answer`: one finished request with its tokens, the prompts accepted from it and those rejected, by reason;
- `plan`, `batch`, `closed`: a batch is about to be sent, was sent, was read (see `batch`).

The whole object is rewritten for each answer: that works for folders and object stores alike, costs little (a long
list has some hundred kB, an answer takes seconds), and leaves no half-written line. Accepted prompts are stored rather
than derived again, so that better rules do not change an existing list.

One process writes at a time. Should two write all the same, because one stood still until its lease on an object store
ran out, the later one stops, and the answers that it has paid for go to `<fingerprint>.aside-*.jsonl`, from where the
next run takes them.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json, fingerprint
from decoupage.text_files import parse_json
from pipelines.config import DataConfig, GeneratedConfig, PromptsConfig
from pipelines.foregrounds.prompts.answers import Answer
from pipelines.foregrounds.prompts.builtin import Prompt, builtin_prompts, categories
from pipelines.foregrounds.prompts.chat import Ask, recipe
from pipelines.packaged.cutouts import cutouts_of
from pipelines.stages import leases
from pipelines.stages.store import Store

log = logging.getLogger(__name__)

FOLDER = "sources/prompts"

Line = dict[str, Any]


def ledger_path(config: PromptsConfig) -> str:
    """Path of a profile's ledger in its store."""
    return f"{FOLDER}/{fingerprint(recipe(config))}.jsonl"


@dataclass
class Ledger:
    """The lines of one ledger and the object that stores them. Made by `open_ledger` and `read_ledger`.

    Attributes:
        version: of the object, which nobody else may change; empty = there is none yet.
    """

    store: Store
    path: str
    lines: list[Line] = field(default_factory=list)
    version: str = ""

    def append(self, *lines: Line) -> None:
        """Append lines; they are stored when this returns. An `answer` removes what was `received` for it.

        Raises:
            BadSetup: another run has written in the meantime; what it wrote is kept.
        """
        answered = {line["request"] for line in lines if line["kind"] == "answer"}
        kept = [line for line in self.lines if line["kind"] != "received" or line["request"] not in answered]
        data = _lines([*kept, *lines])
        version = self._stored(data)
        if version is None:
            told = self._set_aside(lines)
            raise BadSetup(
                f"{self.store.url(self.path)} was changed by another run; let one finish, then run again{told}"
            )
        self.lines, self.version = [*kept, *lines], version

    def _stored(self, data: bytes) -> str | None:
        if self.version:
            return self.store.replace(self.path, data, self.version)
        return self.store.version(self.path) if self.store.create(self.path, data) else None

    def _set_aside(self, new: Iterable[Line]) -> str:
        """Keep answers that are paid for and cannot be appended; returns what to say of it."""
        paid = [line for line in (*self.lines, *new) if line["kind"] == "received"]
        if not paid:
            return ""
        place = f"{_aside(self.path)}{uuid.uuid4().hex[:12]}.jsonl"
        self.store.write(place, _lines(paid))
        return f": it takes the {len(paid)} answers that were paid for from {self.store.url(place)}"

    def take_aside(self) -> None:
        """Append the answers that other runs have set aside, unless they were received again since."""
        for name in self.store.names(FOLDER, ".jsonl"):
            place = f"{FOLDER}/{name}"
            if place.startswith(_aside(self.path)):
                paid, known = _parsed(self.store.read(place)), {line.get("request") for line in self.lines}
                self.append(*(line for line in paid if line["request"] not in known))
                self.store.remove(place)

    @property
    def answers(self) -> list[Line]:
        """All finished requests, in the order of acceptance."""
        return [line for line in self.lines if line["kind"] == "answer"]

    def prompts(self) -> list[Prompt]:
        """All accepted prompts, in the order of acceptance."""
        return [Prompt(line["category"], text) for line in self.answers for text in line["accepted"]]

    def texts(self, category: str) -> list[str]:
        """The accepted prompts of a category."""
        return [prompt.text for prompt in self.prompts() if prompt.category == category]

    def counted(self, key: str) -> dict[str, int]:
        """Value of a field of the answers -> number of answers, most frequent first."""
        return dict(Counter(line[key] for line in self.answers).most_common())

    def rejected(self) -> dict[str, int]:
        """Reason -> number of rejected prompts, most frequent first."""
        total: Counter[str] = Counter()
        for line in self.answers:
            total.update({reason: len(texts) for reason, texts in line["rejected"].items()})
        return dict(total.most_common())


def answer_line(ask: Ask, answer: Answer, accepted: list[str], rejected: dict[str, list[str]], server: str) -> Line:
    """The ledger's line about one finished request."""
    given = {key: value for key, value in asdict(answer).items() if key != "texts" and (key != "text" or value)}
    return {"kind": "answer", **_asked(ask), **given, "server": server, "accepted": accepted, "rejected": rejected}


def received_line(ask: Ask, text: str) -> Line:
    """The ledger's line about an answer that has just come in."""
    return {"kind": "received", **_asked(ask), "text": text}


def received(line: Line) -> tuple[Ask, str]:
    """The request and the text of such a line."""
    return Ask(line["request"], line["category"], line["count"], line["seed"]), line["text"]


def _asked(ask: Ask) -> Line:
    return {"request": ask.id, "category": ask.category, "count": ask.count, "seed": ask.seed}


def read_ledger(config: PromptsConfig, store: Store) -> Ledger | None:
    """The profile's ledger; None when none was begun.

    A last line without its newline is left out: its writer did not finish it.

    Raises:
        BadSetup: the file is damaged before its last line.
    """
    path = ledger_path(config)
    if not store.exists(path):
        return None
    version = store.version(path)
    data = store.read(path)
    whole, _, incomplete = data.rpartition(b"\n")
    if incomplete:
        log.warning("%s: the last line is incomplete and left out", store.url(path))
    try:
        lines = _parsed(whole)
        if lines and lines[0]["kind"] != "recipe":
            raise ValueError("the first line is not a recipe")
    except (BadSetup, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSetup(
            f"{store.url(path)} is damaged ({error!r}); restore a copy, or move it away to have the list written again"
        ) from error
    return Ledger(store, path, lines, version)


def _aside(path: str) -> str:
    return f"{path.removesuffix('.jsonl')}.aside-"


def _lines(lines: Iterable[Line]) -> bytes:
    return b"".join(canonical_json(line) + b"\n" for line in lines)


def _parsed(data: bytes) -> list[Line]:
    """Raises BadSetup, ValueError, KeyError, TypeError or AttributeError when a line lacks what its kind must hold."""
    lines = [parse_json(line, f"line {number}") for number, line in enumerate(data.splitlines(), 1)]
    for line in lines:
        if line["kind"] == "received":
            texts = [line["category"], line["request"], line["text"]]
            if not all(isinstance(text, str) for text in texts) or type(line["count"] + line["seed"]) is not int:
                raise ValueError(f"{line['request']} is damaged")
        if line["kind"] == "answer":
            texts = [line["category"], line["request"], line["outcome"], *line["accepted"], *line["rejected"]]
            if not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{line['request']} holds something other than text")
            if int(line["tokens_in"]) < 0 or int(line["tokens_out"]) < 0:
                raise ValueError(f"{line['request']} holds negative tokens")
    return lines


@contextmanager
def open_ledger(config: PromptsConfig, store: Store) -> Iterator[Ledger]:
    """The profile's ledger for writing, begun when there is none; one process at a time.

    Raises:
        BadSetup: another process is writing it, it is damaged, or the root cannot be written to. Raised before any
            request is paid for.
    """
    path = ledger_path(config)
    lease = leases.take_soon(store, f"{FOLDER}/.lock")
    if lease is None:
        raise BadSetup(f"another process is writing {store.url(path)}; let it finish, then run again")
    try:
        store.remove_leftovers(FOLDER)
        ledger = read_ledger(config, store) or Ledger(store, path)
        if not ledger.lines:
            made_by = recipe(config)
            ledger.append({"kind": "recipe", "fingerprint": fingerprint(made_by), "recipe": made_by})
        ledger.take_aside()
        yield ledger
    finally:
        lease.release()


def given_prompts(config: GeneratedConfig) -> list[Prompt]:
    """The prompts that nobody has to write: the names of rendered objects, else the built-in list.

    Raises:
        ValueError: there are fewer built-in prompts than requested.
        BadSetup: the folder of rendered objects cannot be used.
    """
    if config.generator == "rendered":
        return [Prompt(cutout.category, cutout.name) for cutout in cutouts_of(config.rendered_folder)]
    return builtin_prompts(config.prompts_per_category)


def read_prompts(config: DataConfig, store: Store) -> list[Prompt]:
    """The profile's prompts, built in or written: the first `generated.prompts_per_category` of each category.

    Rendered objects are asked for by their names: all that there are.

    Raises:
        ValueError: there are fewer built-in prompts than requested.
        BadSetup: the list is to be written by a model, and is missing or too short.
    """
    wanted = config.generated.prompts_per_category
    if config.prompts.source == "builtin":
        return given_prompts(config.generated)
    ledger = read_ledger(config.prompts, store)
    found = {name: ledger.texts(name)[:wanted] if ledger else [] for name in categories()}
    short = {name: len(texts) for name, texts in found.items() if len(texts) < wanted}
    if short:
        there = ", ".join(f"{name} {number}" for name, number in short.items())
        raise BadSetup(
            f"{store.url(ledger_path(config.prompts))} lacks prompts: {wanted} needed in each category, found "
            f"{there}. Write them with `decoupage prompts write` (same profile and root), or set prompts.source = "
            "'builtin'"
        )
    return [Prompt(name, text) for name, texts in found.items() for text in texts]
