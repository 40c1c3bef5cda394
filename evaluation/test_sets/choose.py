"""The test set that a name asks for: our own scenes, MULAN, a folder of the profile, or any folder."""

import re
from collections.abc import Mapping
from pathlib import Path

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig
from evaluation.config.test_sets import FolderConfig
from evaluation.test_sets.expected import require_list
from evaluation.test_sets.folders import FolderPictures
from evaluation.test_sets.listed import ListedSet
from evaluation.test_sets.mulan import MulanPictures, listed_keys
from evaluation.test_sets.originals import Originals
from evaluation.test_sets.shards import HeldOut
from evaluation.test_sets.spec import TestSet
from pipelines.config import DataConfig
from pipelines.config.pairs import LAYOUTS, LayoutConfig
from pipelines.factory import HELD_OUT, Factory
from pipelines.stages.store import Store

OWN, MULAN, FOLDER = "held_out", "mulan", "folder"


def find_test_set(name: str, config: EvaluationConfig, data: DataConfig, store: Store) -> TestSet:
    """Where the cases come from.

    Args:
        name: `held_out`, `mulan`, a name of `evaluation.test_sets.folders`, or `folder:LAYOUT:PATH`.
        data: where MULAN is.
        store: the root.

    Raises:
        BadSetup: there is no such test set, or it is not the one that `evaluation.test_sets.expected_lists` names.
    """
    test_set = _find(name, config, data, store)
    if expected := config.test_sets.expected_lists.get(test_set.name):
        require_list(_find(name, config, data, store), expected)
    return test_set


def _find(name: str, config: EvaluationConfig, data: DataConfig, store: Store) -> TestSet:
    if name == OWN:
        return HeldOut(store.url(HELD_OUT), config.max_images)
    originals = _mulan(config, data, store) if name == MULAN else _folder(name, config)
    return ListedSet(originals, config.test_sets.dilate_px, config.max_images)


def _mulan(config: EvaluationConfig, data: DataConfig, store: Store) -> Originals:
    if data.mulan.source == "none":
        raise BadSetup("the profile has no MULAN (mulan.source = 'none'), so there is no test set mulan")
    factory = Factory(data, store)
    keys = listed_keys(factory.mulan_source.split, config.test_sets.mulan_ids)
    return MulanPictures(*factory.mulan_folders, keys)


def _folder(name: str, config: EvaluationConfig) -> Originals:
    sets = config.test_sets
    kind, _, rest = name.partition(":")
    if name in sets.folders:
        place, short = sets.folders[name], name
    elif kind == FOLDER and all(parts := rest.partition(":")):
        place = FolderConfig(folder=parts[2], layout=parts[0])
        short = f"{place.layout}_{_slug(Path(place.folder).resolve().name)}"
    else:
        known = (OWN, MULAN, *sets.folders, f"{FOLDER}:LAYOUT:PATH")
        raise BadSetup(f"there is no test set {name!r}; known: {', '.join(known)} (docs/test_sets.md)")
    return FolderPictures(short, Path(place.folder), find_layout(place.layout, sets.layouts), place.layout)


def find_layout(name: str, own: Mapping[str, LayoutConfig]) -> LayoutConfig:
    """A layout of the profile, or a named one.

    Raises:
        BadSetup: there is none with that name; the message lists the known ones.
    """
    known = {**LAYOUTS, **own}
    if name not in known:
        raise BadSetup(f"there is no layout {name!r}; known: {', '.join(known)}, or add evaluation.test_sets.layouts")
    return known[name]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "folder"
