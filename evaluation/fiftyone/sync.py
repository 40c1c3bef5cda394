"""Updates a dataset to the groups that are wanted: new ones are added, those that are gone or changed are removed.

Unchanged groups are not touched, so the tags that a person set stay. After a kill at any time the next run repairs it:
a group counts only if its composite, which is added last, exists.
"""

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoupage.faults import BadSetup
from evaluation.fiftyone.group import COMPOSITE, Group, folder_of
from evaluation.fiftyone.library import fiftyone
from evaluation.fiftyone.samples import GROUP, ITEM, VERSION, declare_fields, declare_further, to_samples
from pipelines.stages.progress import Progress

ROOT, SYNCING = "root", "syncing"
"""Keys of the dataset's `info`."""


@dataclass
class Changes:
    """Numbers of groups that a run added, removed and kept."""

    added: int = 0
    removed: int = 0
    kept: int = 0


def open_dataset(name: str, root: str) -> Any:
    """The persistent dataset of a root, made where it is absent.

    Raises:
        BadSetup: the database has a dataset of that name from another root.
    """
    fo = fiftyone()
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        theirs = dataset.info.get(ROOT)
        if theirs == root and dataset.has_sample_field(GROUP):
            return dataset
        if theirs != root:
            raise BadSetup(
                f"the database has a dataset {name} made from {theirs or 'something else'}, not from {root}; "
                f"delete it there, or use a separate database for each root"
            )
        fo.delete_dataset(name)  # It was interrupted before it had fields.
    dataset = fo.Dataset(name, persistent=True)
    dataset.info = {ROOT: root}
    dataset.save()
    declare_fields(dataset)
    return dataset


def present(dataset: Any, split: str = "") -> dict[str, tuple[str, str]]:
    """The (version, id) of every complete group, by item; of one split if it is named."""
    if len(dataset) == 0:
        return {}
    found = dataset.select_group_slices(COMPOSITE).values([ITEM, VERSION, f"{GROUP}.id"])
    return {item: (version, group) for item, version, group in zip(*found, strict=True) if item.startswith(split)}


def begin(dataset: Any) -> None:
    """Mark that a run has begun; after one that was killed, remove incomplete groups."""
    if dataset.info.get(SYNCING) and len(dataset):
        whole = {group for _, group in present(dataset).values()}
        every = set(dataset.select_group_slices(_allow_mixed=True).values(f"{GROUP}.id"))
        if every - whole:
            dataset.delete_groups(sorted(every - whole))
    dataset.info[SYNCING] = True
    dataset.save()


def end(dataset: Any, media: Path) -> None:
    """Remove pictures of groups that are gone, then clear the mark of `begin`."""
    sweep(media, {folder_of(item, version) for item, (version, _) in present(dataset).items()})
    dataset.info[SYNCING] = False
    dataset.save()


def remove(dataset: Any, there: Mapping[str, tuple[str, str]], wanted: Mapping[str, str]) -> int:
    """Remove the groups whose item is not wanted, or in another version; returns their number."""
    old = [group for item, (version, group) in there.items() if wanted.get(item) != version]
    if old:
        dataset.delete_groups(old)
    return len(old)


def add(dataset: Any, groups: Iterable[Group], media: Path, batch_size: int, total: int | None) -> int:
    """Add groups batch by batch; returns their number."""
    from fiftyone.core.utils import iter_batches

    count = 0
    with Progress("FiftyOne", "groups", total) as progress:
        for batch in iter_batches(progress.counting(groups), batch_size):
            declare_further(dataset, batch)
            samples = [sample for group in batch for sample in to_samples(group, media)]
            dataset.add_samples(samples, expand_schema=False, batcher=False)
            count += len(batch)
    return count


def sweep(media: Path, folders: Collection[str]) -> None:
    """Remove every folder of pictures that is not among `folders`, and those that a killed run left unfinished."""
    for folder in media.glob("*/*/*"):
        if str(folder.relative_to(media)) not in folders:
            shutil.rmtree(folder)
