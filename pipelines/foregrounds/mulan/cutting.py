"""The task that turns one annotation file into foregrounds: rebuild, filter, bleed, encode. `stage` lists the files."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from decoupage.faults import BadItem
from pipelines.config import GateConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.foregrounds.mulan.annotation import NO_CAPTION
from pipelines.foregrounds.mulan.files import AnnotationFile
from pipelines.foregrounds.mulan.provenance import Provenance
from pipelines.foregrounds.mulan.reader import Decomposition, read_decomposition
from pipelines.library.records import ForegroundRecord, Split
from pipelines.stages.manifest import Drop
from pipelines.stages.run import Outcome


@dataclass(frozen=True)
class CutItem:
    """One annotation file, the provenance of its photograph, and the split of its foregrounds."""

    file: AnnotationFile
    provenance: Provenance
    split: Split


@dataclass(frozen=True)
class Cutting:
    """The task: one annotation file -> its foregrounds; instances that the filters refuse are drops."""

    images: str
    gates: GateConfig

    def __call__(self, item: CutItem) -> Outcome:
        """Rebuild, filter and encode; a file that `read_decomposition` refuses is a drop."""
        try:
            found = read_decomposition(item.file, Path(self.images))
        except BadItem as fault:
            # Returned rather than raised, so that the counts include the file.
            drop = {"id": f"mulan-{item.file.key}", "reason": fault.reason, "detail": fault.detail}
            return Outcome(drops=[drop], counts={"files": 1, "unusable_files": 1})
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
