"""Filters on candidates by what the lists say, in the order in which they are applied.

Each returns the candidates that may stay. What only the pixels show (size, sharpness, unlabelled objects) is checked
by the index after the download, duplicates by the library.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.backgrounds.openimages.candidates import BAD_BOX, DEPICTION, INSIDE, UNKNOWN, Candidates
from pipelines.config.backgrounds import OpenImagesConfig

Filter = Callable[[Candidates, OpenImagesConfig], NDArray[np.bool_]]

OF_LIST: Mapping[str, Filter] = {
    "unknown_rotation": lambda found, config: found.rotation_deg_ccw != UNKNOWN,
    # Another number than a multiple of 90 degrees is -2.
    "bad_rotation": lambda found, config: found.rotation_deg_ccw >= UNKNOWN,
    "unknown_licence": lambda found, config: found.licence != UNKNOWN,
    # A file of unknown size may stay, because its pixels are measured later.
    "small_original": lambda found, config: (
        (found.original_bytes == UNKNOWN) | (found.original_bytes >= config.min_original_kb * 1000)
    ),
}
"""Reason -> filter."""
OF_LABELS: Mapping[str, Filter] = {
    # A person confirmed a scene class, and no person a class of objects (people, animals, vehicles, ...).
    "no_scene": lambda found, config: found.scenes != 0,
    "object": lambda found, config: ~found.has_object,
}
OF_BOXES: Mapping[str, Filter] = {
    "bad_box": lambda found, config: found.box_flags & BAD_BOX == 0,
    "boxes_too_large": lambda found, config: found.box_share < config.max_box_share,
    # Not taken from inside an object; no drawing, statue or toy of one.
    "inside": lambda found, config: found.box_flags & INSIDE == 0,
    "depiction": lambda found, config: found.box_flags & DEPICTION == 0,
}


def apply(
    candidates: Candidates, filters: Mapping[str, Filter], config: OpenImagesConfig, drops: dict[str, int]
) -> Candidates:
    """The candidates that pass every filter; adds the number that each removed to `drops`."""
    for reason, keep in filters.items():
        mask = keep(candidates, config)
        drops[reason] = drops.get(reason, 0) + int(len(mask) - mask.sum())
        candidates = candidates.take(mask)
    return candidates
