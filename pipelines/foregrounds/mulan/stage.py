"""The stage that turns MuLAn's instances into foregrounds of the library: rebuild, gate, bleed, store.

Backgrounds are left where they are: MuLAn's are inpainted, and the library wants photographs.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import GateConfig
from pipelines.faults import BadItem, BadSetup
from pipelines.fingerprint import Recipe, canonical_json, fingerprint
from pipelines.foregrounds.cutout import make_cutout
from pipelines.foregrounds.mulan.annotation import NO_CAPTION
from pipelines.foregrounds.mulan.files import AnnotationFile, check_images, find_annotations, find_photograph
from pipelines.foregrounds.mulan.reader import LICENCE, Decomposition, read_decomposition
from pipelines.library.records import ForegroundRecord, schema_of, to_row
from pipelines.manifest import Drop, Manifest
from pipelines.randomness import hash64
from pipelines.stage import Outcome

VERSION = 1
"""Raised when the code below changes what a foreground's bytes are."""
PHOTOGRAPHS = "photographs.json"
"""Beside the annotations, when they are not of COCO: what is known of each photograph, by image id."""


@dataclass(frozen=True)
class Provenance:
    """Where a photograph comes from; instances take their category from `categories`, in the file's order."""

    origin: str
    licence: str
    attribution: str
    categories: tuple[str, ...] = ()


def read_provenance(annotations: Path) -> dict[str, Provenance]:
    """`photographs.json`: image id -> `{"name", "licence", "attribution", "categories"}`; empty when not there.

    Raises:
        BadSetup: the file is damaged.
    """
    path = annotations / PHOTOGRAPHS
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_bytes())
        return {
            id: Provenance(entry["name"], entry["licence"], entry["attribution"], tuple(entry["categories"]))
            for id, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSetup(f"{path} is damaged: {error!r}") from error


def provenance_of_coco(id: str) -> Provenance:
    """The provenance of a MuLAn picture that lies in COCO 2017."""
    attribution = f"MuLAn (Tudosiu et al., CVPR 2024), on COCO 2017 picture {id}"
    return Provenance(f"mulan-{id}", LICENCE, attribution)


class MulanForegrounds:
    """See `pipelines.stage.Stage`.

    Args:
        annotations: folder with `*.p.zl`, searched recursively, and `photographs.json` when there is one.
        images: folder with train2017/ and val2017/. What lies in val2017 is for testing.
        gates: what a cutout must meet.
        num_shards: an image's shard is a hash of its id, so a new image changes one shard.
        max_inflated_mb: bound of one annotation after decompression.
    """

    name = "foregrounds/mulan"
    schema: pa.Schema = schema_of(ForegroundRecord)

    def __init__(
        self, annotations: str | Path, images: str | Path, gates: GateConfig, num_shards: int, max_inflated_mb: int
    ) -> None:
        self.annotations = Path(annotations)
        self.images = Path(images)
        self.num_shards = num_shards
        self.recipe: Recipe = {
            "version": VERSION,
            "gates": gates.model_dump(mode="json"),
            "max_inflated_mb": max_inflated_mb,
        }
        self.layout: Recipe = {"num_shards": num_shards}
        self.task = Cutting(str(self.images), gates, max_inflated_mb)

    def shards(self) -> Sequence[str]:
        """See `Stage.shards`."""
        return [f"{shard:05d}" for shard in range(self.num_shards)]

    def items(self, shard: str) -> list[tuple[str, "CutItem"]]:
        """See `Stage.items`: one item an annotation file."""
        return [
            (f"mulan-{file.id}", CutItem(file, self._provenance.get(file.id) or provenance_of_coco(file.id)))
            for file in self._files[shard]
        ]

    def inputs(self, shard: str) -> dict[str, str]:
        """See `Stage.inputs`: names and sizes of the annotations, sizes of their photographs, provenance.

        Contents are not read: over a whole MuLAn that would take as long as the work itself.
        """
        sha = hashlib.sha256()
        for file in self._files[shard]:
            entry = (str(file.path.relative_to(self.annotations)), file.path.stat().st_size, *self._photograph(file))
            sha.update(canonical_json(entry) + b"\n")
        ids = {file.id for file in self._files[shard]} & self._provenance.keys()
        known = {id: vars(self._provenance[id]) | {"categories": [*self._provenance[id].categories]} for id in ids}
        return {"annotations": sha.hexdigest()[:32], "provenance": fingerprint(known)}

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """See `Stage.is_current`."""
        return manifest.inputs == inputs

    def _photograph(self, file: AnnotationFile) -> tuple[str, int]:
        try:
            photograph = find_photograph(self.images, file.id)
        except BadItem:  # It is reported when the item is made; a photograph that appears makes the shard stale.
            return "absent", -1
        return photograph.subset, photograph.path.stat().st_size

    @cached_property
    def _files(self) -> dict[str, list[AnnotationFile]]:
        """Shard -> its annotation files."""
        check_images(self.images)
        found: dict[str, list[AnnotationFile]] = {shard: [] for shard in self.shards()}
        for file in find_annotations(self.annotations):
            found[f"{hash64('mulan', file.id) % self.num_shards:05d}"].append(file)
        if not any(found.values()):
            raise BadSetup(f"{self.annotations} holds no *.p.zl file, in no folder below it")
        return found

    @cached_property
    def _provenance(self) -> dict[str, Provenance]:
        return read_provenance(self.annotations)


@dataclass(frozen=True)
class CutItem:
    """One annotation file, and where its photograph comes from."""

    file: AnnotationFile
    provenance: Provenance


@dataclass(frozen=True)
class Cutting:
    """The task: one annotation file -> its foregrounds, with the instances that the gates refused as drops."""

    images: str
    gates: GateConfig
    max_inflated_mb: int

    def __call__(self, item: CutItem) -> Outcome:
        """Rebuild, gate and encode. Raises BadItem as `read_decomposition`."""
        found = read_decomposition(item.file, Path(self.images), self.max_inflated_mb)
        members: dict[str, bytes] = {}
        rows: list[dict[str, Any]] = []
        drops: list[Drop] = []
        for k in range(1, len(found.layers.instances) + 1):
            try:
                data, record = self._cut(item, found, k)
            except BadItem as fault:
                drops.append({"id": f"mulan-{item.file.id}-{k}", "reason": fault.reason, "detail": fault.detail})
                continue
            members[record.member] = data
            rows.append(to_row(record))
        return Outcome(members, rows, drops, {"instances": len(found.layers.instances)})

    def _cut(self, item: CutItem, found: Decomposition, k: int) -> tuple[bytes, ForegroundRecord]:
        captions = found.annotation.instances[k - 1].layer.captions
        provenance = item.provenance
        return make_cutout(
            found.layers.instances[k - 1],
            self.gates,
            kind="real",
            id=f"mulan-{item.file.id}-{k}",
            source="mulan",
            origin=provenance.origin,
            category=provenance.categories[k - 1] if k <= len(provenance.categories) else "",
            caption="" if captions.blip2 == NO_CAPTION else captions.blip2,
            licence=provenance.licence,
            attribution=provenance.attribution,
            split="test" if found.photograph.subset == "val2017" else "train",
            consistency_error=found.layers.consistency_error,
        )
