"""The headline of a report: its main metrics, and what they must show for an adapter to be useful.

The checks are plain functions over `report.json`'s values. Loads no metric, so that every worker can import it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evaluation.statistics import Interval, overall
from evaluation.visible import seen
from pipelines.checks import CheckResult

if TYPE_CHECKING:
    from evaluation.metrics.catalogue import Part

Values = Mapping[str, Any]
"""Content of `report.json`."""
_UNSEEN: "tuple[Part, str]" = ("foreground", "soft_iou_unseen")
_WHOLE: "tuple[Part, str]" = ("background", "psnr_whole")
HEADLINE: "tuple[tuple[Part, str], ...]" = (
    ("background", "psnr_mask"),
    ("background", "psnr_ring"),
    ("background", "ssim_mask"),
    _WHOLE,
    ("foreground", "soft_iou"),
    ("foreground", "soft_iou_hidden"),
    _UNSEEN,
    ("recomposition", "psnr_whole"),
)
"""Metrics of the report's main table, which are reported by stratum and at the model's size, too."""
MAIN_FIGURES = tuple(metric for metric in HEADLINE if metric not in (_UNSEEN, _WHOLE))
"""Metrics that fit a terminal and Dagster's tables."""


MAPS_FIGURES: "tuple[tuple[Part, str, str], ...]" = (
    ("background", "psnr_mask", "dB PSNR inside the mask"),
    ("foreground", "soft_iou", "soft IoU"),
)
"""Metrics, with their units; maps must help by at least one of them."""


def background_beats_base(values: Values) -> CheckResult:
    """Where the target shows, the adapter's background is better than the base's own, and no main figure is worse."""
    return _better(values, "adapter-base", "background", "dB PSNR inside the mask")


def alpha_beats_given_mask(values: Values) -> CheckResult:
    """The adapter's alpha is closer to the truth than the mask it was given, and no main figure is worse."""
    return _better(values, "adapter-given_mask", "foreground", "soft IoU")


def maps_help(values: Values) -> CheckResult:
    """The adapter is better with its maps than without, by an interval, in the background or in alpha."""
    controls = values.get("controls")
    if not controls:
        return CheckResult(True, "not examined: the adapter takes no maps, or evaluation.num_controls is 0")
    found = [_better(controls, "adapter-no_maps", part, unit) for part, _, unit in MAPS_FIGURES]
    said = "; ".join(result.sentence for result in found)
    if any(result.passed for result in found):
        return CheckResult(True, f"maps help: {said}", found[0].figures)
    return CheckResult(False, f"maps make no measurable difference: {said}", found[0].figures)


def every_output_there(values: Values) -> CheckResult:
    """Every method has an output for every image."""
    missing = {name: found["failures"] for name, found in values["methods"].items() if found["failures"]}
    named = ", ".join(f"{name} {number}" for name, number in missing.items()) or "none"
    return CheckResult(not missing, f"missing outputs over {values['num_images']} images: {named}", missing)


def _better(values: Values, pair: str, part: str, unit: str) -> CheckResult:
    """A part's first headline metric is better by its interval and visibly so, and none of the others is visibly worse.

    An undecided difference does not count as better, and the sentence says why.
    """
    cells = (values["differences"].get(pair) or {}).get(part, {})
    names = [name for of, name in HEADLINE if of == part and cells.get(name) is not None]
    first, second = pair.split("-", 1)
    main = next(name for of, name in HEADLINE if of == part)
    if main not in names:
        return CheckResult(False, f"{pair}: {unit} was not measured")
    verdicts = {name: seen(Interval.from_dict(cells[name]), name) for name in names}  # In all of them more is better.
    found, together = Interval.from_dict(cells[main]), overall(list(verdicts.values()))
    sentence = f"{first} minus {second}: {found.mean:+.3f} {unit}"
    if found.low is not None:
        sentence += f", 95% in [{found.low:+.3f}, {found.high:+.3f}]"
    sentence += f" ({found.counted})"
    worse = [f"{name} {cells[name]['mean']:+.3f}" for name in names[1:] if verdicts[name] == "worse"]
    words = {"undecided": f"undecided ({found.why_undecided})", "better": "better", "unseen": "too small to see"}
    said = words.get(together, "not better")
    if worse:
        sentence += f"; worse by {', '.join(worse)}"
    figures = {name: value for name, value in found.to_dict().items() if value is not None}
    return CheckResult(together == "better", f"{said}: {sentence}", figures)
