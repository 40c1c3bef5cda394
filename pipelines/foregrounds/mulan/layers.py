"""Rebuilds the layers of a photograph from its annotation, exactly as MuLAn's decomposition script does.

    colours = photograph * original_image_mask [* instance_mask] + inpainted_delta

The script wraps around where a sum leaves 0..255 in a narrow type; here sums are wide and clipped, which is the
same wherever the script's result is meant. Nothing is resized: an annotation of another size is another picture.
"""

from dataclasses import dataclass

import numpy as np

from decoupage.faults import BadItem
from decoupage.images.alpha import blend
from decoupage.images.types import Rgb, Rgba
from pipelines.foregrounds.mulan.annotation import Annotation, LayerArrays

_ROWS_AT_ONCE = 256
"""Sums are wide, so they are taken in bands of rows: memory stays flat on large pictures."""


@dataclass(frozen=True)
class Layers:
    """The layers of one photograph.

    Attributes:
        background: [H, W, 3].
        instances: [H, W, 4] each, bottom to top, straight alpha; colour and alpha exactly as the file says.
        consistency_error: mean absolute difference, 0..255, between the flattened layers and the photograph, over the
            pixels that some layer takes from it; -1 when there are none.
    """

    background: Rgb
    instances: tuple[Rgba, ...]
    consistency_error: float


def rebuild(annotation: Annotation, photograph: Rgb) -> Layers:
    """Rebuild all layers.

    Raises:
        BadItem: `shape_mismatch` when the photograph's size differs from the annotation's.
    """
    if photograph.shape[:2] != annotation.size:
        sizes = "the annotation is {}x{}, its picture {}x{}".format(*annotation.size, *photograph.shape[:2])
        raise BadItem("shape_mismatch", sizes)
    background = colours(annotation.background, photograph)
    instances = tuple(
        np.dstack([colours(instance.layer, photograph), instance.alpha]) for instance in annotation.instances
    )
    return Layers(background, instances, _consistency_error(annotation, photograph, background, instances))


def colours(layer: LayerArrays, photograph: Rgb) -> Rgb:
    """[H, W, 3]: one layer's colours by the formula above."""
    made = np.empty_like(photograph)
    wide = np.float64 if layer.mask.dtype.kind == "f" else np.int32
    for top in range(0, len(photograph), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        total = photograph[rows].astype(wide) * layer.mask[rows] + layer.delta[rows]
        made[rows] = np.clip(total, 0, 255)
    return made


def _consistency_error(annotation: Annotation, photograph: Rgb, background: Rgb, instances: tuple[Rgba, ...]) -> float:
    flat = background
    for rgba in instances:
        flat = blend(flat, rgba)
    used = annotation.background.mask.any(axis=-1)
    for instance in annotation.instances:
        used |= instance.layer.mask.any(axis=-1)
    if not used.any():
        return -1.0
    error = np.maximum(flat, photograph) - np.minimum(flat, photograph)
    return round(float(error[used].mean()), 3)
