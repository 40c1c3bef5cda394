"""The pictures of a page: cases in groups, each with what is known of it in words."""

from collections.abc import Mapping
from typing import Any

from evaluation.gallery_file import GIVEN, TRUTH

GROUPS = {
    "best": "Best cases",
    "median": "Median cases",
    "worst": "Worst cases",
    "failed": "Cases without an output",
    "spread": "Scenes spread over the list",
}
"""In the order of the page."""
_FIRST = ("failed", *GROUPS)
"""A case is shown once, in the first of these that it is in."""


def galleries(gallery: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Title and cases of each group that has some."""
    found: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for example in gallery["examples"]:
        found[next(group for group in _FIRST if group in example["groups"])].append(example)
    for group, best_first in (("best", -1), ("median", -1), ("worst", 1)):
        found[group].sort(key=lambda example, sign=best_first: sign * (example["psnr_mask_db"] or 0))  # type: ignore[misc]
    return [
        {"title": GROUPS[group], "cases": [_shown(case) for case in cases]} for group, cases in found.items() if cases
    ]


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    pictures = [
        {**picture, "caption": _caption(picture["by"], picture["what"]), "given": picture["by"] == GIVEN}
        for picture in example["pictures"]
    ]
    return {**example, "pictures": pictures, "words": " \u00b7 ".join(_words(example))}


def _caption(by: str, what: str) -> str:
    if by == GIVEN:
        return "given picture"
    return f"true {what}" if by == TRUTH else f"{by}: {what}"


def _words(example: Mapping[str, Any]) -> list[str]:
    words = []
    if example["psnr_mask_db"] is not None:
        words.append(f"{example['psnr_mask_db']:.1f} dB")
    mask_iou, hidden = (example["difficulty"][name] for name in ("mask_iou", "occluded_fraction"))
    error = example["strata"].get("mask_error")
    if error or mask_iou is not None:
        overlap = f"IoU {mask_iou:.2f}" if mask_iou is not None else ""
        words.append("mask: " + ", ".join(part for part in (error, overlap) if part))
    if hidden is not None:
        words.append(f"{hidden:.0%} hidden")
    return [*words, *(example["strata"][name] for name in ("clutter", "source") if name in example["strata"])]
