"""What the profile's test sets need of this machine: their folders and lists. Pictures are not opened."""

from collections.abc import Iterator
from pathlib import Path

from decoupage.requirements import Requirement
from evaluation.config.test_sets import TestSetsConfig
from evaluation.test_sets.expected import is_hash


def requirements(config: TestSetsConfig) -> list[Requirement]:
    """Folders, the list of MULAN's ids and expected lists, those that the profile names."""
    return [*_folders(config), *_files(config)]


def _folders(config: TestSetsConfig) -> Iterator[Requirement]:
    for name, place in config.folders.items():
        there = Path(place.folder).is_dir()
        fix = f"place the set there (docs/test_sets.md), or remove evaluation.test_sets.folders.{name}"
        yield Requirement(f"evaluation.test_sets.folders.{name}", there, f"{place.folder}, layout {place.layout}", fix)


def _files(config: TestSetsConfig) -> Iterator[Requirement]:
    files = {f"expected_lists.{name}": path for name, path in config.expected_lists.items() if not is_hash(path)}
    if config.mulan_ids:
        files["mulan_ids"] = config.mulan_ids
    for field, path in files.items():
        fix = f"put the file there, or remove evaluation.test_sets.{field}"
        yield Requirement(f"evaluation.test_sets.{field}", Path(path).is_file(), path, fix)
