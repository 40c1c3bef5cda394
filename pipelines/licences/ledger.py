"""The ledger: under which licence each known source, model and set of weights comes, and where that is written."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """One line of `ledger.csv`.

    Attributes:
        name: of a data set, generator, model or base, or the hub id of weights.
        kind: `data`, `generator`, `model`, `base` or `weights`.
        source: where the licence is stated.
    """

    name: str
    kind: str
    licence: str
    source: str
    note: str


@lru_cache(1)
def ledger() -> dict[str, Entry]:
    """All entries by name."""
    text = files("pipelines.licences").joinpath("ledger.csv").read_text(encoding="utf-8")
    return {row["name"]: Entry(**row) for row in csv.DictReader(text.splitlines())}


def licence_of(name: str) -> str:
    """The licence of something by its name or hub id; `unknown` when the ledger lacks it."""
    entry = ledger().get(name)
    return entry.licence if entry else UNKNOWN
