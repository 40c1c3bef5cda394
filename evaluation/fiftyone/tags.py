"""Applies the tags that people set in the App: they become exclusions, and the effect on the next run is listed.

A tag on a layer, a truth or a clean plate means that picture's asset; on a box, that layer's; on a composite, all its
foregrounds, because it does not say which one (the clean plate stays; it has its own slice to tag). Tags on predictions
mean no asset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadSetup
from evaluation.fiftyone.database import dataset_name
from evaluation.fiftyone.group import COMPOSITE
from evaluation.fiftyone.library import fiftyone
from evaluation.fiftyone.samples import BOXES, GROUP, ITEM
from pipelines.factory import Factory
from pipelines.library.exclusions import REASONS, Exclusion, add_exclusions, read_exclusions
from pipelines.takedowns import ExclusionReport, find_excluded


def read_tags(dataset: Any) -> tuple[list[Exclusion], tuple[str, ...]]:
    """The tags `reject` and `relabel` of a dataset: an exclusion for each tagged asset, and pictures without an asset.

    Where an asset has both, `reject` wins over `relabel`.
    """
    if not len(dataset):
        return [], ()
    found: dict[str, Exclusion] = {}
    without = []
    for place, reason, assets in sorted(_tags(dataset), key=lambda tag: (REASONS.index(tag[1]), tag[0])):
        if not assets:
            without.append(place)
        for asset in assets:
            found.setdefault(asset, Exclusion(asset, reason, place))
    return [found[asset] for asset in sorted(found)], tuple(without)


def _tags(dataset: Any) -> Iterator[tuple[str, str, Sequence[str]]]:
    """The (place, reason, assets) of every tag on a sample or a box."""
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


@dataclass(frozen=True)
class Applied:
    """The result of applying the tags.

    Attributes:
        new: exclusions that the tags added to the list.
        num_listed: number of lines in the list now.
        without_asset: tagged pictures that belong to no asset.
        effect: effect of the whole list on the store.
    """

    new: tuple[Exclusion, ...]
    num_listed: int
    without_asset: tuple[str, ...]
    effect: ExclusionReport

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "new": [vars(exclusion) for exclusion in self.new],
            "num_listed": self.num_listed,
            "without_asset": list(self.without_asset),
            **self.effect.to_dict(),
        }


def apply_tags(factory: Factory, profile: str) -> Applied:
    """Add the assets of all tagged pictures to the root's list of exclusions; a second time changes nothing more.

    Raises:
        BadSetup: there is no dataset of this profile, or the list is damaged.
    """
    fo, name = fiftyone(), dataset_name(profile)
    if not fo.dataset_exists(name):
        raise BadSetup(f"there is no dataset {name} to take tags from; make it with: decoupage inspect")
    dataset = fo.load_dataset(name)
    if dataset.info.get("root") != factory.store.root:
        raise BadSetup(f"{name} was made from {dataset.info.get('root')}, not from {factory.store.root}")
    tagged, without_asset = read_tags(dataset)
    new = add_exclusions(factory.store, tagged)
    return Applied(new, len(read_exclusions(factory.store)), without_asset, find_excluded(factory))
