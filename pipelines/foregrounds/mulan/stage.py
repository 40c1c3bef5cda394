"""The stage that turns MuLAn's instances into foregrounds of the library: which files, in which shard, for which split.

MuLAn's backgrounds are not used: they are inpainted, and the library takes photographs.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from pipelines.config import GateConfig
from pipelines.config.foregrounds import LaionConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.foregrounds.gates import gates_recipe
from pipelines.foregrounds.mulan.annotation import NO_CAPTION
from pipelines.foregrounds.mulan.coco_info import CocoPhotograph, read_coco_info
from pipelines.foregrounds.mulan.files import AnnotationFile, check_images, find_photograph
from pipelines.foregrounds.mulan.index import Entry, Index
from pipelines.foregrounds.mulan.limited import call_limited
from pipelines.foregrounds.mulan.provenance import PHOTOGRAPHS, Provenance, provenance_of, read_provenance
from pipelines.foregrounds.mulan.reader import MAX_FILE_S, MAX_INFLATED_BYTES, Decomposition, read_decomposition
from pipelines.foregrounds.mulan.source import TREE, scan_used
from pipelines.foregrounds.mulan.split import Split, hash_of, tell_unmatched
from pipelines.library.records import ForegroundRecord, schema_of
from pipelines.library.records import Split as SplitName
from pipelines.licences.terms import canonical
from pipelines.stages.manifest import CurrentByInputs, Drop
from pipelines.stages.run import Outcome
from pipelines.stages.working import WorkingFolder

VERSION = 2
"""Raised when a change of the code changes the bytes of foregrounds."""


@dataclass(frozen=True)
class CutItem:
    """One annotation file, the provenance of its photograph, and the split of its foregrounds."""

    file: AnnotationFile
    provenance: Provenance
    split: SplitName


@dataclass(frozen=True)
class Cutting:
    """The task: one annotation file -> its foregrounds; instances that the filters refuse are drops.

    Attributes:
        licences: the photographs' licences that are used; empty = all.
    """

    images: str
    gates: GateConfig
    licences: tuple[str, ...] = ()

    def __call__(self, item: CutItem) -> Outcome:
        """Rebuild, filter and encode; a file that is unlicensed or that `read_decomposition` refuses is a drop."""
        try:
            self._check_licence(item.provenance)
            item.file.check()
            return call_limited(self.cut, item, MAX_FILE_S)
        except BadItem as fault:
            # Returned rather than raised, so that the counts include the file.
            drop = {"id": f"mulan-{item.file.key}", "reason": fault.reason, "detail": fault.detail}
            return Outcome(drops=[drop], counts={"files": 1, "unusable_files": 1})

    def cut(self, item: CutItem) -> Outcome:
        """The foregrounds of one file; a process of its own does this. Raises BadItem as `read_decomposition`."""
        found = read_decomposition(item.file, Path(self.images))
        members: dict[str, bytes] = {}
        rows: list[dict[str, Any]] = []
        drops: list[Drop] = []
        for k in range(1, len(found.layers.instances) + 1):
            try:
                data, record = self._cut(item, found, k)
            except BadItem as fault:
                drops.append({"id": f"mulan-{item.file.key}-{k}", "reason": fault.reason, "detail": fault.detail})
                continue
            members[record.member] = data
            rows.append(asdict(record))
        return Outcome(members, rows, drops, {"files": 1, "instances": len(found.layers.instances)})

    def _check_licence(self, provenance: Provenance) -> None:
        licence = canonical(provenance.photograph_licence)
        if self.licences and licence not in self.licences:
            raise BadItem("unlicensed", f"its photograph is under {licence}, which mulan.licences does not name")

    def _cut(self, item: CutItem, found: Decomposition, k: int) -> tuple[bytes, ForegroundRecord]:
        captions = found.annotation.instances[k - 1].layer.captions
        provenance = item.provenance
        return make_cutout(
            found.layers.instances[k - 1],
            self.gates,
            kind="real",
            id=f"mulan-{item.file.key}-{k}",
            source="mulan",
            origin=provenance.origin,
            category=provenance.categories[k - 1] if k <= len(provenance.categories) else "",
            caption="" if captions.blip2 == NO_CAPTION else captions.blip2,
            licence=provenance.licence,
            attribution=provenance.attribution,
            split=item.split,
            consistency_error=found.layers.consistency_error,
        )


@dataclass
class MulanForegrounds(CurrentByInputs):
    """MuLAn's instances as foregrounds; a `pipelines.stages.run.Stage`.

    Attributes:
        annotations: folder with `*.p.zl`, searched recursively, and `photographs.json` when there is one.
        images: folder with train2017/ and val2017/, and laion/ where that part is used.
        gates: the limits that a cutout must meet.
        num_shards: an image's shard is a hash of its id, so a new image changes one shard.
        laion: whether that part is used, and where its addresses are listed.
        split: which pictures are for testing; by default those in val2017.
        coco_info: COCO's files that say each photograph's licence (`coco_info`); empty = licences are unknown.
        licences: the photographs' licences that are used; empty = all.
        tree: what the two folders are copies of, on each machine of a cluster its own; None = they are the originals.
    """

    annotations: Path
    images: Path
    gates: GateConfig
    num_shards: int
    laion: LaionConfig = field(default_factory=LaionConfig)
    split: Split = field(default_factory=Split)
    coco_info: str = ""
    licences: tuple[str, ...] = ()
    tree: WorkingFolder | None = None
    name = "foregrounds/mulan"
    schema: ClassVar[pa.Schema] = schema_of(ForegroundRecord)

    def __getstate__(self) -> dict[str, Any]:
        # Each worker looks through the folder itself: where it is absent, that is seen before its files are dropped.
        return {key: value for key, value in self.__dict__.items() if key != "_index"}

    def __post_init__(self) -> None:
        self.layout: Recipe = {"num_shards": self.num_shards}
        self.task = Cutting(str(self.images), self.gates, self.licences)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Another process, perhaps on another machine, has its own copy of the tree."""
        self.__dict__.update(state)
        if self.tree is not None:
            self.annotations, self.images = (self.tree.path / name for name in TREE)
            self.__dict__.pop("_index", None)
            self.__post_init__()

    @cached_property
    def recipe(self) -> Recipe:
        """See `Stage.recipe`. Raises BadSetup when the profile's list of test ids cannot be read."""
        rules = {
            "version": VERSION,
            "gates": gates_recipe(self.gates),
            "max_inflated_mb": MAX_INFLATED_BYTES // 1_000_000,
            "licences": sorted(self.licences),
        }
        return rules | self.split.recipe()

    def shards(self) -> Sequence[str]:
        """See `Stage.shards`."""
        return [f"{shard:05d}" for shard in range(self.num_shards)]

    def items(self, shard: str) -> "CutItems":
        """See `Stage.items`: one item an annotation file."""
        return CutItems(self, int(shard))

    def inputs(self, shard: str) -> dict[str, str]:
        """See `Stage.inputs`: names and sizes of the annotations, sizes of their photographs, provenance, split.

        Contents are not read: for all of MuLAn that would take as long as making the foregrounds.
        """
        sha = hashlib.sha256()
        known: dict[str, Any] = {}
        tested: list[str] = []
        for entry in self.entries(int(shard)):
            file = entry.file
            subset, num_bytes = self._photograph(file)
            line = (str(file.path.relative_to(self.annotations)), entry.num_bytes, subset, num_bytes)
            sha.update(canonical_json((*line, entry.url) if entry.url else line) + b"\n")
            if provenance := self._stated(entry):
                known[file.id] = vars(provenance) | {"categories": [*provenance.categories]}
            if self._split_of(file, subset) == "test":
                tested.append(file.key)
        return {
            "annotations": sha.hexdigest()[:32],
            "provenance": fingerprint(known),
            "test_ids": hash_of(tested)[:16],
        }

    def entries(self, shard: int) -> Iterator[Entry]:
        """The entries of a shard whose part of MuLAn is used."""
        return (entry for entry in self._index.entries(shard) if self.laion.use or entry.file.part != "laion")

    def item(self, entry: Entry) -> CutItem:
        """The task's item for a file."""
        provenance = self._stated(entry) or provenance_of(entry)
        return CutItem(entry.file, provenance, self._split_of(entry.file, self._photograph(entry.file)[0]))

    def _stated(self, entry: Entry) -> Provenance | None:
        """The provenance that `photographs.json` or COCO states."""
        photograph = self._coco.get(entry.file.id)
        return self._provenance.get(entry.file.id) or (provenance_of(entry, photograph) if photograph else None)

    def _split_of(self, file: AnnotationFile, subset: str) -> SplitName:
        listed = subset == "val2017" if self._test_keys is None else file.key in self._test_keys
        return "test" if listed else "train"

    def _photograph(self, file: AnnotationFile) -> tuple[str, int]:
        try:
            photograph = find_photograph(self.images, file.id)
        except BadItem:  # Reported when the item is made; a photograph that appears later makes the shard stale.
            return "absent", -1
        return photograph.subset, photograph.path.stat().st_size

    @cached_property
    def _index(self) -> Index:
        if self.tree is not None:
            self.tree.fetch(*TREE)
        check_images(self.images)
        index = scan_used(self.annotations, self.num_shards, self.laion)
        if not len(index):
            raise BadSetup(f"{self.annotations} holds no *.p.zl file, nor does any folder below it")
        return index

    @cached_property
    def _test_keys(self) -> frozenset[str] | None:
        keys = self.split.keys()
        if keys and self.split.given:
            tell_unmatched(self.split.given, keys, {entry.file.key for entry in self._index.entries()})
        return keys

    @cached_property
    def _coco(self) -> dict[str, CocoPhotograph]:
        if not self.coco_info:
            return {}
        return read_coco_info(Path(self.coco_info), self._index.ids("coco"))

    @cached_property
    def _provenance(self) -> dict[str, Provenance]:
        index = self._index  # Fetches the tree.
        found = read_provenance(self.annotations)
        if found:
            tell_unmatched(PHOTOGRAPHS, found.keys(), {entry.file.id for entry in index.entries()})
        return found


@dataclass(frozen=True)
class CutItems:
    """The items of one shard, created one after another: of tens of thousands, few are in memory at a time."""

    stage: MulanForegrounds
    shard: int

    def __len__(self) -> int:
        return sum(1 for _ in self.stage.entries(self.shard))

    def __iter__(self) -> Iterator[tuple[str, CutItem]]:
        for entry in self.stage.entries(self.shard):
            yield f"mulan-{entry.file.key}", self.stage.item(entry)
