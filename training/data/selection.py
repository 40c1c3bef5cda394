"""The scenes of a dataset that a run draws from: by the kinds of their foregrounds, for training or for validation."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from training.data.config import KINDS, DataLoading
from training.data.index import SceneIndex


def select(index: SceneIndex, loading: DataLoading) -> SceneIndex:
    """The scenes of `loading.part` that have no layer of a kind that `loading.foreground_kinds` does not name.

    Raises:
        BadSetup: none is left, or a shard's parquet index cannot be read.
    """
    if set(loading.foreground_kinds) != set(KINDS):
        kept = _of_kinds(index, loading.foreground_kinds)
        if not kept.any():
            raise BadSetup(
                f"{index.store.root}: each of the {len(index)} scenes has a foreground that is not of "
                f"data.foreground_kinds = {list(loading.foreground_kinds)}; make scenes of these kinds alone "
                f"(scenes.generated_share) or allow the others"
            )
        index = index.only(kept)
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


def _of_kinds(index: SceneIndex, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which scenes [num_scenes] have foregrounds of these kinds only, by the shards' parquet indexes."""
    other: set[str] = set()
    for shard in index.shards:
        path = f"{shard}.parquet"
        try:
            table = pq.read_table(io.BytesIO(index.store.read(path)), columns=["key", "foreground_kind"])
        except (OSError, pa.ArrowException) as error:
            raise BadSetup(
                f"{index.store.url(path)} cannot be read ({error}), and data.foreground_kinds needs it; "
                f"make the shard again"
            ) from error
        columns = table.to_pydict()
        other.update(k for k, kind in zip(columns["key"], columns["foreground_kind"], strict=True) if kind not in kinds)
    return np.array([str(key) not in other for key in index.keys])
