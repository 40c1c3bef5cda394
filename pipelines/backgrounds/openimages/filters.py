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


def rotation_known(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The list gives a rotation."""
    return candidates.rotation_deg_ccw != UNKNOWN


def rotation_sound(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The rotation is a multiple of 90 degrees."""
    return candidates.rotation_deg_ccw >= UNKNOWN


def licence_known(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The terms of the licence are known."""
    return candidates.licence != UNKNOWN


def large_enough(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The author's file was not tiny; a file of unknown size may stay, because its pixels are measured later."""
    unknown = candidates.original_bytes == UNKNOWN
    return unknown | (candidates.original_bytes >= config.min_original_kb * 1000)


def shows_a_scene(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """A person confirmed a scene class."""
    return candidates.scenes != 0


def shows_no_object(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """No person confirmed a class of objects (people, animals, vehicles, ...)."""
    return ~candidates.has_object


def boxes_sound(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """All boxes have valid coordinates."""
    return candidates.box_flags & BAD_BOX == 0


def boxes_small(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The union of the boxes covers little of the picture."""
    return candidates.box_share < config.max_box_share


def not_inside(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The picture is not taken from inside an object."""
    return candidates.box_flags & INSIDE == 0


def no_depiction(candidates: Candidates, config: OpenImagesConfig) -> NDArray[np.bool_]:
    """The picture shows no drawing, statue or toy of an object."""
    return candidates.box_flags & DEPICTION == 0


OF_LIST: Mapping[str, Filter] = {
    "unknown_rotation": rotation_known,
    "bad_rotation": rotation_sound,
    "unknown_licence": licence_known,
    "small_original": large_enough,
}
OF_LABELS: Mapping[str, Filter] = {"no_scene": shows_a_scene, "object": shows_no_object}
OF_BOXES: Mapping[str, Filter] = {
    "bad_box": boxes_sound,
    "boxes_too_large": boxes_small,
    "inside": not_inside,
    "depiction": no_depiction,
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
