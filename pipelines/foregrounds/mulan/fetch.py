"""Fetches missing photographs: COCO's by a URL template, LAION's by their list of addresses.

Which half of COCO a picture is in is not known beforehand, so one is tried and then the other; addresses that a server
does not have are recorded and not tried again. `pipelines.downloads` fetches the files.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.randomness import digest
from pipelines.config.foregrounds import MulanConfig
from pipelines.downloads.item import Download, DownloadReport
from pipelines.downloads.run import download_all
from pipelines.foregrounds.mulan.files import COCO_SUBSETS, Subset, find_photograph
from pipelines.foregrounds.mulan.index import Entry, Index
from pipelines.stages.manifest import Drop
from pipelines.stages.store import Store

RECORD = "sources/mulan/not_there.json"
"""The record of addresses without a picture: key of the picture -> hash of the address -> reason."""
QUARANTINE = "quarantine/mulan-photographs.jsonl"
MAX_FILE_BYTES = 30_000_000
"""Bound of one photograph; COCO's have 0.16 MB on average."""
_BATCH = 1000
"""Photographs between two writes of the record: after a kill at most so many are requested again."""
_TRANSIENT = ("unreachable", "refused", "not_public")
"""Reasons that are not recorded: a server that is down or answers 403 may have the picture later."""
_TRY_OTHER_HALF = ("gone", "refused")
"""Reasons after which the other half of COCO is tried: object stores answer 403 for absent objects if not listable."""


@dataclass
class FetchReport:
    """Summary of what a run fetched.

    Attributes:
        num_there: number of photographs that were already on disk.
        num_left: number of photographs that the byte budget left out.
        drops: photographs that could not be fetched, with reasons.
        num_undecided: number of drops that a later run may be able to fetch.
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
        """True when another run would fetch nothing more."""
        return not (self.num_left or self.num_undecided)


@dataclass(frozen=True)
class Candidate:
    """A possible address of a photograph, and the folder it would be saved to."""

    subset: Subset
    url: str

    @property
    def hash(self) -> str:
        """The address's name in the record: the address itself may contain secrets."""
        return digest(self.url).hex()[:16]


def candidates(entry: Entry, config: MulanConfig) -> tuple[Candidate, ...]:
    """The addresses to try for a photograph, in order; empty when the profile names none.

    train2017 comes first: it holds 118,287 of COCO's 123,287 pictures, so few requests fail.
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
    """Fetch missing photographs into `images/<subset>/<id>.jpg`; those on disk are not requested again.

    Args:
        store: holds the record and `quarantine/mulan-photographs.jsonl`.

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


def _read_record(store: Store) -> dict[str, dict[str, str]]:
    """The record of an earlier run; empty where there is none. Raises BadSetup for a damaged one."""
    if not store.exists(RECORD):
        return {}
    record = store.read_json(RECORD)
    if not isinstance(record, dict) or not all(isinstance(reasons, dict) for reasons in record.values()):
        raise BadSetup(f"{store.url(RECORD)} is damaged; remove it, and the addresses in it are requested again")
    return record


class _Fetching:
    """One run of fetching, which keeps the record up to date."""

    def __init__(self, images: Path, config: MulanConfig, store: Store) -> None:
        self.images = images
        self.config = config
        self.store = store
        self.report = FetchReport()
        self.budget_reached = False
        self.record = _read_record(store)

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
        """Try the first candidate of each photograph, then the next one of those that are still missing."""
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
        """The next address to try; None when none is left, which makes the photograph a drop."""
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
        self._drop(key, last, f"none of its addresses has it (recorded in {RECORD})")
        return None

    def _ask(
        self, downloads: dict[str, tuple[str, Candidate, Download]], waiting: dict[str, tuple[Entry, list[Candidate]]]
    ) -> bool:
        """Fetch; `waiting` keeps those to try at another address. Returns False when the byte budget is used up."""
        report = self._download([download for _, _, download in downloads.values()])
        self.report.num_fetched += report.num_fetched
        self.report.num_bytes += report.num_bytes
        again = set()
        for drop in report.drops:
            key, place, _ = downloads[drop["id"]]
            reason = self._note(key, place, drop["reason"], drop["detail"])
            if reason in _TRY_OTHER_HALF and waiting[key][1]:
                again.add(key)
            else:
                self._drop(key, reason, drop["detail"])
                self.report.num_undecided += reason in _TRANSIENT
        for key in set(waiting) - again:
            del waiting[key]
        self.store.write(RECORD, canonical_json(self.record))
        self.budget_reached = report.num_left > 0
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
            max_file_bytes=MAX_FILE_BYTES,
            timeout_s=fetch.timeout_s,
            max_attempts=fetch.max_attempts,
            trusted=(self.config.coco.url,),
            title="mulan photographs",
        )

    def _note(self, key: str, place: Candidate, reason: str, detail: str) -> str:
        """Record a reason that will not change; returns the reason."""
        if reason == "gone" or (place.subset == "laion" and reason not in _TRANSIENT):
            self.record.setdefault(key, {})[place.hash] = reason
        return reason

    def _drop(self, key: str, reason: str, detail: str) -> None:
        self.report.drops.append({"id": f"mulan-{key}", "reason": reason, "detail": detail})
