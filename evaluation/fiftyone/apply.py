"""Takes the tags back: they become exclusions of the library, and it is told what the next run makes again."""

from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadSetup
from evaluation.fiftyone.library import fiftyone
from evaluation.fiftyone.place import dataset_name
from evaluation.fiftyone.tags import read_tags
from pipelines.exclusions import ExclusionReport, find_excluded
from pipelines.factory import Factory
from pipelines.library.exclusions import Exclusion, read_exclusions, write_exclusions


@dataclass(frozen=True)
class Applied:
    """What came of applying the tags.

    Attributes:
        new: exclusions that the tags added to the list.
        num_listed: lines of the list now.
        without_asset: tagged pictures that say nothing about an asset.
        effect: what the whole list means for the store.
    """

    new: tuple[Exclusion, ...]
    num_listed: int
    without_asset: tuple[str, ...]
    effect: ExclusionReport

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "new": [vars(exclusion) for exclusion in self.new],
            "num_listed": self.num_listed,
            "without_asset": list(self.without_asset),
            **self.effect.to_dict(),
        }


def apply_tags(factory: Factory, profile: str) -> Applied:
    """Add the assets of all tagged pictures to the root's list; applying twice changes nothing more.

    Raises:
        BadSetup: there is no dataset of this profile, or the list is damaged.
    """
    fo, name = fiftyone(), dataset_name(profile)
    if not fo.dataset_exists(name):
        raise BadSetup(f"there is no dataset {name} to take tags from; make it with: decoupage inspect")
    dataset = fo.load_dataset(name)
    if dataset.info.get("root") != factory.store.root:
        raise BadSetup(f"{name} was made from {dataset.info.get('root')}, not from {factory.store.root}")
    tagged = read_tags(dataset)
    before = read_exclusions(factory.store)
    listed = {exclusion.id for exclusion in before}
    new = tuple(exclusion for exclusion in tagged.exclusions if exclusion.id not in listed)
    if new:
        write_exclusions(factory.store, [*before, *new])
    return Applied(new, len(before) + len(new), tagged.without_asset, find_excluded(factory))
