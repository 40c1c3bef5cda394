"""What the profile's test sets need of this machine: their folders and lists. Pictures are not opened."""

from collections.abc import Iterator
from pathlib import Path

from evaluation.config.test_sets import TestSetsConfig
from evaluation.test_sets.expected import is_hash
from pipelines.needs import Need


def needs(config: TestSetsConfig) -> list[Need]:
    """Folders, the list of MULAN's ids and expected lists, those that the profile names."""
    return [*_folders(config), *_files(config)]


def _folders(config: TestSetsConfig) -> Iterator[Need]:
    for name, place in config.folders.items():
        there = Path(place.folder).is_dir()
        remedy = f"place the set there (docs/test_sets.md), or take evaluation.test_sets.folders.{name} out"
        yield Need(f"evaluation.test_sets.folders.{name}", there, f"{place.folder}, layout {place.layout}", remedy)


def _files(config: TestSetsConfig) -> Iterator[Need]:
    files = {f"expected_lists.{name}": path for name, path in config.expected_lists.items() if not is_hash(path)}
    if config.mulan_ids:
        files["mulan_ids"] = config.mulan_ids
    for field, path in files.items():
        remedy = f"put the file there, or take evaluation.test_sets.{field} out"
        yield Need(f"evaluation.test_sets.{field}", Path(path).is_file(), path, remedy)
