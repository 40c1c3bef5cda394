"""One MULAN on disk, as a profile names it: looked through, its photographs fetched, its split settled.

What its files say is read by `reader`; what becomes of them is `stage`'s.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.randomness import digest
from pipelines.config.mulan import LaionConfig, MulanConfig
from pipelines.foregrounds.mulan.fetch import FetchReport, fetch_photographs
from pipelines.foregrounds.mulan.files import check_images, find_photograph
from pipelines.foregrounds.mulan.index import Index, scan
from pipelines.foregrounds.mulan.links import read_links
from pipelines.foregrounds.mulan.split import Split, SplitReport
from pipelines.stages.store import Store

INDEX = "sources/mulan/index.parquet"


@dataclass(frozen=True)
class Observation:
    """What is there.

    Attributes:
        fetched: None = the profile fetches nothing.
        photographs: subset, `absent` or `not used` -> number of annotations, clashes apart.
        version: hash of annotations and photographs, by name and size; no content is read.
    """

    index: Index
    fetched: FetchReport | None
    photographs: dict[str, int]
    split: SplitReport
    version: str


@dataclass(frozen=True)
class MulanSource:
    """One MULAN on disk.

    Attributes:
        store: gets `sources/mulan/index.parquet`, the frozen list of test ids and the record of fetching.
    """

    config: MulanConfig
    annotations: Path
    images: Path
    store: Store

    @property
    def split(self) -> Split:
        """Where the list of test ids is looked for."""
        return Split(self.store, self.config.test_ids)

    @property
    def fetches(self) -> bool:
        """Whether photographs that are missing are fetched."""
        return bool(self.config.coco.download or (self.config.laion.use and self.config.laion.links))

    def version(self) -> str:
        """What people changed: hash of annotations and photographs; without those where this fetches them itself.

        Raises:
            BadSetup: a folder or a list is not there or damaged.
        """
        index = scan_used(self.annotations, self.config.num_shards, self.config.laion)
        return index.sha256[:16] if self.fetches else _version(index, self._photographs(index))

    def observe(self) -> Observation:
        """Look through the annotations, fetch the photographs that are missing, settle the split.

        Raises:
            BadSetup: a folder or a list is not there or damaged, nothing is in it, or fetching cannot go on.
        """
        index = scan_used(self.annotations, self.config.num_shards, self.config.laion)
        if not len(index):
            raise BadSetup(f"{self.annotations} holds no *.p.zl file, in no folder below it")
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
            # What is still to come may be of val2017: a list that is frozen now would miss it for ever.
            split = Split(None, self.config.test_ids) if split.keys() is None else split
        settled = split.settle(by_rule, known)
        return Observation(index, fetched, dict(counts.most_common()), settled, _version(index, found))

    def _photographs(self, index: Index) -> Iterator[tuple[str, str, int]]:
        """(key, subset, bytes) of each annotation's photograph, clashes apart; `absent` and `not used` for subsets."""
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
    urls = read_links(Path(laion.links), laion) if laion.use and laion.links else None
    return scan(annotations, num_shards, urls)


def _version(index: Index, photographs: Iterable[tuple[str, str, int]]) -> str:
    return digest(index.sha256, *(f"{key} {subset} {num_bytes}" for key, subset, num_bytes in photographs)).hex()[:16]
