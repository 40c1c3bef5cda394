"""Every reported metric: its name, what it judges, which way is better, and what a missing output gets.

Names end in their region (`_pasted`: after the composite's own pixels were put back outside the given mask); they are
the names in `report.json`.
"""

from dataclasses import dataclass
from typing import Literal

from evaluation.regions import BACKGROUND_REGIONS

Part = Literal["background", "foreground", "recomposition"]
PARTS: tuple[Part, ...] = ("background", "foreground", "recomposition")


@dataclass(frozen=True)
class Metric:
    """One figure an image.

    Attributes:
        unit: `dB`, or `` for plain numbers.
        higher_is_better: the direction.
        worst: what an image without an output counts as; None: it grows with the picture.
        digits: decimals that are worth printing.
    """

    part: Part
    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True
    worst: float | None = 0.0
    digits: int = 3


_WORDS = {"mask": "where the target shows", "ring": "around it", "outside": "away from it", "whole": "whole picture"}
_PASTED = (("", ""), ("_pasted", ", pasted back"))


def _psnr(part: Part, region: str, ending: str, words: str) -> Metric:
    return Metric(part, f"psnr_{region}{ending}", f"PSNR, {_WORDS[region]}{words}", "dB", digits=2)


METRICS: tuple[Metric, ...] = (
    *(_psnr("background", region, ending, words) for ending, words in _PASTED for region in BACKGROUND_REGIONS),
    *(Metric("background", f"ssim_whole{ending}", f"SSIM, whole picture{words}") for ending, words in _PASTED),
    Metric("foreground", "soft_iou", "alpha, soft IoU"),
    Metric("foreground", "soft_iou_hidden", "alpha, soft IoU where hidden"),
    Metric("foreground", "soft_iou_unseen", "alpha, soft IoU wherever the target does not show"),
    Metric("foreground", "alpha_mse", "alpha, mean squared error", higher_is_better=False, worst=1.0, digits=4),
    Metric("foreground", "alpha_sad", "alpha, SAD / 1000", higher_is_better=False, worst=None),
    Metric("foreground", "colour_l1", "colour, L1 weighted by alpha", higher_is_better=False, worst=1.0, digits=4),
    *(_psnr("recomposition", "whole", ending, words) for ending, words in _PASTED),
)
"""In the order of the report."""

NOT_MEASURED: dict[tuple[Part, str], str] = {
    ("background", "lpips_whole"): "LPIPS needs its network's weights, which are not part of the package",
    ("background", "fid_whole"): "FID needs the Inception network's weights, which are not part of the package",
    ("background", "kid_whole"): "KID needs the Inception network's weights, which are not part of the package",
}
"""Metrics that stand in the report as null, and why."""


def find_metric(part: Part, name: str) -> Metric:
    """A metric by part and name. Raises KeyError."""
    return {(metric.part, metric.name): metric for metric in METRICS}[part, name]
