"""The champion's record below `<root>/champion/`: what was decided, when and why; never changed, only added to.

`history/NNNNNN.json` is one decision each, written completely or not at all; the last one names the champion.
`current.json` says the same for programs, and is corrected whenever it lags behind. `champions.py` handles the weights.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from decoupage.faults import BadSetup
from pipelines.stages.store import Store

FOLDER = "champion"
HISTORY, CURRENT = f"{FOLDER}/history", f"{FOLDER}/current.json"
Kind = Literal["promoted", "refused", "rolled_back", "begun"]
"""`begun`: the published adapter that training starts from became the first champion, without a gate."""
MADE: tuple[Kind, ...] = ("promoted", "begun")
"""Kinds of decisions that made a version."""


@dataclass(frozen=True)
class Event:
    """One decision.

    Attributes:
        number: 1, 2, ...
        at: ISO 8601 in UTC.
        kind: what was done.
        champion: version after it; None = there is none.
        before: version before it.
        reasons: sentences; of a refusal all that spoke against it.
        details: what it was about: weights, fingerprints, list, demands and gains.
    """

    number: int
    at: str
    kind: Kind
    champion: str | None
    before: str | None
    reasons: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights_sha256(self) -> str | None:
        """Of the candidate, or of the version that was rolled back to."""
        return self.details.get("candidate", {}).get("weights_sha256")


_EVENT = TypeAdapter(Event)


def read_history(store: Store) -> list[Event]:
    """Every decision, oldest first.

    Raises:
        BadSetup: one is missing or damaged.
    """
    events = []
    for number, name in enumerate(store.names(HISTORY, ".json"), start=1):
        path = f"{HISTORY}/{name}"
        if name != _name(number):
            raise BadSetup(f"{store.url(HISTORY)} lacks {_name(number)}; restore it from a copy")
        try:
            event = _EVENT.validate_python(store.read_json(path))
        except BadSetup as fault:
            raise BadSetup(f"{fault}; restore it from a copy") from fault
        except ValidationError as error:
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
            raise BadSetup(f"{store.url(path)} is damaged ({why}); restore it from a copy") from error
        if event.number != number or not _is_whole(event):
            raise BadSetup(f"{store.url(path)} is not the complete decision with that number; restore it from a copy")
        events.append(event)
    return events


def add_event(
    store: Store,
    kind: Kind,
    champion: str | None,
    before: str | None,
    reasons: tuple[str, ...],
    details: Mapping[str, Any],
) -> Event:
    """Record a decision, which then holds. The caller keeps other processes out (`champions.alone`).

    Raises:
        BadSetup: another process has recorded one in the meantime, and this one does not count.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    event = Event(len(read_history(store)) + 1, now, kind, champion, before, reasons, details)
    path = f"{HISTORY}/{_name(event.number)}"
    if not store.create(path, (json.dumps(asdict(event), indent=1, allow_nan=False) + "\n").encode()):
        raise BadSetup(f"another process decided on the champion at the same time ({store.url(path)}); run again")
    point(store)
    return event


def current_version(history: list[Event]) -> str | None:
    """The champion's version; None = there is none."""
    return history[-1].champion if history else None


def promotion_of(history: list[Event], version: str) -> Event:
    """The decision that made a version.

    Raises:
        ValueError: no such version; the message names the known ones.
    """
    made = {event.champion: event for event in history if event.kind in MADE}
    if version not in made:
        known = ", ".join(str(name) for name in made) or "none"
        raise ValueError(f"there is no version {version!r} of the champion; known: {known}")
    return made[version]


def withdrawn(history: list[Event]) -> dict[str, Event]:
    """Hash of weights -> how a person rolled them back; they stay refused until a person restores them."""
    found: dict[str, Event] = {}
    for event in history:
        if event.kind == "rolled_back" and event.before is not None:
            found[str(promotion_of(history, event.before).weights_sha256)] = event
        if event.kind != "refused":
            found.pop(str(event.weights_sha256), None)
    return found


def point(store: Store) -> None:
    """Make `current.json` say what the history says; a run that was killed in between may have left it out of date."""
    history = read_history(store)
    version = current_version(history)
    if version is None:
        return
    made = promotion_of(history, version)
    values = {
        "version": version,
        "adapter": f"{FOLDER}/{version}/adapter",
        "weights_sha256": made.weights_sha256,
        "promoted_at": made.at,
    }
    content = (json.dumps(values, indent=1) + "\n").encode()
    if not store.exists(CURRENT) or store.read(CURRENT) != content:
        store.write(CURRENT, content)


def _is_whole(event: Event) -> bool:
    """Whether it has the facts on its candidate that are read later."""
    candidate = event.details.get("candidate")
    known = isinstance(candidate, Mapping) and {"weights_sha256", "identity"} <= candidate.keys()
    return known and (event.kind not in MADE or {"list_sha256", "num_images"} <= event.details.keys())


def _name(number: int) -> str:
    return f"{number:06d}.json"
