"""All metrics of one image: an answer against the truth, or a missing answer at its worst."""

import math

import numpy as np

from evaluation.cases import Case
from evaluation.methods.spec import Layers
from evaluation.metrics.catalogue import METRICS, Part
from evaluation.metrics.layers import alpha_mse, alpha_sad, colour_l1, soft_iou
from evaluation.metrics.pictures import psnr_db, ssim
from evaluation.regions import background_regions, hidden_region
from pipelines.images.alpha import blend
from pipelines.images.types import Rgb, Rgba

Scores = dict[tuple[Part, str], float]
"""(part, metric) -> value of one image; NaN = not measurable on it; absent = the method gives no such part."""


def score(case: Case, layers: Layers) -> Scores:
    """Every metric of the parts that are there."""
    found: Scores = {}
    background = layers.background
    if background is not None and case.background is not None:
        found |= _background(case, background, case.background)
    if layers.foreground is not None and case.foreground is not None:
        found |= _foreground(case, layers.foreground, case.foreground)
    if background is not None and layers.foreground is not None:
        for ending, picture in (("", background), ("_pasted", paste_back(case, background))):
            recomposed = blend(picture, layers.foreground)
            found["recomposition", f"psnr_whole{ending}"] = psnr_db(recomposed, case.composite)
    return found


def worst_scores(case: Case, gives: frozenset[str]) -> Scores:
    """What an image counts as whose output is missing: the worst of every metric that it can be measured by."""
    nothing = Layers(
        case.composite if "background" in gives else None,
        np.zeros((*case.size, 4), np.uint8) if "foreground" in gives else None,
    )
    largest_sad = case.mask.size / 1000
    worst = {(metric.part, metric.name): largest_sad if metric.worst is None else metric.worst for metric in METRICS}
    return {name: math.nan if math.isnan(value) else worst[name] for name, value in score(case, nothing).items()}


def paste_back(case: Case, background: Rgb) -> Rgb:
    """The composite's own pixels outside the mask that every method was given, with a hard seam."""
    return np.where(case.mask[..., None], background, case.composite)


def _background(case: Case, background: Rgb, truth: Rgb) -> Scores:
    found: Scores = {}
    regions = background_regions(case)
    for ending, picture in (("", background), ("_pasted", paste_back(case, background))):
        for region, where in regions.items():
            found["background", f"psnr_{region}{ending}"] = psnr_db(picture, truth, where)
        found["background", f"ssim_whole{ending}"] = ssim(picture, truth)
    return found


def _foreground(case: Case, foreground: Rgba, truth: Rgba) -> Scores:
    alpha, true_alpha, hidden = foreground[..., 3], truth[..., 3], hidden_region(case)
    values = {
        "soft_iou": soft_iou(alpha, true_alpha),
        "soft_iou_hidden": math.nan if hidden is None else soft_iou(alpha, true_alpha, hidden),
        # The hidden part again, but here an answer also pays for claiming what is not the target.
        "soft_iou_unseen": math.nan if hidden is None else soft_iou(alpha, true_alpha, ~case.visible),
        "alpha_mse": alpha_mse(alpha, true_alpha),
        "alpha_sad": alpha_sad(alpha, true_alpha),
        "colour_l1": colour_l1(foreground, truth),
    }
    return {("foreground", name): value for name, value in values.items()}
