"""The sample grid of an adapter: what the pipeline gives for a few samples, beside the truth."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from decoupage.bases.spec import Text
from decoupage.images.forms import to_uint8
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.rgba_values import clean_alpha
from training import noise
from training.data import TripletBatch
from training.sample_grids import layers_grid, levels


def decomposed_grid(
    pipe: LayerDecompositionPipeline, batches: Iterable[TripletBatch], text: Text, seed: int, num_shown: int
) -> NDArray[np.uint8]:
    """A picture [H, W, 3] of the first samples of some batches, as many as there are up to `num_shown`.

    A batch is taken apart by itself, so this needs no more memory than the pipeline does for one.
    """
    rows: list[dict[str, NDArray[np.uint8]]] = []
    left = num_shown
    for batch in batches:
        shown = min(left, len(batch))
        rows.append(_columns(pipe, batch, text, seed, shown))
        left -= shown
        if not left:
            break
    pictures = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return layers_grid(**pictures)


def _columns(
    pipe: LayerDecompositionPipeline, batch: TripletBatch, text: Text, seed: int, shown: int
) -> dict[str, NDArray[np.uint8]]:
    """The first samples of a batch as `layers_grid` takes them, by the names of its arguments."""
    generators = [noise.generator(seed, "samples", position) for position in batch.positions[:shown]]
    foreground, background = pipe.decompose(batch.prepared(shown), text, generator=generators)
    return {
        "composite_BHWC": levels(batch.composite_B3HW[:shown]),
        "mask_BHW": batch.hole_B1HW[:shown, 0].cpu().numpy() > 0.5,
        "background_BHWC": to_uint8(background),
        "foreground_BHWC": to_uint8(clean_alpha(foreground, *pipe.adapter.alpha_levels)),
        "true_background_BHWC": levels(batch.background_B3HW[:shown]),
        "true_foreground_BHWC": levels(batch.foreground_B4HW[:shown]),
    }
