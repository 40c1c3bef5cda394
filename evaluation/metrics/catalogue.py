"""All reported metrics: their names, what they measure, which direction is better, and what a missing output gets.

Names end in their region (`_pasted`: of the picture that a user gets, `Layers.opacity`); they are the names in
`report.json`.
"""

from dataclasses import dataclass
from typing import Literal

from evaluation.metrics.cutouts import max_gradient_error_per_px
from evaluation.regions import BACKGROUND_REGIONS

Part = Literal["background", "foreground", "recomposition"]
PARTS: tuple[Part, ...] = ("background", "foreground", "recomposition")
Net = Literal["lpips", "inception"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        part: the part of a method's output that it measures.
        name: its name in `report.json`; title: its name for people.
        unit: `dB`, or `` for plain numbers.
        higher_is_better: the direction.
        worst: value of an image without an output.
        worst_per_px: for sums over a picture, that value for each of its pixels; it replaces `worst`.
        digits: number of decimals to print.
        net: the network that it needs; None = none.
        of_list: one value for a whole list, not one for each of its images. An image without an output enters as a
            gray picture.
        note: what a reader must know to compare its figures.
    """

    part: Part
    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True
    worst: float = 0.0
    worst_per_px: float | None = None
    digits: int = 3
    net: Net | None = None
    of_list: bool = False
    note: str = ""


_WORDS = {"mask": "where the target shows", "ring": "around it", "outside": "away from it", "whole": "whole picture"}
_PASTED = (("", ""), ("_pasted", ", pasted back"))
_PLACES = tuple((f"{region}{end}", f"{_WORDS[region]}{said}") for end, said in _PASTED for region in BACKGROUND_REGIONS)
_WHOLE = tuple((f"whole{end}", f"{_WORDS['whole']}{said}") for end, said in _PASTED)
_BARE = tuple((f"whole{end}", f"{_WORDS['whole']} except what covers the target{said}") for end, said in _PASTED)
FID_NOTE = (
    "FID grows as the number of pictures N falls, at equal quality: in a simulation, two samples of one distribution "
    "are about 83 apart at N = 200 and 10 at N = 4000. Only figures of one list are comparable; it has no interval, "
    "because resampling repeats pictures, which shifts it in the same way. KID has no such bias."
)
COVERED_NOTE = (
    "Recomposition: for {} of {} images the list does not say what covers the target. They are judged everywhere, so "
    "a foreground that is completed behind something else counts as an error there."
)
KID_NOTE = "KID is the mean over subsets of at most 1000 pictures, or over all of them if the list has fewer."


def _up(part: Part, name: str, title: str, unit: str = "", digits: int = 3, worst: float = 0.0) -> Metric:
    return Metric(part, name, title, unit, worst=worst, digits=digits)


def _down(part: Part, name: str, title: str, worst_per_px: float | None = None, digits: int = 4) -> Metric:
    return Metric(part, name, title, "", False, 1.0, worst_per_px, digits)


METRICS: tuple[Metric, ...] = (
    *(_up("background", f"psnr_{place}", f"PSNR, {words}", "dB", 2) for place, words in _PLACES),
    *(_up("background", f"ssim_{place}", f"SSIM, {words}", worst=-1.0) for place, words in _PLACES),
    # The worst LPIPS depends on the weights (`perceptual.py`).
    *(
        Metric("background", f"lpips_{place}", f"LPIPS, {words}", "", False, digits=4, net="lpips")
        for place, words in _PLACES
    ),
    *(
        Metric(
            "background", f"{name}_{place}", f"{title}, {words}", "", False, 0.0, None, digits, "inception", True, note
        )
        for name, title, digits, note in (("fid", "FID", 2, FID_NOTE), ("kid", "KID", 5, KID_NOTE))
        for place, words in _WHOLE
    ),
    _up("foreground", "soft_iou", "alpha, soft IoU"),
    _up("foreground", "soft_iou_hidden", "alpha, soft IoU where hidden"),
    _up("foreground", "soft_iou_unseen", "alpha, soft IoU wherever the target does not show"),
    _down("foreground", "alpha_mse", "alpha, mean squared error"),
    _down("foreground", "alpha_sad", "alpha, SAD / 1000", 1 / 1000, 3),
    _down("foreground", "alpha_grad", "alpha, gradient error / 1000", max_gradient_error_per_px(), 3),
    _down("foreground", "alpha_conn", "alpha, connectivity error / 1000", 1 / 1000, 3),
    _down("foreground", "colour_l1", "colour, L1 weighted by alpha"),
    _down("foreground", "premultiplied_l1", "colour times alpha, L1"),
    *(_up("recomposition", f"psnr_{place}", f"PSNR, {words}", "dB", 2) for place, words in _BARE),
    *(_down("recomposition", f"l1_{place}", f"L1, {words}") for place, words in _BARE),
)
"""All metrics, in the order of the report."""

IMAGE_METRICS = tuple(metric for metric in METRICS if not metric.of_list)
LIST_METRICS = tuple(metric for metric in METRICS if metric.of_list)


def find_metric(part: str, name: str) -> Metric:
    """The metric with a part and a name. Raises KeyError where there is none."""
    return {f"{metric.part}.{metric.name}": metric for metric in METRICS}[f"{part}.{name}"]
