"""Where the border of its picture cuts a cutout: what lies on the border, and straight ends near it.

Masks often stop some pixels short of the border that cuts their object, with a ragged end. Such an end differs from
an object that is whole by its straightness. In mid-picture a straight edge says nothing: of 176
photographic cutouts of whole objects 20 % have one over a quarter of their box, of 419 rendered ones 62 % (books,
toolboxes, vehicles, bottles).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decoupage.images.alpha import alpha_box
from decoupage.images.types import Gray, Mask
from pipelines.config import GateConfig

SIDES = "ltrb"
BORDER_PX = 2
"""A pixel this near to the picture's border lies on it: matting often leaves the outermost row empty."""
CONTACT_ALPHA = 128
"""Alpha from which a pixel belongs to the outline that is looked at."""
NOTICEABLE_CUT_SHARE = 0.04
"""Contact with the border over less than this share of the box's side is a touch, not a cut."""
FLAT_PX = 3
"""A straight end varies by no more than this."""
FALL_PX = 8
"""How much deeper the outline is looked at, to see whether it falls off beside the straight end."""
MIN_FLATNESS = 0.7
"""Share of what ends up to `FALL_PX` deeper that must lie on the straight end: a cut has corners there, while of a disc
that touches a line 0.58 does."""
MIN_REACHING_SHARE = 0.9
"""Share of a straight end, between its corners, that reaches the line it is trimmed to."""


@dataclass(frozen=True)
class Cut:
    """Where a cutout is cut at one side.

    Attributes:
        share: of the alpha box's side that is cut.
        depth_px: rows or columns between the picture's border and the cut.
    """

    share: float
    depth_px: int


def find_cuts(alpha: Gray, gates: GateConfig) -> dict[str, Cut]:
    """Letter of `ltrb` -> the cut at that side of the picture; sides without one are left out.

    A side is cut where the outline lies on the border over `NOTICEABLE_CUT_SHARE` of the box's side, or ends straight
    within `gates.border_tolerance` of it over `gates.min_straight_share`. In a picture without margin, which is cropped
    to its object and no photograph, only the latter counts.
    """
    solid = alpha >= CONTACT_ALPHA
    if not solid.any():
        return {}
    left, top, right, bottom = alpha_box(alpha)
    height, width = alpha.shape
    gaps_px = {"l": left, "t": top, "r": width - right, "b": height - bottom}
    reaches_px = {
        side: max(BORDER_PX - 1, round(gates.border_tolerance * (width if side in "lr" else height))) for side in SIDES
    }
    bare = all(gaps_px[side] <= reaches_px[side] for side in SIDES)
    lengths_px = {"l": bottom - top, "t": right - left, "r": bottom - top, "b": right - left}
    cuts = {}
    for side in SIDES:
        depths = _depths(solid, side, reaches_px[side])
        ends = [Cut(length / lengths_px[side], depth) for length, depth in _straight_ends(depths, reaches_px[side])]
        found = [end for end in ends if end.share > gates.min_straight_share]
        contact = float((depths < BORDER_PX).sum()) / lengths_px[side]
        if contact > NOTICEABLE_CUT_SHARE and not bare:
            found.append(Cut(contact, int(depths.min())))
        if found:
            cuts[side] = max(found, key=lambda cut: cut.share)
    return cuts


def trim(alpha: Gray, cuts: Mapping[str, Cut]) -> Gray:
    """Set to 0 what lies beyond the cuts, so that they are the ends of the alpha box."""
    trimmed = alpha.copy()
    for side, cut in cuts.items():
        view = _downwards(trimmed, side)
        view[len(view) - cut.depth_px :] = 0
    return trimmed


def _downwards(picture: Gray | Mask, side: str) -> Gray | Mask:
    """A view whose last row is that side of the picture."""
    turned = picture.T if side in "lr" else picture
    return turned[::-1] if side in "lt" else turned


def _depths(solid: Mask, side: str, reach_px: int) -> NDArray[np.int64]:
    """For each row or column that ends at that side: pixels between the border and its end, as far as is looked at."""
    ends = _downwards(solid, side)[::-1][: reach_px + FLAT_PX + FALL_PX + 1]
    return np.where(ends.any(axis=0), np.argmax(ends, axis=0), len(ends))


def _straight_ends(depths: NDArray[np.int64], reach_px: int) -> Iterator[tuple[int, int]]:
    """(length, depth of its line) of each straight end at most `reach_px` deep."""
    for start in range(reach_px + 1):
        length = int(((depths >= start) & (depths <= start + FLAT_PX)).sum())
        around = int((depths <= start + FLAT_PX + FALL_PX).sum())
        if length and length >= MIN_FLATNESS * around and (depth := _line(depths, start, length)) <= reach_px:
            yield length, depth


def _line(depths: NDArray[np.int64], start: int, length: int) -> int:
    """The depth in a band from which at least half of it reaches the border's side and leaves hardly a notch."""
    for depth in range(start, start + FLAT_PX):
        reached = np.flatnonzero(depths <= depth)
        if 2 * len(reached) >= length:
            between = depths[reached[0] : reached[-1] + 1]
            if len(reached) >= MIN_REACHING_SHARE * (between <= start + FLAT_PX).sum():
                return depth
    return start + FLAT_PX
