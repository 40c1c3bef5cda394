"""Calibration of a trained adapter's alpha on validation samples: the two levels between which it is stretched.

A network that is unsure of an outline answers with the mean of the likely ones, a soft edge; for an object's shape that
is the worst answer. The same holds for the softness of an alpha that was decoded at a model's size and enlarged to a
picture's. How much softness is only uncertainty depends on the network, so it is measured, at the pictures' own size.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decoupage.bases.spec import Text
from decoupage.pipeline import LayerDecompositionPipeline
from training import noise
from training.data import TripletBatch, TripletLoader
from training.sharding import of_all_ranks

MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
"""Margins that are tried: the levels are (margin, 1 - margin), so the middle stays where it is."""


@dataclass(frozen=True)
class AlphaLevels:
    """Levels (low, high) between which alpha is stretched, and the mean soft IoU that samples reach by them."""

    levels: tuple[float, float]
    soft_iou: float


def choose_alpha_levels(alpha_BHW: NDArray[np.floating], true_alpha_BHW: NDArray[np.floating]) -> AlphaLevels:
    """The levels with the best mean soft IoU; among equal ones, those that change least.

    Args:
        alpha_BHW: alpha as decoded, in [0, 1]; true_alpha_BHW: the true alpha, of the same shape.

    Raises:
        ValueError: shapes differ, or there are no samples.
    """
    if alpha_BHW.shape != true_alpha_BHW.shape or not len(alpha_BHW):
        shapes = f"{list(alpha_BHW.shape)} and {list(true_alpha_BHW.shape)}"
        raise ValueError(f"alpha and its truth must be of one shape [B, H, W], B at least 1, got {shapes}")
    scores = []
    for margin in MARGINS:
        stretched = np.clip((alpha_BHW - margin) / (1 - 2 * margin), 0.0, 1.0)
        scores.append(_soft_iou(stretched, true_alpha_BHW))
    best = int(np.argmax(scores))
    return AlphaLevels((MARGINS[best], 1.0 - MARGINS[best]), scores[best])


def _soft_iou(alpha_BHW: NDArray[np.floating], true_alpha_BHW: NDArray[np.floating]) -> float:
    """Mean over samples of sum min / sum max; an area below one pixel counts as one."""
    common = np.minimum(alpha_BHW, true_alpha_BHW).sum(axis=(1, 2))
    union = np.maximum(alpha_BHW, true_alpha_BHW).sum(axis=(1, 2))
    return float(np.mean(common / np.maximum(union, 1.0)))


def alphas_at_own_size(
    pipe: LayerDecompositionPipeline, loader: TripletLoader, batches: Iterable[TripletBatch], prompt: Text, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(decoded, true) alpha [samples, H, W] of scenes that are taken apart at their own size, as a user would.

    Each rank takes its own batches apart, as many as the others; all get the alphas of all, in the samples' order.

    Args:
        loader: reads the scenes that the batches name.
        prompt: embedded, because a pipeline in training has let its text encoders go.
        seed: of the noise.
    """
    mine = []
    for batch in batches:
        for key, layer, position in zip(batch.keys, batch.layers, batch.positions, strict=True):
            parts, maps = loader.scene(key)
            found = pipe(
                parts.composite,
                mask=parts.imperfect_masks[layer],
                prompt=prompt,
                maps=maps,
                generator=noise.generator(seed, "samples", position),
                output_type="np",
            )
            mine.append((position, found.foreground[0][..., 3], parts.foreground(layer)[..., 3]))
    samples = sorted((sample for part in of_all_ranks(mine) for sample in part), key=lambda sample: sample[0])
    decoded, truth = (np.stack([sample[i] for sample in samples]).astype(np.float32) / np.float32(255) for i in (1, 2))
    return decoded, truth
