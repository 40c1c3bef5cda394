"""What a licence permits: `terms.csv`, looked up by any spelling of the licence's name."""

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from pipelines.licences.names import normalised

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


@dataclass(frozen=True)
class Terms:
    """What one licence permits and asks for.

    Attributes:
        commercial, derivatives: whether it permits commercial use, and works made from it (every composite is one).
        attribution, share_alike: whether the maker must be named, and what is made from it licensed alike.
        source: where that is written.
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


def parts_of(licence: str) -> list[str]:
    """The licences that hold at once: `CC-BY-NC-SA-4.0 AND unknown` is two (an SPDX expression)."""
    return [canonical(part) for part in re.split(r"\s+AND\s+", licence.strip())]


def find_terms(licence: str) -> Terms | None:
    """The terms of a single licence; None when nobody here knows it."""
    return _table().get(canonical(licence))


def why_not_commercial(licence: str) -> str:
    """What forbids a commercial build to use something under this licence; empty when nothing does.

    A licence that nobody knows permits nothing.
    """
    for part in parts_of(licence):
        terms = _table().get(part)
        if terms is None:
            return f"{part or 'no licence'} is not known to permit commercial use"
        if not terms.commercial:
            return f"{part} forbids commercial use"
        if not terms.derivatives:
            return f"{part} forbids derivatives, and every composite is one"
    return ""


def binds_outputs(licence: str) -> bool:
    """Whether a licence of weights or code reaches what is made with them.

    Use restrictions (OpenRAIL) and bans of commercial use do, and of unknown ones it must be feared. Licences that ask
    for attribution speak of copies of the code.
    """
    terms = [_table().get(part) for part in parts_of(licence)]
    return any(found is None or not found.commercial or "openrail" in found.licence for found in terms)


@lru_cache(1)
def _table() -> dict[str, Terms]:
    text = files("pipelines.licences").joinpath("terms.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        row["licence"]: Terms(
            licence=row["licence"],
            commercial=row["commercial"] == "yes",
            derivatives=row["derivatives"] == "yes",
            attribution=row["attribution"] == "yes",
            share_alike=row["share_alike"] == "yes",
            source=row["source"],
        )
        for row in rows
    }
