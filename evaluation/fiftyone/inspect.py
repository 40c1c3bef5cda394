"""Makes the FiftyOne dataset of a profile: training scenes from the shards, held-out cases with the methods' outputs.

What is added is decided by hashes in the manifests, so a run over unchanged data reads no shard. The database must run
(`database.py`).
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig
from evaluation.fiftyone.cases import CaseReader
from evaluation.fiftyone.database import MEDIA, dataset_name, folder_for
from evaluation.fiftyone.evaluated import case_facts, case_scores, shown_records
from evaluation.fiftyone.group import HELD_OUT, TRAIN, Group
from evaluation.fiftyone.likeness import rate_likeness
from evaluation.fiftyone.scenes import SceneItem, SceneReader, scene_items
from evaluation.fiftyone.sync import Changes, add, begin, end, open_dataset, present, remove
from evaluation.fiftyone.views import show
from evaluation.records.method import each
from evaluation.test_sets.shards import HeldOut
from pipelines.factory import HELD_OUT as HELD_OUT_FOLDER
from pipelines.factory import Factory
from pipelines.stages.locks import alone
from pipelines.stages.store import Store

_QUALITY = {
    "foregrounds": ("alpha_mean", "soft_share", "consistency_error"),
    "backgrounds": ("sharpness",),
}
"""Columns of the catalogues that are shown with an asset."""


@dataclass(frozen=True)
class Inspected:
    """The dataset after a run.

    Attributes:
        name: name of the dataset.
        num_scenes, num_cases: numbers of groups of training and of evaluation.
        num_samples: number of pictures in all.
        changes: changes by this run.
        views: names of the saved views.
        tags: number of pictures with each tag.
        near_duplicates: number of composites that repeat another; None = nothing changed, so they were not compared.
    """

    name: str
    num_scenes: int
    num_cases: int
    num_samples: int
    changes: Changes
    views: tuple[str, ...]
    tags: Mapping[str, int]
    near_duplicates: int | None


def build_dataset(factory: Factory, config: EvaluationConfig, profile: str) -> Inspected:
    """Update the profile's dataset to its shards and its evaluation, and set the App up for it.

    Raises:
        BadSetup: FiftyOne is not installed, there are no shards, or another process fills the dataset.
        BadItem: a picture is damaged.
    """
    folder = folder_for(config, factory.store)
    media = folder / MEDIA
    media.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        dataset = open_dataset(dataset_name(profile), factory.store.root)
        begin(dataset)
        changes = Changes()
        _sync_scenes(dataset, factory, config, media, changes)
        _sync_cases(dataset, factory, config, media, changes)
        end(dataset, media)
        distance = config.inspection.near_duplicate_distance
        near = rate_likeness(dataset, distance) if changes.added or changes.removed else None
        return _inspected(dataset, changes, near, show(dataset))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with alone(folder / "sync.lock") as free:
        if not free:
            raise BadSetup(f"another process is filling the dataset in {folder}; wait until it is done")
        yield


def _sync_scenes(dataset: Any, factory: Factory, config: EvaluationConfig, media: Path, changes: Changes) -> None:
    store, folder = factory.store, factory.shards.name
    finished = set(store.names(folder, ".json"))
    shards = [shard for shard in factory.shards.shards() if f"{shard}.json" in finished]
    if not shards:
        raise BadSetup(f"{store.url(folder)} holds no finished shard; make the dataset first")
    limit = config.inspection.max_scenes

    def items() -> Iterator[SceneItem]:
        return islice(scene_items(store, folder, shards), limit)

    there = present(dataset, TRAIN)
    wanted = {f"{TRAIN}/{item.span.key}": item.version for item in items()}
    changes.removed += remove(dataset, there, wanted)
    new = {item for item, version in wanted.items() if there.get(item, ("", ""))[0] != version}
    changes.kept += len(wanted) - len(new)
    reader = SceneReader(store, media, _quality(store))
    if new:  # Else there is no need to start workers.
        groups = factory.engine.map(reader, (item for item in items() if f"{TRAIN}/{item.span.key}" in new))
        changes.added += add(dataset, groups, media, config.inspection.batch_scenes, len(new))


def _sync_cases(dataset: Any, factory: Factory, config: EvaluationConfig, media: Path, changes: Changes) -> None:
    store = factory.store
    there = present(dataset, HELD_OUT)
    wanted: dict[str, str] = {}

    def new_groups() -> Iterator[Group]:
        limits = [n for n in (config.max_images, config.inspection.max_scenes) if n is not None]
        test_set = HeldOut(store.url(HELD_OUT_FOLDER), min(limits, default=None))
        facts = case_facts(store, factory.held_out.shards.name)
        reader = CaseReader(media, shown_records(store), case_scores(store), facts)
        for group in each(store, reader, test_set.cases()):
            wanted[group.item] = group.version
            if there.get(group.item, ("", ""))[0] == group.version:
                changes.kept += 1
                continue
            if group.item in there:
                dataset.delete_groups([there[group.item][1]])
                changes.removed += 1
            yield group

    if store.names(factory.held_out.shards.name, ".json"):
        changes.added += add(dataset, new_groups(), media, config.inspection.batch_scenes, None)
    gone = {item: found for item, found in there.items() if item not in wanted}
    changes.removed += remove(dataset, gone, {})


def _quality(store: Store) -> dict[str, dict[str, Any]]:
    """Quality figures by asset id; none of assets that are no longer in the library."""
    found: dict[str, dict[str, Any]] = {}
    for name, columns in _QUALITY.items():
        path = f"library/{name}.parquet"
        if store.exists(path):
            rows = pq.read_table(io.BytesIO(store.read(path)), columns=["id", *columns]).to_pylist()
            found |= {row.pop("id"): row for row in rows}
    return found


def _inspected(dataset: Any, changes: Changes, near: int | None, views: list[str]) -> Inspected:
    every = dataset.select_group_slices(_allow_mixed=True)
    splits = Counter(item.partition("/")[0] for item in present(dataset))
    numbers = (splits[TRAIN], splits[HELD_OUT], len(every))
    return Inspected(dataset.name, *numbers, changes, tuple(views), dict(every.count_values("tags")), near)
