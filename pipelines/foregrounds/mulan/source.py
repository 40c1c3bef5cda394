"""The MULAN of a profile on disk: lists its annotations, fetches missing photographs, fixes the test split.

`reader` reads its files, and `stage` makes foregrounds of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.randomness import digest
from pipelines.config.foregrounds import LaionConfig, MulanConfig
from pipelines.foregrounds.mulan.coco_info import info_files, read_coco_info
from pipelines.foregrounds.mulan.fetch import FetchReport, fetch_photographs
from pipelines.foregrounds.mulan.files import check_images, find_photograph
from pipelines.foregrounds.mulan.index import Index, scan
from pipelines.foregrounds.mulan.provenance import read_links
from pipelines.foregrounds.mulan.split import Split, SplitReport, tell_unmatched
from pipelines.licences.terms import UNKNOWN
from pipelines.stages.store import Store
from pipelines.stages.working import WorkingFolder

INDEX = "sources/mulan/index.parquet"
TREE = ("annotations", "images")
"""The folders of a MULAN that lies in a store."""


@dataclass(frozen=True)
class Observation:
    """What a MULAN on disk holds.

    Attributes:
        fetched: what was fetched; None = the profile fetches nothing.
        photographs: subset, `absent` or `not used` -> number of annotations, without those that repeat an id.
        licences: licence -> number of COCO's photographs under it, annotated; empty = the profile names no `coco.info`.
        version: hash of annotations, photographs and COCO's files, by name and size; no content is hashed.
    """

    index: Index
    fetched: FetchReport | None
    photographs: dict[str, int]
    split: SplitReport
    licences: dict[str, int]
    version: str


@dataclass(frozen=True)
class MulanSource:
    """The MULAN of a profile on disk.

    Attributes:
        store: receives `sources/mulan/index.parquet`, the frozen list of test ids and the record of fetching.
        tree: what the two folders are copies of; None = they are the originals.
    """

    config: MulanConfig
    annotations: Path
    images: Path
    store: Store
    tree: WorkingFolder | None = None

    @property
    def split(self) -> Split:
        """The split into training and test pictures."""
        return Split(self.store, self.config.test_ids)

    @property
    def fetches(self) -> bool:
        """True when missing photographs are fetched."""
        return bool(self.config.coco.download or (self.config.laion.use and self.config.laion.links))

    def version(self) -> str:
        """Hash of annotations, COCO's files and photographs; without these where this fetches them itself.

        Raises:
            BadSetup: a folder or a list is missing or damaged.
        """
        index = self._scan()
        return _version(index, self._info_state(), () if self.fetches else self._photographs(index))

    def observe(self) -> Observation:
        """List the annotations, fetch missing photographs, fix the split.

        Raises:
            BadSetup: a folder or a list is missing, damaged or empty, or fetching cannot continue.
        """
        index = self._scan()
        if not len(index):
            raise BadSetup(f"{self.annotations} holds no *.p.zl file, nor does any folder below it")
        data = index.to_parquet()
        if not self.store.exists(INDEX) or self.store.read(INDEX) != data:
            self.store.write(INDEX, data)
        fetched = None
        if self.fetches:
            fetched = fetch_photographs(index, self.images, self.config, self.store)
        check_images(self.images)
        found = list(self._photographs(index))
        counts = Counter(subset for _, subset, _ in found)
        by_rule = frozenset(key for key, subset, _ in found if subset == "val2017")
        known = frozenset(entry.file.key for entry in index.entries())
        split = self.split
        if fetched is not None and not fetched.is_settled:
            # Photographs still to be fetched may be of val2017: a list frozen now would never include them.
            split = Split(None, self.config.test_ids) if split.keys() is None else split
        settled = split.settle(by_rule, known)
        version = _version(index, self._info_state(), found)
        return Observation(index, fetched, dict(counts.most_common()), settled, self._licences(index), version)

    def _scan(self) -> Index:
        if self.tree is not None:
            self.tree.fetch(*TREE)
        return scan_used(self.annotations, self.config.num_shards, self.config.laion)

    def _licences(self, index: Index) -> dict[str, int]:
        if not self.config.coco.info:
            return {}
        ids = index.ids("coco")
        known = read_coco_info(Path(self.config.coco.info), ids)
        counts = Counter(photograph.licence for photograph in known.values())
        counts[UNKNOWN] = len(ids) - len(known)
        return {licence: number for licence, number in counts.most_common() if number}

    def _info_state(self) -> list[str]:
        """Names and sizes of COCO's files."""
        info = self.config.coco.info
        return [f"{file} {file.stat().st_size}" for file in info_files(Path(info))] if info else []

    def _photographs(self, index: Index) -> Iterator[tuple[str, str, int]]:
        """(key, subset, bytes) of each annotation's photograph, without those that repeat an id.

        The subset is `absent` or `not used` where that holds.
        """
        for entry in index.entries():
            file = entry.file
            if file.first_with_id is not None:
                continue
            if file.part == "laion" and not self.config.laion.use:
                yield file.key, "not used", 0
                continue
            try:
                photograph = find_photograph(self.images, file.id)
                yield file.key, photograph.subset, photograph.path.stat().st_size
            except BadItem:
                yield file.key, "absent", 0


def scan_used(annotations: Path, num_shards: int, laion: LaionConfig) -> Index:
    """The index, with LAION's addresses where that part is used. Raises BadSetup as `scan` and `read_links`."""
    urls = read_links(Path(laion.links), laion) if laion.use and laion.links else {}
    index = scan(annotations, num_shards, urls)
    if urls:
        tell_unmatched(laion.links, urls.keys(), index.ids("laion"))
    return index


def _version(index: Index, info: Iterable[str], photographs: Iterable[tuple[str, str, int]]) -> str:
    return digest(
        index.sha256, *info, *(f"{key} {subset} {num_bytes}" for key, subset, num_bytes in photographs)
    ).hex()[:16]
