"""The scenes of a dataset that a run draws from: those for training, or those for validation."""

import numpy as np

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from training.data.config import DataLoading
from training.data.index import SceneIndex


def select(index: SceneIndex, loading: DataLoading) -> SceneIndex:
    """The scenes of `loading.part`; all triplets of a scene are in one part.

    Raises:
        BadSetup: none is left.
    """
    if loading.part == "train" and loading.validation_share == 0:
        return index
    validation = np.array([is_validation(str(key), loading.validation_share) for key in index.keys])
    kept = validation if loading.part == "validation" else ~validation
    if not kept.any():
        raise BadSetup(
            f"{index.store.root}: data.validation_share = {loading.validation_share:g} leaves none of {len(index)} "
            f"scenes for the part {loading.part!r}; change the share or make more scenes"
        )
    return index.only(kept)


def is_validation(key: str, share: float) -> bool:
    """Whether a scene is kept out of training. Its key alone decides: in every run alike, in every larger share too."""
    return hash64("training.validation", key) < share * 2**64
