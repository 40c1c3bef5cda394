"""Fetches the photographs that are missing: COCO's by a template of addresses, LAION's by their list.

Which half of COCO a picture is in is not known beforehand, so one half is asked and then the other; what a server says
it does not have is written down, and not asked again. How a file is fetched is the business of `pipelines.downloads`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from decoupage.faults import BadItem
from decoupage.fingerprint import canonical_json
from decoupage.randomness import digest
from pipelines.config.mulan import MulanConfig
from pipelines.downloads.item import Download, DownloadReport
from pipelines.downloads.run import download_all
from pipelines.foregrounds.mulan.files import COCO_SUBSETS, Subset, find_photograph
from pipelines.foregrounds.mulan.index import Entry, Index
from pipelines.stages.manifest import Drop
from pipelines.stages.store import Store

RECORD = "sources/mulan/not_there.json"
"""Which addresses have no picture: key of the picture -> hash of the address -> reason."""
QUARANTINE = "quarantine/mulan-photographs.jsonl"
_BATCH = 1000
"""Photographs between two writings of the record: a killed run asks at most so many again, a twentieth in truth."""
_MAY_PASS = ("unreachable", "refused")
"""Not written down: a server that is down or says 403 may have the picture another time."""
_ASK_THE_OTHER_HALF = ("gone", "refused")
"""Object stores say 403 of what is not there where nobody may list them."""


@dataclass
class FetchReport:
    """What a run fetched.

    Attributes:
        num_there: photographs that were there already.
        num_left: those that the byte budget left out.
        drops: photographs that could not be had, with reasons.
        num_undecided: of them, those that may come another time.
    """

    num_there: int = 0
    num_fetched: int = 0
    num_bytes: int = 0
    num_left: int = 0
    num_undecided: int = 0
    drops: list[Drop] = field(default_factory=list)

    @property
    def drops_by_reason(self) -> dict[str, int]:
        """Reason -> number, most frequent first."""
        return dict(Counter(drop["reason"] for drop in self.drops).most_common())

    @property
    def is_settled(self) -> bool:
        """True when another run would bring nothing more."""
        return not (self.num_left or self.num_undecided)


@dataclass(frozen=True)
class Candidate:
    """An address that a photograph may have, and the folder it would go to."""

    subset: Subset
    url: str

    @property
    def hash(self) -> str:
        """What the record calls it: an address may hold what is not to be written down."""
        return digest(self.url).hex()[:16]


def candidates(entry: Entry, config: MulanConfig) -> tuple[Candidate, ...]:
    """Where to ask for a photograph, in this order; empty when the profile does not say.

    train2017 comes first: it holds 118,287 of COCO's 123,287 pictures, so that few requests are in vain.
    """
    if entry.file.part == "laion":
        return (Candidate("laion", entry.url),) if config.laion.use and entry.url else ()
    if entry.file.part != "coco" or not config.coco.download:
        return ()
    id = entry.file.id
    return tuple(
        Candidate(subset, config.coco.url.replace("{subset}", subset).replace("{id}", id)) for subset in COCO_SUBSETS
    )


def fetch_photographs(index: Index, images: Path, config: MulanConfig, store: Store) -> FetchReport:
    """Fetch what is missing into `images/<subset>/<id>.jpg`; what is there is not asked for again.

    Args:
        store: keeps the record, and gets `quarantine/mulan-photographs.jsonl`.

    Raises:
        BadSetup: as `download_all`.
    """
    return _Fetching(images, config, store).run(index)


def is_there(images: Path, id: str) -> bool:
    """True when an annotation's photograph is on disk."""
    try:
        find_photograph(images, id)
    except BadItem:
        return False
    return True


class _Fetching:
    """One run, with the record that it keeps up to date."""

    def __init__(self, images: Path, config: MulanConfig, store: Store) -> None:
        self.images = images
        self.config = config
        self.store = store
        self.report = FetchReport()
        self.budget_reached = False
        self.record: dict[str, dict[str, str]] = json.loads(store.read(RECORD)) if store.exists(RECORD) else {}

    def run(self, index: Index) -> FetchReport:
        todo = self._missing(index)
        while batch := list(islice(todo, _BATCH)):
            self._fetch_batch(batch)
        lines = b"".join(canonical_json(drop) + b"\n" for drop in self.report.drops)
        self.store.write(QUARANTINE, lines)
        return self.report

    def _missing(self, index: Index) -> Iterator[Entry]:
        for entry in index.entries():
            if entry.file.first_with_id is None and candidates(entry, self.config):
                if is_there(self.images, entry.file.id):
                    self.report.num_there += 1
                else:
                    yield entry

    def _fetch_batch(self, batch: Sequence[Entry]) -> None:
        """First candidates of all, then second ones of those that the first did not have."""
        waiting = {entry.file.key: (entry, list(candidates(entry, self.config))) for entry in batch}
        while waiting:
            downloads: dict[str, tuple[str, Candidate, Download]] = {}
            for key, (entry, places) in list(waiting.items()):
                planned = self._next(key, entry, places)
                if planned is None:
                    del waiting[key]
                else:
                    downloads[planned[1].path] = (key, *planned)
            if not downloads or not self._ask(downloads, waiting):
                return

    def _next(self, key: str, entry: Entry, places: list[Candidate]) -> tuple[Candidate, Download] | None:
        """The next address that is worth asking; None when there is none left, which is a drop."""
        known = self.record.get(key, {})
        last = "gone"
        while places:
            place = places.pop(0)
            if place.hash in known:
                last = known[place.hash]
                continue
            try:
                return place, Download(place.url, f"{place.subset}/{entry.file.id}.jpg")
            except ValueError as error:
                last = self._note(key, place, "bad_url", str(error))
        self._drop(key, last, f"none of its addresses has it (written down in {RECORD})")
        return None

    def _ask(
        self, downloads: dict[str, tuple[str, Candidate, Download]], waiting: dict[str, tuple[Entry, list[Candidate]]]
    ) -> bool:
        """Fetch; leaves in `waiting` those to be asked for elsewhere. False when the byte budget is used up."""
        report = self._download([download for _, _, download in downloads.values()])
        self.report.num_fetched += report.num_fetched
        self.report.num_bytes += report.num_bytes
        again = set()
        for drop in report.drops:
            key, place, _ = downloads[drop["id"]]
            reason = self._note(key, place, drop["reason"], drop["detail"])
            if reason in _ASK_THE_OTHER_HALF and waiting[key][1]:
                again.add(key)
            else:
                self._drop(key, reason, drop["detail"])
                self.report.num_undecided += reason in _MAY_PASS
        for key in set(waiting) - again:
            del waiting[key]
        self.store.write(RECORD, canonical_json(self.record))
        self.budget_reached = report.budget_reached
        self.report.num_left += report.num_left + (len(again) if self.budget_reached else 0)
        return not self.budget_reached

    def _download(self, downloads: Sequence[Download]) -> DownloadReport:
        fetch = self.config.fetch
        room = int(fetch.max_gb * 1e9) - self.report.num_bytes
        if room <= 0 or self.budget_reached:
            return DownloadReport(num_left=len(downloads))
        return download_all(
            downloads,
            self.images,
            workers=fetch.workers,
            max_bytes=room,
            max_file_bytes=int(fetch.max_file_mb * 1e6),
            timeout_s=fetch.timeout_s,
            max_attempts=fetch.max_attempts,
            title="mulan photographs",
        )

    def _note(self, key: str, place: Candidate, reason: str, detail: str) -> str:
        """Write down what will not change; returns the reason."""
        if reason == "gone" or (place.subset == "laion" and reason not in _MAY_PASS):
            self.record.setdefault(key, {})[place.hash] = reason
        return reason

    def _drop(self, key: str, reason: str, detail: str) -> None:
        self.report.drops.append({"id": f"mulan-{key}", "reason": reason, "detail": detail})
