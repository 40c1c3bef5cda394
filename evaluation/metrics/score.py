"""All metrics of one image: an output against the truth, or the worst scores for a missing output.

Metrics of a whole list are in `lists.py`.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from decoupage.images.alpha import blend
from decoupage.images.types import Gray, Rgb, Rgba
from evaluation.cases import Case
from evaluation.method import Layers
from evaluation.metrics.catalogue import IMAGE_METRICS, Metric, Part
from evaluation.metrics.cutouts import (
    alpha_mse,
    alpha_sad,
    colour_l1,
    connectivity_error,
    gradient_error,
    premultiplied_l1,
    soft_iou,
)
from evaluation.metrics.pictures import l1, psnr_db, psnr_of, squared_error, ssim_map, ssim_of
from evaluation.regions import background_regions, hidden_region

if TYPE_CHECKING:
    from evaluation.metrics.perceptual import Lpips

Scores = dict[tuple[Part, str], float]
"""Values of one image by (part, metric); NaN = not measurable on it; absent = the method gives no such part."""


def score(case: Case, layers: Layers, lpips: "Lpips | None" = None) -> Scores:
    """All metrics of the parts that an output has.

    Args:
        case: the case with its truth.
        layers: the output.
        lpips: the network of LPIPS; None = it is not measured.
    """
    found: Scores = {}
    background = layers.background
    if background is not None and case.background is not None:
        found |= _background(case, background, paste_back(case, background, layers.opacity), lpips)
    if layers.foreground is not None and case.foreground is not None:
        found |= _foreground(case, layers.foreground, case.foreground)
    if background is not None and layers.foreground is not None:
        # Where something covers the target, a foreground that is completed there cannot give the composite again.
        where = None if case.covered is None else ~case.covered
        for ending, picture in (("", background), ("_pasted", paste_back(case, background, layers.opacity))):
            recomposed = blend(picture, layers.foreground)
            found["recomposition", f"psnr_whole{ending}"] = psnr_db(recomposed, case.composite, where)
            found["recomposition", f"l1_whole{ending}"] = l1(recomposed, case.composite, where)
    return found


def worst_scores(case: Case, gives: frozenset[str], lpips: "Lpips | None" = None) -> Scores:
    """Scores of an image without an output: the worst value of each metric that can be measured on it."""
    nothing = Layers(
        case.composite if "background" in gives else None,
        np.zeros((*case.size, 4), np.uint8) if "foreground" in gives else None,
    )
    measured = score(case, nothing, lpips)
    worst = {(metric.part, metric.name): _worst(metric, case, lpips) for metric in IMAGE_METRICS}
    return {name: math.nan if math.isnan(value) else worst[name] for name, value in measured.items()}


def paste_back(case: Case, background: Rgb, opacity: Gray | None) -> Rgb:
    """The picture that a user gets: the background over the composite (`Layers.opacity`)."""
    if opacity is None:
        return np.where(case.mask[..., None], background, case.composite)
    return blend(case.composite, np.dstack([background, opacity]))


def _worst(metric: Metric, case: Case, lpips: "Lpips | None") -> float:
    if metric.net == "lpips":
        return math.nan if lpips is None else lpips.worst
    return metric.worst if metric.worst_per_px is None else metric.worst_per_px * case.mask.size


def _background(case: Case, background: Rgb, pasted: Rgb, lpips: "Lpips | None") -> Scores:
    found: Scores = {}
    truth, regions = case.background, background_regions(case)
    assert truth is not None
    pictures = {"": background, "_pasted": pasted}
    for ending, picture in pictures.items():
        squared, similarity = squared_error(picture, truth), ssim_map(picture, truth)
        for region, where in regions.items():
            found["background", f"psnr_{region}{ending}"] = psnr_of(squared, where)
            found["background", f"ssim_{region}{ending}"] = ssim_of(similarity, where)
    distances = None if lpips is None else lpips.distances(list(pictures.values()), truth)
    for ending, distance in zip(pictures, distances or (), strict=distances is not None):
        for region, where in regions.items():
            found["background", f"lpips_{region}{ending}"] = (
                float(distance.map[where].mean()) if where.any() else math.nan
            )
        found["background", f"lpips_whole{ending}"] = distance.mean
    return found


def _foreground(case: Case, foreground: Rgba, truth: Rgba) -> Scores:
    alpha, true_alpha, hidden = foreground[..., 3], truth[..., 3], hidden_region(case)
    values = {
        "soft_iou": soft_iou(alpha, true_alpha),
        "soft_iou_hidden": math.nan if hidden is None else soft_iou(alpha, true_alpha, hidden),
        # The hidden part again, but here an output also loses for pixels that are not the target's.
        "soft_iou_unseen": math.nan if hidden is None else soft_iou(alpha, true_alpha, ~case.visible),
        "alpha_mse": alpha_mse(alpha, true_alpha),
        "alpha_sad": alpha_sad(alpha, true_alpha),
        "alpha_grad": gradient_error(alpha, true_alpha),
        "alpha_conn": connectivity_error(alpha, true_alpha),
        "colour_l1": colour_l1(foreground, truth),
        "premultiplied_l1": premultiplied_l1(foreground, truth),
    }
    return {("foreground", name): value for name, value in values.items()}
