"""The simplest thing that one could do instead of a model: which methods those are, and which of them is best.

Names and figures only: every worker may import this, and what the methods do is in `evaluation.methods.classical`.
"""

from collections.abc import Mapping
from typing import Any, Literal

SimplePart = Literal["background", "foreground"]
SIMPLE: dict[SimplePart, tuple[str, ...]] = {
    "background": ("telea", "telea_grown", "navier_stokes", "smooth", "smooth_grown", "biharmonic", "grabcut"),
    "foreground": ("given_mask", "grabcut"),
}
"""Part -> methods without a model that give it. `input` is a control and no rival: it removes nothing."""
SIMPLE_NAMES = tuple(dict.fromkeys(name for names in SIMPLE.values() for name in names))
MAIN: dict[SimplePart, str] = {"background": "psnr_mask", "foreground": "soft_iou"}
"""Part -> the metric by which rivals are ranked and compared first; more is better in both."""


def best_rivals(methods: Mapping[str, Any]) -> dict[SimplePart, str]:
    """Part -> the simple method with the best mean of its main metric; without parts that none was measured on.

    Args:
        methods: those of `report.json`.
    """
    found: dict[SimplePart, str] = {}
    for part, names in SIMPLE.items():
        cells = {name: methods[name][part].get(MAIN[part]) for name in names if name in methods}
        means = {name: cell["mean"] for name, cell in cells.items() if cell is not None}
        if means:
            found[part] = max(means, key=means.__getitem__)
    return found


def rivals_first(methods: Mapping[str, Any]) -> dict[str, Any]:
    """The same methods as tables for people have them: the adapter, its best rivals, then all others as they came."""
    first = ["adapter", *best_rivals(methods).values()]
    names = [*(name for name in first if name in methods), *(name for name in methods if name not in first)]
    return {name: methods[name] for name in names}
