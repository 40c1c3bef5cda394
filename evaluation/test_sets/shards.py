"""Our own held-out scenes: one case for each layer of each scene, from shards of the test split."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.alpha import blend
from decoupage.images.types import Mask
from decoupage.maps.table import StoredMaps, decode_maps
from decoupage.text_files import printable
from evaluation.cases import Case
from evaluation.strata import clutter_of, occlusion_of
from pipelines.scenes.parts import SceneParts
from pipelines.shards.folder import find_shards
from pipelines.shards.reader import read_scenes
from pipelines.stages.store import Store


@dataclass(frozen=True)
class HeldOut:
    """The cases of a folder of shards, in its order: scene by scene, layer by layer from the bottom.

    Attributes:
        source: a store or path, as `pipelines.shards.reader.read_scenes` takes it.
        max_images: stop after this many; None = all.
    """

    source: Store | str
    max_images: int | None = None
    name: str = "held_out"

    @property
    def about(self) -> dict[str, Any]:
        """See `TestSet`."""
        return {"test_set": self.name}

    def cases(self, names: Collection[str] | None = None) -> Iterator[Case]:
        """See `TestSet`.

        Raises:
            BadSetup: there are no shards, or one is damaged; the message names shard, scene and member.
        """
        keys = None if names is None else {name.rpartition("-")[0] for name in names}
        folder = find_shards(self.source.root if isinstance(self.source, Store) else self.source)
        found = (
            case
            for shard in folder.shards
            for key, members in read_scenes(self.source, [shard])
            if keys is None or key in keys
            for case in _cases_of(folder.store.url(f"{shard}.tar"), key, members)
        )
        if names is None:
            yield from islice(found, self.max_images)
        else:
            yield from (case for case in found if case.name in names)


def _cases_of(tar: str, key: str, members: dict[str, bytes]) -> list[Case]:
    """A list that lacks what is damaged would be another list, so a damaged scene stops here. Raises BadSetup."""
    try:
        parts = SceneParts.decode(key, members)
        maps = decode_maps(members)
        return [case_of(parts, maps, layer) for layer in range(len(parts.layers))]
    except KeyError as error:
        why = f"it lacks {error.args[0]}"
    except (BadItem, ValueError, TypeError, IndexError, AttributeError) as error:
        why = f"its record or its pictures are damaged ({error})"
    scene = printable(key)
    raise BadSetup(
        f"{tar}: scene {scene} cannot be judged on: {why}. `decoupage shards verify {tar}` names all damage; remove "
        "the shard's .json and make the held-out scenes again"
    )


def case_of(parts: SceneParts, maps: StoredMaps, layer: int) -> Case:
    """The case that asks a scene for one of its layers; it is named as `shards export` names its folder."""
    fraction = parts.occluded_fraction(layer)
    entry = parts.record["layers"][layer]
    return Case(
        name=f"{parts.key}-{layer}",
        key=parts.key,
        photograph=_origin(parts.record["background"], parts.key),
        origin=_origin(entry["foreground"], parts.key),
        composite=parts.composite,
        mask=parts.imperfect_masks[layer],
        visible=parts.visible_mask(layer),
        background=parts.flatten(without=layer),
        foreground=parts.foreground(layer),
        maps=maps,
        occluded_fraction=fraction,
        strata={
            "occlusion": occlusion_of(fraction),
            "size": entry["size_class"],
            "clutter": clutter_of(parts.composite),
            "mask_error": entry["mask_error"],
            "source": entry["foreground"]["kind"],
        },
        covered=covered(parts, layer),
    )


def covered(parts: SceneParts, layer: int) -> Mask:
    """[H, W]: where a layer of a scene over the rest of it is not the scene; see `Case`. Exact, to the level."""
    return np.asarray((blend(parts.flatten(without=layer), parts.foreground(layer)) != parts.composite).any(axis=-1))


def _origin(source: Mapping[str, Any], key: str) -> str:
    """What a background or a foreground was taken from. Raises BadSetup: the scene's record is of an older version."""
    if "origin" not in source:
        raise BadSetup(
            f"scene {key} does not say what {source['id']} was taken from: make the scenes again in a new root"
        )
    return str(source["origin"])
