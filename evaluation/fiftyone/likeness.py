"""Uniqueness of composites, and near duplicates among them: by small copies, so no model is needed."""

from typing import Any

from evaluation.fiftyone.group import COMPOSITE
from evaluation.fiftyone.samples import COPY, ITEM

_FEWEST = 4
"""Least number of composites: uniqueness needs the three nearest others."""


def rate_likeness(dataset: Any, near_distance: float) -> int:
    """Write `uniqueness` (0..1) and `near_duplicate_of` of every composite; returns the number of near duplicates.

    Args:
        dataset: the FiftyOne dataset.
        near_distance: cosine distance of two small copies below which one repeats the other.
    """
    import fiftyone.brain as fob
    import numpy as np

    composites = dataset.select_group_slices(COMPOSITE)
    if len(composites) < _FEWEST:
        return 0
    ids, items, copies = composites.values(["id", ITEM, COPY])
    # A picture of one colour has no direction; a small constant gives it one.
    copies_NC = np.stack(copies).astype(np.float64) + 1e-6
    fob.compute_uniqueness(composites, embeddings=copies_NC, progress=False)
    index = fob.compute_near_duplicates(composites, threshold=near_distance, embeddings=copies_NC, progress=False)
    names = dict(zip(ids, items, strict=True))
    repeats = {twin: names[kept] for kept, twins in index.neighbors_map.items() for twin, _ in twins}
    composites.set_values("near_duplicate_of", [repeats.get(id_) for id_ in ids])
    return len(repeats)
