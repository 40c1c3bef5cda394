"""Names and terms of licences (`terms.csv`), and the licences of known sources, models and weights (`ledger.csv`)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from decoupage.text_files import csv_rows, text_lines
from decoupage.weights.hub import split_revision

HUB_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "unlicense", "pddl", "wtfpl"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "openrail", "openrail++"),
    }
)
"""Identifiers that the Hugging Face Hub knows, as far as pictures are licensed under them.
Source: https://huggingface.co/docs/hub/repositories-licenses."""
_CREATIVE_COMMONS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)/?.*"
)
_ALIASES = {
    "cc0": "cc0-1.0",
    "cc-zero-1.0": "cc0-1.0",
    "cc-mark-1.0": "public-domain",
    "in-the-public-domain": "public-domain",
    "apache-license-2.0": "apache-2.0",
    "openrail++-m": "openrail++",
    "creativeml-open-rail++-m": "openrail++",
    "flux.1-[dev]-non-commercial-license": "flux-1-dev-non-commercial",
    "flux-1-dev-non-commercial-license": "flux-1-dev-non-commercial",
}
"""Spellings that sources use -> names of `terms.csv`."""
UNKNOWN = "unknown"


def normalised(licence: str) -> str:
    """A licence's name in lower case with hyphens: `CC BY-NC-SA 4.0` -> `cc-by-nc-sa-4.0`."""
    return "-".join(licence.strip().lower().replace("_", "-").split())


def hub_licences(licences: list[str]) -> list[str]:
    """Sorted identifiers for a dataset card; licences that the Hub does not know become `other`."""
    names = {normalised(licence) for licence in licences}
    return sorted({name if name in HUB_LICENCES else "other" for name in names})


def licence_url(licence: str) -> str:
    """Address of a licence's text where its identifier gives one, else its name unchanged."""
    name = normalised(licence)
    if name == "cc0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if name.startswith("cc-by"):
        kind, _, version = name.removeprefix("cc-").rpartition("-")
        return f"https://creativecommons.org/licenses/{kind}/{version}/"
    if name in HUB_LICENCES:
        return f"https://spdx.org/licenses/{licence.strip()}.html"
    return licence


@dataclass(frozen=True)
class Terms:
    """The terms of one licence.

    Attributes:
        commercial, derivatives: whether it permits commercial use, and derivative works (every composite is one).
        attribution, share_alike: whether the author must be named, and derivative works licensed alike.
        source: where these terms are written.
    """

    licence: str
    commercial: bool
    derivatives: bool
    attribution: bool
    share_alike: bool
    source: str


def canonical(licence: str) -> str:
    """The name in `terms.csv` of a licence as a source writes it: an SPDX name, words, or Creative Commons' address."""
    address = _CREATIVE_COMMONS.fullmatch(licence.strip().lower())
    name = f"cc-{address[2]}-{address[3]}" if address else normalised(licence)
    return _ALIASES.get(name, name)


def split_expression(licence: str) -> list[str]:
    """The licences that hold at once, as written: `CC-BY-NC-SA-4.0 AND unknown` is two (an SPDX expression)."""
    return re.split(r"\s+AND\s+", licence.strip())


def parts_of(licence: str) -> list[str]:
    """The same by their names in `terms.csv`."""
    return [canonical(part) for part in split_expression(licence)]


def find_terms(licence: str) -> Terms | None:
    """The terms of a single licence; None when `terms.csv` lacks it."""
    return _table().get(canonical(licence))


def why_not_commercial(licence: str) -> str:
    """The reason why a commercial build cannot use a work under this licence; empty when it can.

    An unknown licence permits nothing.
    """
    for part in parts_of(licence):
        terms = _table().get(part)
        if terms is None:
            named = {"": "a missing licence", UNKNOWN: "an unknown licence"}.get(part, part)
            return f"{named} is not known to permit commercial use"
        if not terms.commercial:
            return f"{part} forbids commercial use"
        if not terms.derivatives:
            return f"{part} forbids derivatives, and every composite is one"
    return ""


def binds_outputs(licence: str) -> bool:
    """Whether a licence of weights or code also binds what is made with them.

    Use restrictions (OpenRAIL) and bans of commercial use do, and unknown licences are assumed to. Attribution clauses
    concern copies of the code only.
    """
    terms = [_table().get(part) for part in parts_of(licence)]
    return any(found is None or not found.commercial or "openrail" in found.licence for found in terms)


@lru_cache(1)
def _table() -> dict[str, Terms]:
    table = {}
    for row in _rows("terms.csv"):
        permits = {name: row[name] == "yes" for name in ("commercial", "derivatives", "attribution", "share_alike")}
        table[row["licence"]] = Terms(row["licence"], **permits, source=row["source"])
    return table


@dataclass(frozen=True)
class Entry:
    """One line of `ledger.csv`.

    Attributes:
        name: name of a data set, generator, model or base, or the Hub id of weights.
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
    """All entries of `ledger.csv` by name."""
    return {row["name"]: Entry(**row) for row in _rows("ledger.csv")}


def licence_of(name: str) -> str:
    """The licence of a data set, model or weights by name or Hub id, at any revision; `unknown` without an entry."""
    entry = ledger().get(split_revision(name)[0])
    return entry.licence if entry else UNKNOWN


def _rows(file: str) -> list[dict[str, str]]:
    lines = text_lines(files("pipelines.licences").joinpath(file).read_bytes(), file)
    return [row for _, row in csv_rows(lines, file)]
