"""Columns of the catalogue: one record for each foreground and background, with its provenance and licence.

Source stages write records as the parquet index beside their tars; the library adds `split` and drops duplicates.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

import pyarrow as pa

Completeness = Literal["complete", "cut", "unknown"]
Split = Literal["train", "test"]
Kind = Literal["real", "generated"]


@dataclass(frozen=True)
class ForegroundRecord:
    """One RGBA cutout, stored as lossless WebP cropped to its alpha box, colour bled.

    Attributes:
        id: unique over all sources, e.g. `mulan-000000000139-2`; letters, digits, `-` and `_`.
        source: `mulan`, `layerdiffuse`, `rendered`, `cutouts` (a user's own).
        kind: `real` (rich texture, imperfect shape) or `generated` (complete shape).
        origin: the photograph or (prompt, seed) it comes from; one origin is never in two splits.
        member: its name in the tar of its shard; tar, offset, num_bytes are filled in by the library.
        sha256: hash of the WebP bytes.
        alpha_mean: mean alpha / 255 over the box; soft_share: share of visible pixels with alpha in (0, 255).
        semi_transparent: most of its interior lets light through (glass, veils), not only its edge.
        completeness: `complete`; `cut` by the photograph's border; `unknown` (may have been hidden in part).
        cut_sides: sides that the photograph's border cuts, letters of `ltrb` (left, top, right, bottom).
        consistency_error: mean absolute error, 0..255, of the source's layers against its photograph; -1 = none.
        perceptual_hash: 16 hex digits.
        object: what it shows, a noun of `pipelines.library.objects`; filled in by the library, empty where unknown.
    """

    id: str
    source: str
    kind: Kind
    origin: str
    member: str
    sha256: str
    width_px: int
    height_px: int
    area_px: float
    alpha_mean: float
    soft_share: float
    semi_transparent: bool
    completeness: Completeness
    cut_sides: str
    category: str
    prompt: str
    caption: str
    licence: str
    attribution: str
    consistency_error: float
    perceptual_hash: str
    split: Split
    tar: str = ""
    offset: int = -1
    num_bytes: int = -1
    object: str = ""


@dataclass(frozen=True)
class BackgroundRecord:
    """One photograph, stored as the file of its source.

    Attributes:
        origin: as for foregrounds; a photograph that foregrounds were cut out of has the same origin as these.
        path: path of the file in its folder.
        width_px, height_px: size of the stored pixels, before rotation.
        rotation_deg_ccw: 0, 90, 180 or 270: the counter-clockwise rotation that makes it upright.
        offers: what its layout says it can carry (`pipelines.library.layout`), separated by spaces.
        horizon, slope, zero: of its ground (`pipelines.backgrounds.ground`); slope 0 = inverse depth has no good fit.
        layout_sha256: hash of its layout; with layout_tar, layout_offset and layout_num_bytes filled in by the
            library, as all from `offers` on; empty where layers are placed freely.
    """

    id: str
    source: str
    origin: str
    path: str
    sha256: str
    width_px: int
    height_px: int
    rotation_deg_ccw: int
    sharpness: float
    caption: str
    licence: str
    attribution: str
    perceptual_hash: str
    split: Split
    offers: str = ""
    horizon: float = 0.5
    slope: float = 0.0
    zero: float = 0.0
    layout_sha256: str = ""
    layout_tar: str = ""
    layout_offset: int = -1
    layout_num_bytes: int = -1

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in pixels after rotation."""
        size = self.width_px, self.height_px
        return size[::-1] if self.rotation_deg_ccw % 180 else size


AnyRecord = ForegroundRecord | BackgroundRecord
Record = TypeVar("Record", ForegroundRecord, BackgroundRecord)
_ARROW: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema_of(record: type[Record]) -> pa.Schema:
    """The parquet columns of a record type."""
    # Literal types hold strings.
    return pa.schema([(field.name, _ARROW.get(field.type, pa.string())) for field in fields(record)])
