"""Exclusions: assets that a person rejected for their quality; `takedowns.py` is for rights.

The list is `exclusions.jsonl` in the data root, one JSON object per line; removing a line admits the asset again.
The library leaves them out (`catalogue.py`); the scenes' staleness then remakes exactly the shards that drew one.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json, text_lines
from pipelines.library.records import AnyRecord
from pipelines.library.takedowns import with_copies
from pipelines.stages.store import Store

EXCLUSIONS = "exclusions.jsonl"
"""Path of the list in the root."""
REASONS = ("reject", "relabel")
"""`reject`: not good enough. `relabel`: its category or caption is wrong; excluded until its source corrects it."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True)
class Exclusion:
    """One line of the list.

    Attributes:
        id: id of a foreground or background; not an origin, because one bad cutout does not exclude its photograph.
        reason: one of REASONS.
        seen_in: where it was seen, e.g. `train/00000012 layer1`.
    """

    id: str
    reason: str
    seen_in: str = ""


def read_exclusions(store: Store) -> tuple[Exclusion, ...]:
    """The exclusions in order of id; empty when there is no list.

    Raises:
        BadSetup: a line is not what `write_exclusions` writes.
    """
    if not store.exists(EXCLUSIONS):
        return ()
    lines = text_lines(store.read(EXCLUSIONS), store.url(EXCLUSIONS))
    return _by_id(_parsed(f"{store.url(EXCLUSIONS)}, line {number}", line) for number, line in lines if line.strip())


def write_exclusions(store: Store, exclusions: Iterable[Exclusion]) -> None:
    """Replace the list, whole or not at all; ordered by id, so that equal exclusions give equal bytes."""
    store.write(EXCLUSIONS, _lines(exclusions))


def add_exclusions(store: Store, exclusions: Iterable[Exclusion]) -> tuple[Exclusion, ...]:
    """Add to the list; returns those that were not in it. Of processes that do so at once, none undoes another's.

    Raises:
        BadSetup: as `read_exclusions`.
    """
    wanted, written = tuple(exclusions), None
    while not written:
        version = store.version(EXCLUSIONS) if store.exists(EXCLUSIONS) else ""
        before = read_exclusions(store)
        listed = {exclusion.id for exclusion in before}
        new = tuple(exclusion for exclusion in wanted if exclusion.id not in listed)
        if not new:
            break
        lines = _lines([*before, *new])
        written = store.replace(EXCLUSIONS, lines, version) if version else store.create(EXCLUSIONS, lines)
    return new


def _lines(exclusions: Iterable[Exclusion]) -> bytes:
    return "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in _by_id(exclusions)).encode()


def excluded(records: Sequence[AnyRecord], exclusions: Iterable[Exclusion], distance_bits: int) -> dict[str, str]:
    """The records that a list excludes: id -> reason. Copies are excluded too, or they would replace the original.

    Args:
        records: foregrounds or backgrounds, not both, because a cutout is not a copy of a photograph.
        exclusions: the list.
        distance_bits: pictures whose hashes differ in at most so many bits are copies.
    """
    named = {exclusion.id: f"{exclusion.reason}, in {EXCLUSIONS}" for exclusion in exclusions}
    found = {record.id: named[record.id] for record in records if record.id in named}
    return with_copies(records, found, distance_bits)


def _by_id(exclusions: Iterable[Exclusion]) -> tuple[Exclusion, ...]:
    # Of two lines about one asset, the first counts.
    unique: dict[str, Exclusion] = {}
    for exclusion in exclusions:
        unique.setdefault(exclusion.id, exclusion)
    return tuple(unique[id_] for id_ in sorted(unique))


def _parsed(place: str, line: str) -> Exclusion:
    values = parse_json(line, place)
    if not isinstance(values, Mapping) or not set(values) <= {"id", "reason", "seen_in"}:
        raise _bad(place, 'a JSON object with "id", "reason" and, optionally, "seen_in"')
    id_, reason, seen_in = values.get("id"), values.get("reason"), values.get("seen_in", "")
    if not isinstance(id_, str) or not _ID.fullmatch(id_) or not isinstance(seen_in, str):
        raise _bad(place, 'the id of an asset of the library as "id"')
    if reason not in REASONS:
        raise _bad(place, f'"reason" as one of {", ".join(REASONS)}')
    return Exclusion(id_, reason, seen_in)


def _bad(place: str, wanted: str) -> BadSetup:
    return BadSetup(f"{place}: expected {wanted}; correct or remove the line")
