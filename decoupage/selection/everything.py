"""All objects of a picture by SAM 2: what it answers to a grid of clicks, without repeats, parts and surroundings.

The procedure and its thresholds are those of SAM 2's authors (`SAM2AutomaticMaskGenerator`); that of transformers needs
torchvision. Then whole objects are kept: not the parts of one, nor what reaches from border to border (sky, road).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadOutput
from decoupage.images.types import Mask, Rgb

if TYPE_CHECKING:
    from decoupage.selection.nets import Segmenter

GRID = 16
"""Clicks along each side. An object of `MIN_SHARE` of the picture, as wide as it is high, is hit at least twice."""
CLICKS_AT_ONCE = 64
MIN_SHARE, MAX_SHARE = 0.01, 0.6
"""Shares of the picture that an object covers, at least and at most."""
MIN_IOU, MIN_STABILITY, STABILITY_OFFSET, MAX_OVERLAP = 0.8, 0.95, 1.0, 0.7
"""SAM 2's: of the quality that it says itself, of the IoU of masks at two thresholds, and of masks that repeat one."""
MAX_INSIDE = 0.9
"""A mask of which more lies in a larger one is a part of that object."""


def find_everything(segmenter: "Segmenter", picture_HW3: Rgb) -> list[Mask]:
    """The objects of a picture, [H, W] each, the largest first.

    Raises:
        ValueError: there is none.
        BadOutput: the network's answers are not finite.
    """
    import torch
    from torch.nn import functional

    size = (picture_HW3.shape[0], picture_HW3.shape[1])
    with torch.inference_mode():
        answers = list(_answers(segmenter, picture_HW3))
        scores, logits = (np.concatenate(values) for values in zip(*answers, strict=True))
        kept = [logits[i] for i in _without_repeats(scores, logits > 0)]
        found = [
            (functional.interpolate(torch.from_numpy(each)[None, None], size, mode="bilinear")[0, 0] > 0).numpy()
            for each in kept
        ]
    objects = whole_objects(found)
    if not objects:
        raise ValueError(
            f"--all: {segmenter.name} finds no object of at least {MIN_SHARE:.0%} of the picture; use --box or --point"
        )
    return objects


def whole_objects(masks: list[Mask]) -> list[Mask]:
    """Those masks that are objects of their own, the largest first."""
    possible = sorted(filter(_is_object, masks), key=lambda mask: -int(mask.sum()))
    kept: list[Mask] = []
    for mask in possible:
        if not any((mask & larger).sum() > MAX_INSIDE * mask.sum() for larger in kept):
            kept.append(mask)
    return kept


def _is_object(mask: Mask) -> bool:
    crosses = (mask[0].any() and mask[-1].any()) or (mask[:, 0].any() and mask[:, -1].any())
    return bool(MIN_SHARE <= mask.mean() <= MAX_SHARE and not crosses)


def _answers(segmenter: "Segmenter", picture_HW3: Rgb) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """(quality [N], logits [N, h, w] float32) of the sound masks, some clicks at a time."""
    import torch

    model = segmenter.model
    pixels, (rows, columns) = segmenter.prepared(picture_HW3)
    embeddings = model.get_image_embeddings(pixels)
    steps = (np.arange(GRID) + 0.5) / GRID
    clicks = torch.tensor([[x * columns, y * rows] for y in steps for x in steps], dtype=torch.float32)
    for some in clicks.split(CLICKS_AT_ONCE):
        output = model(
            image_embeddings=embeddings,
            input_points=some[None, :, None].to(model.device),
            input_labels=torch.ones(1, len(some), 1, dtype=torch.long, device=model.device),
            multimask_output=True,
        )
        quality, logits = output.iou_scores[0].flatten(), output.pred_masks[0].flatten(0, 1).float()
        if not torch.isfinite(logits).all():
            raise BadOutput(f"{segmenter.name} gave masks that are not finite: get its weights again")
        inner, outer = ((logits > offset).sum((1, 2)) for offset in (STABILITY_OFFSET, -STABILITY_OFFSET))
        sound = (quality >= MIN_IOU) & (inner >= MIN_STABILITY * outer) & (inner > 0)
        yield quality[sound].float().cpu().numpy(), logits[sound].cpu().numpy()


def _without_repeats(scores: NDArray[Any], masks_Nhw: NDArray[np.bool_]) -> list[int]:
    """Numbers of the masks that are left when of those that cover nearly the same the best is taken."""
    num_masks, height, width = masks_Nhw.shape
    flat = masks_Nhw.reshape(num_masks, height * width)
    areas = flat.sum(1)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        common = (flat[kept] & flat[i]).sum(1)
        if not (common > MAX_OVERLAP * (areas[kept] + areas[i] - common)).any():
            kept.append(int(i))
    return kept
