"""How hard a case is, in numbers: the horizontal axes of curves. The same in words is in `strata`."""

from evaluation.cases import Case

DIFFICULTIES = {
    "mask_iou": "given mask's IoU with the truth",
    "occluded_fraction": "hidden share of the target",
    "visible_share": "share of the picture where the target shows",
}
"""Names in `report.json` and `scores.csv` -> their meaning."""


def difficulty(case: Case) -> dict[str, float | None]:
    """All of `DIFFICULTIES`, each 0..1; None = unknown."""
    either = (case.mask | case.visible).sum()
    return {
        "mask_iou": float((case.mask & case.visible).sum() / either) if either else None,
        "occluded_fraction": case.occluded_fraction,
        "visible_share": float(case.visible.mean()),
    }
