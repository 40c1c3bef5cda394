"""The filters on cutouts: clean haze and dust, measure, and refuse unusable cutouts with a reason.

They look at alpha only. The limits are in `GateConfig`; how each measure is taken is fixed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.faults import BadItem
from decoupage.fingerprint import Recipe
from decoupage.images.alpha import alpha_box
from decoupage.images.types import Gray, Mask, Rgba
from pipelines.config import GateConfig
from pipelines.foregrounds.cuts import Cut, find_cuts, trim

ALPHA_FLOOR = 8
"""Alpha at or below this is set to 0."""
ALPHA_CEILING = 247
"""Alpha at or above this is set to 255."""
HAZE_ALPHA = 64
"""Visible pixels below this alpha count as haze."""
SOLID_ALPHA = 200
"""Inner pixels below this alpha let light through."""
PAIR_SHARE = 0.5
"""Of a pair, the smaller part has at least this share of the larger one's area: one shoe may be nearer."""
DUST_SHARE = 0.02
"""Connected parts below this share of the largest one are removed."""
VERSION = 2
"""Raised when a change of the code changes which cutouts pass, their alpha or their measures."""


@dataclass(frozen=True)
class Gated:
    """A cutout that passed the filters, with its measures.

    Attributes:
        rgba: [h, w, 4], cleaned and cropped to its alpha box; colours unchanged.
        box: (left, top, right, bottom) in the source picture, right and bottom exclusive.
        area_px: summed alpha / 255.
        alpha_mean: mean alpha / 255 over the box.
        soft_share: share of visible pixels with alpha in (0, 255).
        semi_transparent: most of its inside lets light through.
        cut_sides: letters of `ltrb`: the sides that the picture's border cuts; the cutout ends straight there.
    """

    rgba: Rgba
    box: tuple[int, int, int, int]
    area_px: float
    alpha_mean: float
    soft_share: float
    semi_transparent: bool
    cut_sides: str


def gates_recipe(gates: GateConfig) -> Recipe:
    """The part of a source's recipe that decides which cutouts pass, and with which alpha."""
    fixed = {"version": VERSION, "alpha_floor": ALPHA_FLOOR, "alpha_ceiling": ALPHA_CEILING}
    return gates.model_dump(mode="json") | fixed


def apply_gates(rgba_HWC: Rgba, gates: GateConfig, pair: bool = False) -> Gated:
    """Clean a cutout that lies in its whole source picture, and crop it to its alpha box.

    Args:
        rgba_HWC: [H, W, 4] of the source picture's size: border contact is measured against H and W.
        gates: the limits that it must meet.
        pair: whether it may consist of two parts of about the same area, such as two shoes.

    Raises:
        BadItem: `empty_alpha`, `haze`, `islands`, `too_small`, `low_coverage`, `high_coverage` or `cut_off`.
    """
    if rgba_HWC.ndim != 3 or rgba_HWC.shape[2] != 4 or rgba_HWC.dtype != np.uint8:
        raise ValueError(f"a cutout must be [H, W, 4] uint8, got {rgba_HWC.shape} {rgba_HWC.dtype}")
    alpha = clamp_alpha(rgba_HWC[..., 3])
    _check_haze(alpha, gates)
    alpha = remove_islands(alpha, gates, pair)
    cuts = find_cuts(alpha, gates)
    alpha = trim(alpha, cuts)
    box = alpha_box(alpha)
    left, top, right, bottom = box
    inner = alpha[top:bottom, left:right]
    _check_size(inner, gates)
    _check_cut(cuts, inner.shape, gates)
    visible = inner > 0
    return Gated(
        rgba=np.dstack([rgba_HWC[top:bottom, left:right, :3], inner]),
        box=box,
        area_px=_area_px(inner),
        alpha_mean=round(float(inner.mean()) / 255, 4),
        soft_share=round(float((inner[visible] < 255).mean()), 4),
        semi_transparent=is_semi_transparent(inner),
        cut_sides="".join(cuts),
    )


def clamp_alpha(alpha: Gray) -> Gray:
    """Set haze to 0 and nearly solid pixels to 255. Raises BadItem `empty_alpha` when nothing is left."""
    if not alpha.any():
        raise BadItem("empty_alpha", "no pixel has alpha above 0")
    clamped = np.where(alpha <= ALPHA_FLOOR, 0, np.where(alpha >= ALPHA_CEILING, 255, alpha))
    if not clamped.any():
        raise BadItem("empty_alpha", f"no pixel has alpha above the floor of {ALPHA_FLOOR}")
    return clamped.astype(np.uint8)


def remove_islands(alpha: Gray, gates: GateConfig, pair: bool = False) -> Gray:
    """Remove dust, keep larger separate parts. Raises BadItem `islands` when too much lies apart.

    Args:
        pair: the two largest parts count as one, where the smaller has at least `PAIR_SHARE` of the larger.
    """
    num_parts, parts = cv2.connectedComponents((alpha > 0).astype(np.uint8), connectivity=8)
    areas = np.bincount(parts.ravel(), weights=alpha.ravel(), minlength=num_parts)
    largest, second = (float(area) for area in np.sort(np.append(areas[1:], 0.0))[:-3:-1])
    together = largest + second if pair and second >= PAIR_SHARE * largest else largest
    apart = 1.0 - together / float(areas[1:].sum())
    if apart > gates.max_island_share:
        largest_parts = "the two largest parts" if together > largest else "the largest part"
        detail = f"{apart:.2f} of the area lies outside {largest_parts}, limit {gates.max_island_share}"
        raise BadItem("islands", detail)
    keep = areas >= DUST_SHARE * largest
    return np.where(keep[parts], alpha, 0).astype(np.uint8)


def is_semi_transparent(alpha: Gray) -> bool:
    """True when more than half of the pixels well inside the shape have alpha below `SOLID_ALPHA`."""
    visible = np.pad(alpha > 0, 1)
    reach_px = max(2, round(0.03 * min(alpha.shape)))
    depth_px = cv2.distanceTransform(visible.astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    inside: Mask = depth_px > reach_px
    if not inside.any():
        inside = alpha > 0
    return bool((alpha[inside] < SOLID_ALPHA).mean() > 0.5)


def _area_px(alpha: Gray) -> float:
    return round(int(alpha.sum(dtype=np.int64)) / 255, 2)


def _check_haze(alpha: Gray, gates: GateConfig) -> None:
    share = float((alpha[alpha > 0] < HAZE_ALPHA).mean())
    if share > gates.max_haze_share:
        raise BadItem(
            "haze", f"{share:.2f} of the visible pixels have alpha below {HAZE_ALPHA}, limit {gates.max_haze_share}"
        )


def _check_size(alpha: Gray, gates: GateConfig) -> None:
    height_px, width_px = alpha.shape
    if min(height_px, width_px) < gates.min_side_px:
        raise BadItem("too_small", f"its box is {width_px}x{height_px} px, shorter side at least {gates.min_side_px}")
    area_px = _area_px(alpha)
    assert gates.min_area_px is not None, "DataConfig derives it where a profile leaves it out"
    if area_px < gates.min_area_px:
        raise BadItem("too_small", f"its area is {area_px:.0f} px, at least {gates.min_area_px}")
    coverage = float((alpha > 0).mean())
    low, high = gates.coverage
    if coverage < low:
        raise BadItem("low_coverage", f"it covers {coverage:.2f} of its box, at least {low}")
    if coverage > high:
        raise BadItem("high_coverage", f"it covers {coverage:.2f} of its box, at most {high}")


def _check_cut(cuts: Mapping[str, Cut], shape: tuple[int, ...], gates: GateConfig) -> None:
    """Raises BadItem `cut_off` when the picture's border leaves too little of it."""
    height_px, width_px = shape
    found = ", ".join(f"{side} {cut.share:.2f}" for side, cut in cuts.items())
    if {"l", "r"} <= cuts.keys() or {"t", "b"} <= cuts.keys():
        raise BadItem("cut_off", f"the picture's border cuts it on opposite sides ({found})")
    lengths_px = (cut.share * (height_px if side in "lr" else width_px) for side, cut in cuts.items())
    contact = sum(lengths_px) / (2 * (height_px + width_px))
    if contact > gates.max_cut_share:
        detail = f"{contact:.2f} of its box's outline lies on the picture's border ({found})"
        raise BadItem("cut_off", f"{detail}, limit {gates.max_cut_share}")
