"""`report.html`: the report as one page that opens from disk, with everything it shows inside it.

Only how things are shown; what is said comes from the report. The words are in `page.html.jinja` beside this module.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from evaluation.gallery import SHOWN, Example, pictures
from evaluation.metrics.catalogue import METRICS, NOT_MEASURED, PARTS, Metric, Part, find_metric
from evaluation.report import HEADLINE, Report
from pipelines.images.alpha import resize_rgba
from pipelines.images.contact_sheet import outlined, over_checkerboard
from pipelines.images.types import Array, Mask

PICTURE_PX = 192
"""Longer side of a picture on the page."""
GROUPS = {
    "best": "Best cases",
    "middle": "Middling cases",
    "worst": "Worst cases",
    "spread": "Scenes spread over the list",
}
PART_TITLES = {
    "background": "Background: the scene without the object",
    "foreground": "Foreground: the object, whole",
    "recomposition": "Recomposition: foreground over background against the given picture",
}
HEADLINE_DIFFERENCES: tuple[tuple[str, Part, str], ...] = (
    ("adapter-base", "background", "psnr_mask"),
    ("adapter-telea", "background", "psnr_mask"),
    ("adapter-given_mask", "foreground", "soft_iou"),
    ("adapter-given_mask", "foreground", "soft_iou_unseen"),
)
_MINUS = "\u2212"


def render_page(report: Report, examples: Sequence[Example]) -> str:
    """The whole page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation", "."),
        undefined=jinja2.StrictUndefined,  # A misspelt name is an error, not a gap in the page.
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    return environment.get_template("page.html.jinja").render(
        report=report.values,
        parts=_part_tables(report),
        headlines=_headlines(report),
        differences=[_difference_table(report, name) for name in report.values["differences"]],
        strata=[_stratum_table(report, name) for name in report.values["strata"]],
        galleries=[_gallery(group, title, examples) for group, title in GROUPS.items()],
        ranked_by=next((name for name in SHOWN if name in report.values["methods"]), ""),
        not_measured={name: reason for (_, name), reason in NOT_MEASURED.items()},
    )


def figure(value: float | None, metric: Metric, signed: bool = False) -> str:
    """A number with the decimals that the metric is worth, and a real minus sign."""
    if value is None:
        return "\u2013"
    rounded = round(value, metric.digits) + 0.0  # Turns -0.0 into 0.0.
    return f"{rounded:{'+' if signed and rounded else ''}.{metric.digits}f}".replace("-", _MINUS)


def _part_tables(report: Report) -> list[dict[str, Any]]:
    tables = []
    for part in PARTS:
        metrics = [metric for metric in METRICS if metric.part == part]
        pasted = [metric for metric in metrics if metric.name.endswith("_pasted")]
        if part != "background":  # Two columns more are no table of their own.
            tables.append(_part_table(report, part, PART_TITLES[part], metrics))
            continue
        plain = [metric for metric in metrics if metric not in pasted]
        tables.append(_part_table(report, part, PART_TITLES[part], plain))
        tables.append(_part_table(report, part, "Background, pasted back outside the given mask", pasted))
    return tables


def _part_table(report: Report, part: Part, title: str, metrics: list[Metric]) -> dict[str, Any]:
    """Methods down, metrics across; methods that do not give the part are left out."""
    methods = {name: found[part] for name, found in report.values["methods"].items()}
    methods = {name: found for name, found in methods.items() if any(found[metric.name] for metric in metrics)}
    best = {}
    for metric in metrics:
        best[metric.name] = _best(metric, {name: found[metric.name] for name, found in methods.items()})
    return {"title": title, "metrics": metrics, "methods": methods, "best": best}


def _best(metric: Metric, intervals: dict[str, dict[str, Any] | None]) -> str | None:
    means = {name: found["mean"] for name, found in intervals.items() if found}
    choose = max if metric.higher_is_better else min
    return choose(means, key=means.__getitem__) if len(means) > 1 else None


def _headlines(report: Report) -> list[dict[str, Any]]:
    """The differences that say at a glance whether the adapter is worth having."""
    tiles = []
    for name, part, metric_name in HEADLINE_DIFFERENCES:
        found = report.values["differences"].get(name, {}).get(part, {}).get(metric_name)
        if found is not None and found["low"] is not None:
            first, second = name.split("-")
            metric = find_metric(part, metric_name)
            verdict = _verdict(metric, found)
            tiles.append({"first": first, "second": second, "metric": metric, "interval": found, "verdict": verdict})
    return tiles


def _difference_table(report: Report, name: str) -> dict[str, Any]:
    """One row a metric, with the places of zero and of the interval on a bar, in percent of its width."""
    first, second = name.split("-")
    rows = []
    for metric in METRICS:
        found = report.values["differences"][name][metric.part][metric.name]
        if found is not None and found["low"] is not None:
            rows.append({"metric": metric, "interval": found, **_bar(found), "verdict": _verdict(metric, found)})
    return {"first": first, "second": second, "rows": rows}


def _bar(found: dict[str, Any]) -> dict[str, float]:
    reach = 1.1 * max(abs(found["low"]), abs(found["high"]), 1e-12)
    left, right, middle = (50 + 50 * found[end] / reach for end in ("low", "high", "mean"))
    return {"left": left, "width": max(right - left, 0.8), "middle": middle}


def _verdict(metric: Metric, found: dict[str, Any]) -> str:
    if found["low"] <= 0 <= found["high"]:
        return "even"
    return "better" if (found["low"] > 0) == metric.higher_is_better else "worse"


def _stratum_table(report: Report, name: str) -> dict[str, Any]:
    """Strata down, methods across, for each headline metric that somebody has."""
    strata = report.values["strata"][name]
    tables = []
    for part, metric_name in HEADLINE:
        metric = find_metric(part, metric_name)
        methods = [
            method
            for method in report.values["methods"]
            if any(stratum["methods"][method][part][metric_name] for stratum in strata.values())
        ]
        rows = [
            (stratum, found["num_images"], [found["methods"][method][part][metric_name] for method in methods])
            for stratum, found in strata.items()
        ]
        if methods:
            tables.append({"metric": metric, "part": part, "methods": methods, "rows": rows})
    return {"name": name.replace("_", " "), "tables": tables}


def _gallery(group: str, title: str, examples: Sequence[Example]) -> dict[str, Any]:
    shown = [example for example in examples if group in example.groups]
    if group in ("best", "middle", "worst"):
        shown.sort(key=lambda example: -(example.psnr_mask_db or 0), reverse=group == "worst")
    return {"title": title, "rows": [_row(example) for example in shown]}


def _row(example: Example) -> dict[str, Any]:
    case = example.case
    words = [f"mask error: {case.strata['mask_error']}"] if "mask_error" in case.strata else []
    if case.occluded_fraction is not None:
        words.append(f"{case.occluded_fraction:.0%} hidden")
    if example.psnr_mask_db is not None:
        words.insert(0, f"{example.psnr_mask_db:.1f} dB")
    images = [(caption, _data_uri(_shown(picture, mask))) for caption, (picture, mask) in pictures(example).items()]
    return {"name": case.name, "words": " \u00b7 ".join(words), "images": images}


def _shown(picture: Array, mask: Mask | None) -> Array:
    """A picture at the page's size: transparency over a checkerboard, the mask as an outline."""
    scale = PICTURE_PX / max(picture.shape[:2])
    width, height = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    if picture.shape[2] == 4:
        return over_checkerboard(resize_rgba(picture, width, height))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized: Array = cv2.resize(picture, (width, height), interpolation=method)
    if mask is None:
        return resized
    return outlined(resized, cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def _data_uri(rgb: Array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=90, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
