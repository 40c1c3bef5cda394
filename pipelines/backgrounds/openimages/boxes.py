"""The bounding boxes: the share of each image that they cover together, and their flags."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.backgrounds.openimages.candidates import BAD_BOX, DEPICTION, INSIDE, Candidates
from pipelines.backgrounds.openimages.table import parse_ids, places_of, stream

_EDGES = ("XMin", "XMax", "YMin", "YMax")
"""Names of the columns with a box's edges, in units of the picture's sides."""
_SCALE = 65535
_TOLERANCE = 0.01

Edges = NDArray[np.uint16]
"""[N, 4]: left, right, top, bottom in 1/65535 of the picture."""


def with_boxes(candidates: Candidates, path: Path, limit: float) -> Candidates:
    """Fill in `box_share` and `box_flags` from a list of boxes. Rotation changes neither.

    Args:
        limit: the share that a filter will compare with. Where the largest box alone reaches it, or the sum of all
            boxes stays below it, that figure stands in for the union, which then need not be measured.

    Raises:
        BadSetup: the list cannot be read.
    """
    places, edges, flags = _read(candidates, path)
    order = np.argsort(places, kind="stable")
    places, edges, flags = places[order], edges[order], flags[order]
    del order
    share, all_flags = candidates.box_share.copy(), candidates.box_flags.copy()
    if len(places):
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        images = places[starts]
        all_flags[images] = np.bitwise_or.reduceat(flags, starts)
        share[images] = _union_shares(edges, starts, limit)
    return replace(candidates, box_share=share, box_flags=all_flags)


def _read(candidates: Candidates, path: Path) -> tuple[NDArray[np.int32], Edges, NDArray[np.uint8]]:
    """Position of the image, edges and flags of each box of a candidate: 13 bytes a box, of which 15 million exist."""
    columns = {
        "ImageID": pa.string(),
        **dict.fromkeys(_EDGES, pa.float32()),
        **dict.fromkeys(("IsDepiction", "IsInside"), pa.int8()),
    }
    places, edges, flags = [], [], []
    for block in stream(path, columns):
        ids, good = parse_ids(block["ImageID"])
        found = np.where(good, places_of(ids, candidates.ids), -1)
        rows = np.flatnonzero(found >= 0)
        raw = np.stack([block[name].fill_null(np.nan).to_numpy()[rows] for name in _EDGES], axis=1)
        # Attributes may be -1 (unknown), which counts as not set.
        inside, depiction = (block[name].fill_null(-1).to_numpy()[rows] == 1 for name in ("IsInside", "IsDepiction"))
        bad = ~((raw >= -_TOLERANCE) & (raw <= 1 + _TOLERANCE)).all(axis=1)
        bad |= (raw[:, 1] < raw[:, 0]) | (raw[:, 3] < raw[:, 2])
        places.append(found[rows].astype(np.int32))
        edges.append(np.rint(np.clip(np.where(bad[:, None], 0, raw), 0, 1) * _SCALE).astype(np.uint16))
        flags.append((inside * INSIDE + depiction * DEPICTION + bad * BAD_BOX).astype(np.uint8))
    if not places:
        return np.zeros(0, np.int32), np.zeros((0, 4), np.uint16), np.zeros(0, np.uint8)
    return np.concatenate(places), np.concatenate(edges), np.concatenate(flags)


def _union_shares(edges: Edges, starts: NDArray[np.int64], limit: float) -> NDArray[np.float32]:
    width = (edges[:, 1] - edges[:, 0]).astype(np.float32) / _SCALE
    areas = width * ((edges[:, 3] - edges[:, 2]).astype(np.float32) / _SCALE)
    largest, total = np.maximum.reduceat(areas, starts), np.add.reduceat(areas, starts)
    shares = np.where(largest >= limit, largest, total)
    ends = np.append(starts[1:], len(edges))
    for i in np.flatnonzero((largest < limit) & (total >= limit)):
        shares[i] = union_share(edges[starts[i] : ends[i]])
    return shares


def union_share(edges: Edges) -> float:
    """Share of the picture that the union of boxes covers: the grid cells between their edges, each counted once."""
    xs, ys = np.unique(edges[:, :2]), np.unique(edges[:, 2:])
    columns, rows = np.searchsorted(xs, edges[:, :2]), np.searchsorted(ys, edges[:, 2:])
    covered = np.zeros((len(ys), len(xs)), np.bool_)
    for (left, right), (top, bottom) in zip(columns, rows, strict=True):
        covered[top:bottom, left:right] = True
    widths = np.diff(xs.astype(np.float64), append=xs[-1]) / _SCALE
    heights = np.diff(ys.astype(np.float64), append=ys[-1]) / _SCALE
    return float(heights @ covered @ widths)
