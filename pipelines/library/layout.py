"""A photograph's layout: what could stand, float, fly or hang at each place of it, and how near each place is.

The stage of backgrounds that makes layouts is `pipelines.backgrounds.layouts`; scenes place layers by them.
"""

import dataclasses
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_gray, encode_gray
from decoupage.images.types import Gray, Mask
from pipelines.library.records import BackgroundRecord
from pipelines.stages.ahead import read_ahead
from pipelines.stages.manifest import Manifest, read_manifests
from pipelines.stages.store import Store

LAYOUTS = "layouts"
"""Folder of the stage in the store."""
SUPPORTS = ("ground", "water", "sky", "surface", "hang")
"""What carries an object: `surface` is a table, bed, shelf or counter; things hang from `hang`: ceilings, trees."""
_CODES = {name: code for code, name in enumerate(SUPPORTS, 1)}
OFFERED_SHARE = {"ground": 0.08, "water": 0.08, "sky": 0.1, "surface": 0.02, "hang": 0.05}
"""Shares of the picture from which a photograph offers a support; chosen by us, so that a crop still holds some."""
NEAR_GROUND_SHARE = 0.5
"""Share of the picture from which ground without a sky is seen from near by: small things on it look as large as on a
table, which it then counts as, and tall ones have no place; chosen by us."""
SEEN_SKY = 0.02
"""Share of the picture from which its sky counts as seen."""
GOOD_FIT = 0.5
"""Coefficient of determination of the ground plane's fit from which inverse depth is used; chosen by us."""
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("member", pa.string()),
        *((f"{name}_share", pa.float64()) for name in SUPPORTS),  # of the picture's cells
        ("horizon", pa.float64()),  # rows are shares of the picture's height, from its top
        ("slope", pa.float64()),  # inverse depth a picture's height downwards, on the ground; 0 = it has no fit
        ("zero", pa.float64()),  # row at which the fit reaches inverse depth 0
        ("fit", pa.float64()),  # coefficient of determination of the fit, 0..1
    ]
)
"""One row per photograph."""


@dataclass(frozen=True)
class Layout:
    """The layout of an upright photograph on a coarse grid that covers all of it.

    Attributes:
        support_HW: 0 = carries nothing, else 1 + index in SUPPORTS.
        inverse_depth_HW: 0..1, 1 = nearest; 0 everywhere where it is not known.
    """

    support_HW: Gray
    inverse_depth_HW: NDArray[np.float32]

    def cells(self, support: str) -> Mask:
        """[H, W]: where there is this support."""
        return self.support_HW == _CODES[support]

    def shares(self) -> dict[str, float]:
        """Support -> share of the picture."""
        return {name: round(float(self.cells(name).mean()), 4) for name in SUPPORTS}

    def encode(self) -> bytes:
        """16-bit gray PNG of twice the height: above the supports, below the inverse depth, 65,535 = nearest."""
        depth = np.rint(self.inverse_depth_HW * 65535.0).astype(np.uint16)
        return encode_gray(np.concatenate([self.support_HW.astype(np.uint16), depth]))

    @classmethod
    def decode(cls, png: bytes) -> "Layout":
        """Reads what `encode` wrote. Raises BadItem: the picture is damaged."""
        support, depth = np.split(decode_gray(png), 2)
        return cls(support.astype(np.uint8), depth.astype(np.float32) / np.float32(65535))


def support_codes(support_of: Mapping[str, str], id2label: Mapping[int, str], setting: str) -> Gray:
    """[256] uint8: label of a network -> code in `Layout.support_HW`; labels without a class carry nothing.

    Args:
        support_of: name of a class -> one of SUPPORTS, or empty.
        setting: what asks for it, for the message.

    Raises:
        BadSetup: a label's class is unknown.
    """
    table = np.zeros(256, np.uint8)
    for label, name in id2label.items():
        support = support_of.get(name.strip().lower())
        if support is None:
            raise BadSetup(f"{setting} needs a network with ADE20K's classes, which do not include {name!r}")
        table[label] = _CODES[support] if support else 0
    return table


def offers(shares: Mapping[str, float], fit: float) -> str:
    """The supports of which a photograph shows enough, separated by spaces, in the order of SUPPORTS.

    Ground is offered where its distance is known, by a sky above it or by the fit of its plane: on ground from near by,
    such as a lawn that fills the picture, what is taller than a person has no place, and what is small has.
    """
    enough = {name for name in SUPPORTS if shares[name] >= OFFERED_SHARE[name]}
    sees_sky = shares["sky"] >= SEEN_SKY
    if shares["ground"] >= NEAR_GROUND_SHARE and not sees_sky:
        enough = enough - {"ground"} | {"surface"}
    elif not sees_sky and fit < GOOD_FIT:
        enough -= {"ground"}
    return " ".join(name for name in SUPPORTS if name in enough)


def with_layouts(store: Store, records: Iterable[BackgroundRecord], shards: Iterable[str]) -> list[BackgroundRecord]:
    """The records with what each photograph offers, the place of its layout's bytes, and its ground plane.

    A photograph whose layout could not be made offers nothing.

    Args:
        shards: the shards of the layouts.

    Raises:
        BadSetup: the layouts have not been made, or lack a photograph.
    """
    found: dict[str, dict[str, Any]] = {}
    dropped: set[str] = set()
    for manifest, rows in _shards(store, shards):
        dropped |= {drop["id"] for drop in manifest.drops}
        members = {member.name: member for member in manifest.members}
        for row in rows:
            member = members[row["member"]]
            found[row["id"]] = {
                "offers": _offers_of(row),
                "horizon": row["horizon"],
                "slope": row["slope"] if row["fit"] >= GOOD_FIT else 0.0,
                "zero": row["zero"],
                "layout_sha256": member.sha256,
                "layout_tar": f"{LAYOUTS}/{manifest.shard}.tar",
                "layout_offset": member.offset,
                "layout_num_bytes": member.num_bytes,
            }
    records = list(records)
    if absent := [record.id for record in records if record.id not in found | dict.fromkeys(dropped)]:
        raise BadSetup(
            f"{store.url(LAYOUTS)} lacks {len(absent)} photographs, such as {absent[0]}; make the layouts again"
        )
    return [dataclasses.replace(record, **found.get(record.id, {})) for record in records]


def offers_of(store: Store, shards: Iterable[str]) -> dict[str, int]:
    """Support -> number of photographs that offer it, in finished shards; `nothing` for those that offer none.

    Raises:
        BadSetup: as `with_layouts`.
    """
    found = [_offers_of(row).split() or ["nothing"] for _, rows in _shards(store, shards) for row in rows]
    return dict(Counter(name for names in found for name in names).most_common())


def _offers_of(row: dict[str, Any]) -> str:
    return offers({name: row[f"{name}_share"] for name in SUPPORTS}, row["fit"])


def _shards(store: Store, shards: Iterable[str]) -> Iterator[tuple[Manifest, list[dict[str, Any]]]]:
    wanted, manifests = list(shards), []
    for shard, manifest in zip(wanted, read_manifests(store, LAYOUTS, wanted), strict=True):
        if manifest is None:
            raise BadSetup(f"{store.url(LAYOUTS)} lacks shard {shard}; make the layouts of the backgrounds first")
        manifests.append(manifest)
    for manifest, data in zip(manifests, read_indexes(store, manifests), strict=True):
        yield manifest, pq.read_table(io.BytesIO(data)).to_pylist()


def read_index(store: Store, manifest: Manifest) -> bytes:
    """The parquet index of a finished shard. Raises BadSetup as `read_indexes`."""
    return next(read_indexes(store, [manifest]))


def read_indexes(store: Store, manifests: Sequence[Manifest]) -> Iterator[bytes]:
    """The parquet indexes of finished shards, in order.

    Raises:
        BadSetup: it is missing, or not the one that its manifest records.
    """
    files = read_ahead(store, (f"{manifest.stage}/{manifest.shard}.parquet" for manifest in manifests))
    for manifest, data in zip(manifests, files, strict=True):
        if data is None or hashlib.sha256(data).hexdigest() != manifest.parquet_sha256:
            shard = store.url(f"{manifest.stage}/{manifest.shard}")
            raise BadSetup(
                f"{shard}.parquet is missing or damaged; restore it, or remove {shard}.json and make the shard again"
            )
        yield data
