"""What people tagged in the App, as exclusions of the library.

A tag on a layer, a truth or a clean plate means that picture's asset; on a box, that layer's; on a composite, all its
foregrounds, for nobody said which (its clean plate stays, and has a slice of its own to tag). Predictions say nothing
about an asset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.fiftyone.group import COMPOSITE
from evaluation.fiftyone.samples import BOXES, GROUP, ITEM
from pipelines.library.exclusions import REASONS, Exclusion


@dataclass(frozen=True)
class Tagged:
    """What the tags come to.

    Attributes:
        exclusions: one for each tagged asset; `reject` wins over `relabel`.
        without_asset: tagged pictures that say nothing about an asset.
    """

    exclusions: tuple[Exclusion, ...]
    without_asset: tuple[str, ...]


def read_tags(dataset: Any) -> Tagged:
    """All tags of a dataset that mean something here."""
    if not len(dataset):
        return Tagged((), ())
    found: dict[str, Exclusion] = {}
    without = []
    for place, reason, assets in sorted(_tags(dataset), key=lambda tag: (REASONS.index(tag[1]), tag[0])):
        if not assets:
            without.append(place)
        for asset in assets:
            found.setdefault(asset, Exclusion(asset, reason, place))
    return Tagged(tuple(found[asset] for asset in sorted(found)), tuple(without))


def _tags(dataset: Any) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(place, reason, assets) of every tag on a sample or a box."""
    every = dataset.select_group_slices(_allow_mixed=True)
    columns = [ITEM, f"{GROUP}.name", "tags", "asset", "assets"]
    for item, slice_, tags, asset, assets in zip(*every.match_tags(list(REASONS)).values(columns), strict=True):
        meant = list(assets or []) if slice_ == COMPOSITE else [asset] if asset else []
        for reason in set(tags) & set(REASONS):
            yield f"{item} {slice_}", reason, meant
    boxes = dataset.select_group_slices(COMPOSITE).match_labels(tags=list(REASONS), fields=BOXES)
    inside = f"{BOXES}.detections"
    columns = [ITEM, f"{inside}.tags", f"{inside}.asset", f"{inside}.layer"]
    for item, all_tags, ids, layers in zip(*boxes.values(columns), strict=True):
        for tags, asset, layer in zip(all_tags, ids, layers, strict=True):
            for reason in set(tags or []) & set(REASONS):
                yield f"{item} box {layer if layer is not None else 'target'}", reason, [asset] if asset else []
