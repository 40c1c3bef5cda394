"""One MULAN on disk, as a profile names it: looked through, its photographs fetched, its split settled.

What its files say is read by `reader`; what becomes of them is `stage`'s.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipelines.config.mulan import LaionConfig, MulanConfig
from pipelines.faults import BadItem, BadSetup
from pipelines.foregrounds.mulan.fetch import FetchReport, fetch_photographs
from pipelines.foregrounds.mulan.files import check_images, find_photograph
from pipelines.foregrounds.mulan.index import Index, scan
from pipelines.foregrounds.mulan.links import read_links
from pipelines.foregrounds.mulan.split import Split, SplitReport
from pipelines.store import Store

INDEX = "sources/mulan/index.parquet"


@dataclass(frozen=True)
class Observation:
    """What is there.

    Attributes:
        fetched: None = the profile fetches nothing.
        photographs: subset, `absent` or `not used` -> number of annotations, clashes apart.
    """

    index: Index
    fetched: FetchReport | None
    photographs: dict[str, int]
    split: SplitReport


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
        if self.config.coco.download or (self.config.laion.use and self.config.laion.links):
            fetched = fetch_photographs(index, self.images, self.config, self.store)
        check_images(self.images)
        photographs, by_rule, known = self._look(index)
        split = self.split
        if fetched is not None and not fetched.is_settled:
            # What is still to come may be of val2017: a list that is frozen now would miss it for ever.
            split = Split(None, self.config.test_ids) if split.keys() is None else split
        return Observation(index, fetched, photographs, split.settle(by_rule, known))

    def _look(self, index: Index) -> tuple[dict[str, int], frozenset[str], frozenset[str]]:
        """(photographs by subset, keys in val2017, all keys)."""
        counts: Counter[str] = Counter()
        by_rule, known = set(), set()
        for entry in index.entries():
            file = entry.file
            known.add(file.key)
            if file.first_with_id is not None:
                continue
            if file.part == "laion" and not self.config.laion.use:
                counts["not used"] += 1
                continue
            try:
                subset = find_photograph(self.images, file.id).subset
            except BadItem:
                counts["absent"] += 1
                continue
            counts[subset] += 1
            if subset == "val2017":
                by_rule.add(file.key)
        return dict(counts.most_common()), frozenset(by_rule), frozenset(known)


def scan_used(annotations: Path, num_shards: int, laion: LaionConfig) -> Index:
    """The index, with LAION's addresses where that part is used. Raises BadSetup as `scan` and `read_links`."""
    urls = read_links(Path(laion.links), laion) if laion.use and laion.links else None
    return scan(annotations, num_shards, urls)
