"""The stage that turns MuLAn's instances into foregrounds of the library: which files, in which shard, for which split.

What becomes of one file is in `cutting`. Backgrounds are left where they are: MuLAn's are inpainted, and the library
wants photographs.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from pipelines.config import GateConfig
from pipelines.config.mulan import LaionConfig
from pipelines.foregrounds.mulan.cutting import CutItem, Cutting
from pipelines.foregrounds.mulan.files import AnnotationFile, check_images, find_photograph
from pipelines.foregrounds.mulan.index import Entry, Index
from pipelines.foregrounds.mulan.provenance import Provenance, provenance_of, read_provenance
from pipelines.foregrounds.mulan.source import scan_used
from pipelines.foregrounds.mulan.split import Split, hash_of
from pipelines.library.records import ForegroundRecord, schema_of
from pipelines.library.records import Split as SplitName
from pipelines.stages.manifest import Manifest

VERSION = 1
"""Raised when the code below changes what a foreground's bytes are."""


class MulanForegrounds:
    """See `pipelines.stages.run.Stage`.

    Args:
        annotations: folder with `*.p.zl`, searched recursively, and `photographs.json` when there is one.
        images: folder with train2017/ and val2017/, and laion/ where that part is used.
        gates: what a cutout must meet.
        num_shards: an image's shard is a hash of its id, so a new image changes one shard.
        max_inflated_mb: bound of one annotation after decompression.
        laion: whether that part is used, and where its addresses are listed.
        split: which pictures are for testing; by default those in val2017.
    """

    name = "foregrounds/mulan"
    schema: pa.Schema = schema_of(ForegroundRecord)

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        gates: GateConfig,
        num_shards: int,
        max_inflated_mb: int,
        laion: LaionConfig | None = None,
        split: Split | None = None,
    ) -> None:
        self.annotations = Path(annotations)
        self.images = Path(images)
        self.gates = gates
        self.num_shards = num_shards
        self.max_inflated_mb = max_inflated_mb
        self.laion = laion or LaionConfig()
        self.split = split or Split()
        self.layout: Recipe = {"num_shards": num_shards}
        self.task = Cutting(str(self.images), gates, max_inflated_mb)

    @cached_property
    def recipe(self) -> Recipe:
        """See `Stage.recipe`. Raises BadSetup when the profile's list of test ids cannot be read."""
        rules = {
            "version": VERSION,
            "gates": self.gates.model_dump(mode="json"),
            "max_inflated_mb": self.max_inflated_mb,
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

        Contents are not read: over a whole MuLAn that would take as long as the work itself.
        """
        sha = hashlib.sha256()
        known: dict[str, Any] = {}
        tested: list[str] = []
        for entry in self.entries(int(shard)):
            file = entry.file
            subset, num_bytes = self._photograph(file)
            line = (str(file.path.relative_to(self.annotations)), entry.num_bytes, subset, num_bytes)
            sha.update(canonical_json((*line, entry.url) if entry.url else line) + b"\n")
            if file.id in self._provenance:
                provenance = self._provenance[file.id]
                known[file.id] = vars(provenance) | {"categories": [*provenance.categories]}
            if self._split_of(file, subset) == "test":
                tested.append(file.key)
        return {
            "annotations": sha.hexdigest()[:32],
            "provenance": fingerprint(known),
            "test_ids": hash_of(tested)[:16],
        }

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """See `Stage.is_current`."""
        return manifest.inputs == inputs

    def entries(self, shard: int) -> Iterator[Entry]:
        """The files of a shard that are used."""
        return (entry for entry in self._index.entries(shard) if self.laion.use or entry.file.part != "laion")

    def item(self, entry: Entry) -> CutItem:
        """What the task needs of a file."""
        provenance = self._provenance.get(entry.file.id) or provenance_of(entry)
        return CutItem(entry.file, provenance, self._split_of(entry.file, self._photograph(entry.file)[0]))

    def _split_of(self, file: AnnotationFile, subset: str) -> SplitName:
        listed = subset == "val2017" if self._test_keys is None else file.key in self._test_keys
        return "test" if listed else "train"

    def _photograph(self, file: AnnotationFile) -> tuple[str, int]:
        try:
            photograph = find_photograph(self.images, file.id)
        except BadItem:  # It is reported when the item is made; a photograph that appears makes the shard stale.
            return "absent", -1
        return photograph.subset, photograph.path.stat().st_size

    @cached_property
    def _index(self) -> Index:
        check_images(self.images)
        index = scan_used(self.annotations, self.num_shards, self.laion)
        if not len(index):
            raise BadSetup(f"{self.annotations} holds no *.p.zl file, in no folder below it")
        return index

    @cached_property
    def _test_keys(self) -> frozenset[str] | None:
        return self.split.keys()

    @cached_property
    def _provenance(self) -> dict[str, Provenance]:
        return read_provenance(self.annotations)


@dataclass(frozen=True)
class CutItems:
    """The items of one shard, made one after another: of tens of thousands, few are ever there at a time."""

    stage: MulanForegrounds
    shard: int

    def __len__(self) -> int:
        return sum(1 for _ in self.stage.entries(self.shard))

    def __iter__(self) -> Iterator[tuple[str, CutItem]]:
        for entry in self.stage.entries(self.shard):
            yield f"mulan-{entry.file.key}", self.stage.item(entry)
