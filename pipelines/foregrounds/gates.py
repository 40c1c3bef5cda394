"""The filters on cutouts: clean haze and dust, measure, and refuse unusable cutouts with a reason.

They look at alpha only. The limits are in `GateConfig`; how each measure is taken is fixed here.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from decoupage.faults import BadItem
from decoupage.fingerprint import Recipe
from decoupage.images.alpha import alpha_box
from decoupage.images.types import Gray, Mask, Rgba
from pipelines.config import GateConfig

ALPHA_FLOOR = 8
"""Alpha at or below this is set to 0."""
ALPHA_CEILING = 247
"""Alpha at or above this is set to 255."""
HAZE_ALPHA = 64
"""Visible pixels below this alpha count as haze."""
SOLID_ALPHA = 200
"""Inner pixels below this alpha let light through."""
BORDER_PX = 2
"""A pixel this near to the picture's border lies on it: matting often leaves the outermost row empty."""
CONTACT_ALPHA = 128
"""Alpha from which a pixel on the border counts as contact."""
NOTICEABLE_CUT_SHARE = 0.04
"""Contact along less than this share of the box's side is a touch, not a cut."""
DUST_SHARE = 0.02
"""Connected parts below this share of the largest one are removed."""
SIDES = "ltrb"


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
        cut_sides: letters of `ltrb`: the sides that the picture's border cuts.
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
    return gates.model_dump(mode="json") | {"alpha_floor": ALPHA_FLOOR, "alpha_ceiling": ALPHA_CEILING}


def apply_gates(rgba_HWC: Rgba, gates: GateConfig) -> Gated:
    """Clean a cutout that lies in its whole source picture, and crop it to its alpha box.

    Args:
        rgba_HWC: [H, W, 4] of the source picture's size: border contact is measured against H and W.
        gates: the limits that it must meet.

    Raises:
        BadItem: `empty_alpha`, `haze`, `islands`, `too_small`, `low_coverage`, `high_coverage` or `cut_off`.
    """
    if rgba_HWC.ndim != 3 or rgba_HWC.shape[2] != 4 or rgba_HWC.dtype != np.uint8:
        raise ValueError(f"a cutout must be [H, W, 4] uint8, got {rgba_HWC.shape} {rgba_HWC.dtype}")
    alpha = clamp_alpha(rgba_HWC[..., 3])
    _check_haze(alpha, gates)
    alpha = remove_islands(alpha, gates)
    box = alpha_box(alpha)
    left, top, right, bottom = box
    inner = alpha[top:bottom, left:right]
    _check_size(inner, gates)
    cut_sides = _check_cut(cut_shares(alpha), inner.shape, gates)
    visible = inner > 0
    return Gated(
        rgba=np.dstack([rgba_HWC[top:bottom, left:right, :3], inner]),
        box=box,
        area_px=_area_px(inner),
        alpha_mean=round(float(inner.mean()) / 255, 4),
        soft_share=round(float((inner[visible] < 255).mean()), 4),
        semi_transparent=is_semi_transparent(inner),
        cut_sides=cut_sides,
    )


def clamp_alpha(alpha: Gray) -> Gray:
    """Set haze to 0 and nearly solid pixels to 255. Raises BadItem `empty_alpha` when nothing is left."""
    if not alpha.any():
        raise BadItem("empty_alpha", "no pixel has alpha above 0")
    clamped = np.where(alpha <= ALPHA_FLOOR, 0, np.where(alpha >= ALPHA_CEILING, 255, alpha))
    if not clamped.any():
        raise BadItem("empty_alpha", f"no pixel has alpha above the floor of {ALPHA_FLOOR}")
    return clamped.astype(np.uint8)


def remove_islands(alpha: Gray, gates: GateConfig) -> Gray:
    """Remove dust, keep larger separate parts. Raises BadItem `islands` when too much lies apart."""
    num_parts, parts = cv2.connectedComponents((alpha > 0).astype(np.uint8), connectivity=8)
    areas = np.bincount(parts.ravel(), weights=alpha.ravel(), minlength=num_parts)
    largest = float(areas[1:].max())
    apart = 1.0 - largest / float(areas[1:].sum())
    if apart > gates.max_island_share:
        detail = f"{apart:.2f} of the area lies outside the largest part, limit {gates.max_island_share}"
        raise BadItem("islands", detail)
    keep = areas >= DUST_SHARE * largest
    return np.where(keep[parts], alpha, 0).astype(np.uint8)


def cut_shares(alpha: Gray) -> tuple[float, float, float, float]:
    """For left, top, right, bottom: the share of the alpha box's side that lies on the picture's border."""
    left, top, right, bottom = alpha_box(alpha)
    solid = alpha >= CONTACT_ALPHA
    lines = (solid[:, :BORDER_PX].T, solid[:BORDER_PX], solid[:, -BORDER_PX:].T, solid[-BORDER_PX:])
    lengths = (bottom - top, right - left, bottom - top, right - left)
    shares = [float(line.any(axis=0).sum()) / length for line, length in zip(lines, lengths, strict=True)]
    return shares[0], shares[1], shares[2], shares[3]


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


def _check_cut(shares: tuple[float, float, float, float], shape: tuple[int, ...], gates: GateConfig) -> str:
    """The sides that are cut, or BadItem `cut_off`."""
    height_px, width_px = shape
    lengths = (height_px, width_px, height_px, width_px)
    contact = sum(share * length for share, length in zip(shares, lengths, strict=True)) / sum(lengths)
    cut_sides = "".join(side for side, share in zip(SIDES, shares, strict=True) if share > NOTICEABLE_CUT_SHARE)
    found = ", ".join(f"{side} {share:.2f}" for side, share in zip(SIDES, shares, strict=True))
    if {"l", "r"} <= set(cut_sides) or {"t", "b"} <= set(cut_sides):
        raise BadItem("cut_off", f"the picture's border cuts it on opposite sides ({found})")
    if contact > gates.max_cut_share:
        detail = f"{contact:.2f} of its box's outline lies on the picture's border ({found})"
        raise BadItem("cut_off", f"{detail}, limit {gates.max_cut_share}")
    return cut_sides
