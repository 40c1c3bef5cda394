"""The stage that makes the layout of each photograph of the index: once, before any scene is made of it.

Labels and inverse depth come from a `LayoutSource`: the profile's networks, or anything else of that form.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe, canonical_json, fingerprint
from decoupage.images.codecs import decode_rgb
from decoupage.images.types import Gray, Mask, Rgb
from decoupage.maps.choose import make_makers
from decoupage.maps.depth import DepthMaps
from decoupage.maps.maker import shrink
from decoupage.maps.segformer import Segformer
from decoupage.randomness import digest
from pipelines.backgrounds.ground import find_ground
from pipelines.backgrounds.things import supports
from pipelines.config import MapsConfig
from pipelines.library.assets import photograph_bytes
from pipelines.library.layout import LAYOUTS, SCHEMA, Layout, read_index, support_codes
from pipelines.library.records import BackgroundRecord
from pipelines.stages.manifest import CurrentByInputs, Manifest, read_manifest
from pipelines.stages.run import Outcome, Planned
from pipelines.stages.store import Store

VERSION = 1
SEEN_PX = 1024
"""Longest side of the photograph that a source is given."""
GRID_CELLS = 128
"""Cells along the longest side of a layout."""
FLAT_SLOPE = 0.4
"""Inverse depth that a picture's height downwards must add where a surface is flat; on a wall or a table's front it
adds nothing, on ground from the horizon in mid-picture about 2. Chosen by us."""
_SETTING = 'scenes.placement.kind = "supported"'


class LayoutSource(Protocol):
    """Says what photographs show. `id2label` names the class of each label, as ADE20K does."""

    @property
    def recipe(self) -> Recipe:
        """Everything that decides its answers, besides the pictures and what `inputs` hashes."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of pictures to give at once."""
        ...

    @property
    def in_process(self) -> bool:
        """True when it keeps a network in this process."""
        ...

    @property
    def id2label(self) -> Mapping[int, str]:
        """Label -> name of its class."""
        ...

    def inputs(self) -> dict[str, str]:
        """Hashes of the files that it reads. Raises BadSetup when they are not there."""
        ...

    def see(self, pictures_HWC: Sequence[Rgb]) -> list[tuple[Gray, NDArray[np.float32] | None]]:
        """For each picture labels [h, w] and inverse depth [h, w] in 0..1 (None = not known), of any sizes."""
        ...


@dataclass(frozen=True)
class NetworkSource:
    """The `LayoutSource` of a profile: its segmentation network, and its depth."""

    segmentation: Segformer
    depth: DepthMaps
    in_process: bool = True

    @property
    def recipe(self) -> Recipe:
        """Recipes of both."""
        return {"segmentation": self.segmentation.recipe, "depth": self.depth.recipe}

    @property
    def batch_size(self) -> int:
        """The segmentation's."""
        return self.segmentation.batch_size

    @property
    def id2label(self) -> Mapping[int, str]:
        """The segmentation's."""
        return self.segmentation.id2label

    def inputs(self) -> dict[str, str]:
        """Hashes of both networks' files. Raises BadSetup when they are not there."""
        found = (("segmentation", self.segmentation.inputs()), ("depth", self.depth.inputs()))
        return {f"{name}.{key}": value for name, inputs in found for key, value in inputs.items()}

    def see(self, pictures_HWC: Sequence[Rgb]) -> list[tuple[Gray, NDArray[np.float32] | None]]:
        """See `LayoutSource`."""
        return list(zip(self.segmentation.labels(pictures_HWC), self.depth.depth(pictures_HWC), strict=True))


def network_source(config: MapsConfig) -> NetworkSource:
    """The networks of the profile's maps.

    Raises:
        BadSetup: the profile's segmentation has no classes.
    """
    _, segmentation, depth = make_makers(config)
    if not isinstance(segmentation, Segformer):
        raise BadSetup(
            f'{_SETTING} needs maps.segmentation.model = "segformer", got "{segmentation.model}", which has no '
            'classes; set one of them, or scenes.placement.kind = "free"'
        )
    assert isinstance(depth, DepthMaps)
    return NetworkSource(segmentation, depth)


@dataclass
class LayoutsStage(CurrentByInputs):
    """Layouts of the photographs of an index, in the same shards."""

    store: Store
    photographs: Store
    index: Planned
    source: LayoutSource
    name: str = LAYOUTS
    schema = SCHEMA
    task: "LayoutMaker" = field(init=False)

    def __post_init__(self) -> None:
        self.task = LayoutMaker(self.photographs, self.source)

    @property
    def recipe(self) -> Recipe:
        """Everything that decides a layout, besides the photograph."""
        return {"version": VERSION, "source": self.source.recipe, "backgrounds": fingerprint(self.index.recipe)}

    @property
    def layout(self) -> Recipe:
        """As the index divides its photographs."""
        return self.index.layout

    def shards(self) -> Sequence[str]:
        """Those of the index."""
        return self.index.shards()

    def items(self, shard: str) -> list[tuple[str, BackgroundRecord]]:
        """The photographs of the index's shard."""
        data = read_index(self.store, self._indexed(shard))
        records = [BackgroundRecord(**row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]
        return [(record.id, record) for record in records]

    def inputs(self, shard: str) -> dict[str, str]:
        """Hashes of the index's shard and of the source's files. Raises BadSetup when they are absent."""
        table = digest(canonical_json(supports()).decode()).hex()
        inputs = {"backgrounds": self._indexed(shard).parquet_sha256, "supports": table} | self.source.inputs()
        support_codes(supports(), self.source.id2label, _SETTING)  # Wrong classes are reported before work starts.
        return inputs

    def _indexed(self, shard: str) -> Manifest:
        manifest = read_manifest(self.store, self.index.name, shard)
        if manifest is None:
            raise BadSetup(
                f"{self.store.url(self.index.name)} lacks shard {shard}; make the index of backgrounds first"
            )
        return manifest


@dataclass(frozen=True)
class LayoutMaker:
    """A `BatchTask`: photographs -> layouts. The source sees them upright and reduced."""

    photographs: Store
    source: LayoutSource

    @property
    def batch_size(self) -> int:
        """The source's."""
        return self.source.batch_size

    @property
    def in_process(self) -> bool:
        """As the source."""
        return self.source.in_process

    @cached_property
    def _codes(self) -> Gray:
        return support_codes(supports(), self.source.id2label, _SETTING)

    def many(self, items: Sequence[BackgroundRecord]) -> list[Outcome | BadItem]:
        """One result for each item. Raises BadSetup for a photograph that is no longer what was indexed."""
        pictures = [self._picture(record) for record in items]
        seen = self.source.see(pictures) if pictures else []
        return [
            self._outcome(record, picture.shape[:2], *answer)
            for record, picture, answer in zip(items, pictures, seen, strict=True)
        ]

    def _picture(self, record: BackgroundRecord) -> Rgb:
        rgb = decode_rgb(photograph_bytes(self.photographs, record))
        return shrink(np.ascontiguousarray(np.rot90(rgb, record.rotation_deg_ccw // 90)), SEEN_PX)

    def _outcome(
        self, record: BackgroundRecord, size: tuple[int, int], labels: Gray, depth: NDArray[np.float32] | None
    ) -> Outcome:
        layout = make_layout(self._codes[labels], depth, size)
        member = f"{record.id}.layout.png"
        row = {"id": record.id, "member": member, **asdict(find_ground(layout))}
        row |= {f"{name}_share": share for name, share in layout.shares().items()}
        return Outcome({member: layout.encode()}, [row])


def make_layout(support_hw: Gray, inverse_depth_hw: NDArray[np.float32] | None, size: tuple[int, int]) -> Layout:
    """The layout of a photograph of a (height, width) from codes and inverse depth of any sizes."""
    scale = GRID_CELLS / max(size)
    height, width = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    # The value at the middle of a cell, because codes cannot be averaged.
    rows = ((np.arange(height) + 0.5) / height * support_hw.shape[0]).astype(int)
    columns = ((np.arange(width) + 0.5) / width * support_hw.shape[1]).astype(int)
    support = support_hw[rows[:, None], columns[None]].copy()
    if inverse_depth_hw is None:
        return Layout(support, np.zeros((height, width), np.float32))
    depth = np.asarray(cv2.resize(inverse_depth_hw, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    # Depth has 16 bits in the file, and the plane is fitted to what the file holds.
    layout = Layout.decode(Layout(support, depth.clip(0.0, 1.0)).encode())
    upright = layout.cells("surface") & ~_flat(layout.inverse_depth_HW)
    layout.support_HW[upright] = 0
    return layout


def _flat(inverse_depth_HW: NDArray[np.float32]) -> Mask:
    """Where inverse depth grows downwards, over five rows, as on a table and not as on its front."""
    height = inverse_depth_HW.shape[0]
    reach = min(2, height - 1)
    rows = np.arange(height)
    above, below = np.maximum(rows - reach, 0), np.minimum(rows + reach, height - 1)
    grown = inverse_depth_HW[below] - inverse_depth_HW[above]
    return np.asarray(grown * height >= FLAT_SLOPE * (below - above)[:, None], bool)
