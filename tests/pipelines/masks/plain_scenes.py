"""Scenes whose layers show exactly where a test wants them to."""

import numpy as np

from decoupage.images.types import Mask, Rgb
from pipelines.config import MasksConfig
from pipelines.masks.imperfect import ImperfectMask, imperfect_mask
from pipelines.scenes.parts import Layer, SceneParts, Shadow


def scene(*masks: Mask, rgb: Rgb | None = None, shadow: Shadow | None = None, support: str = "") -> SceneParts:
    """Opaque layers of these shapes in the colours of `rgb` (or grey), on grey; the target is the first and lowest.

    The shadow is the target's; the support is everybody's.
    """
    height, width = masks[0].shape
    grey = np.full((height, width, 3), 128, np.uint8)
    layers = [
        Layer(np.dstack([grey if rgb is None else rgb, mask.astype(np.uint8) * 255]), (0, 0, width, height))
        for mask in masks
    ]
    record = {"layers": [{"support": support} for _ in masks]}
    return SceneParts("plain", grey, (Layer(layers[0].rgba, layers[0].box, shadow), *layers[1:]), record)


def draw(visible: Mask, config: MasksConfig, rng: np.random.Generator) -> ImperfectMask:
    """The imperfect mask of a grey layer alone on grey."""
    return imperfect_mask(scene(visible), 0, config, rng)
