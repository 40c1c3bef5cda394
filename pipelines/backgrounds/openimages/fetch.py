"""Fetches the chosen images: `<folder>/<subset>/<id>.jpg` with `attribution.csv`, which the index reads.

Where the authors' own files are wanted, these take the place of the mirror's in `attribution.csv` (`originals.py`). The
choice is stored beside them (`choice.csv`, `choice_originals.csv`, `choice.json`): the long lists are read again only
when they or the filters change.
"""

import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.backgrounds.attribution import FILE, attributions_csv, read_attributions
from pipelines.backgrounds.openimages.choose import Choice, choose
from pipelines.backgrounds.openimages.labels import class_names
from pipelines.backgrounds.openimages.lists import gather, named, versions
from pipelines.backgrounds.openimages.originals import (
    OriginalsReport,
    fetch_originals,
    originals_csv,
    read_originals,
)
from pipelines.config.backgrounds import OpenImagesConfig
from pipelines.downloads.item import Download, DownloadReport
from pipelines.downloads.run import download_all
from pipelines.stages.manifest import Drop
from pipelines.stages.store import Store

log = logging.getLogger(__name__)
VERSION = 1
MAX_IMAGE_BYTES = 32 << 20
_CHOICE = "choice"
_ORIGINALS = "choice_originals.csv"
_HOW_FETCHED = {"lists", "paths", "images", "max_gb", "originals_mp", "originals_max_gb"}
_HOW_FETCHED |= {"workers", "timeout_s", "max_attempts"}
"""Fields that do not decide which images are chosen."""


@dataclass(frozen=True)
class PhotographsReport:
    """Summary of the images chosen and fetched.

    Attributes:
        num_listed: number of images in the lists.
        drops_of_lists: reason of a filter -> number of images that it removed.
        num_chosen: number of images to fetch.
        downloads: the report on fetching them.
        licences: licence -> number of images in the folder.
        originals: the report on the authors' own files; None = the configuration wants none.
    """

    num_listed: int
    drops_of_lists: dict[str, int]
    num_chosen: int
    downloads: DownloadReport = field(default_factory=DownloadReport)
    licences: dict[str, int] = field(default_factory=dict)
    originals: OriginalsReport | None = None

    @property
    def drops(self) -> list[Drop]:
        """Images that were chosen and could not be fetched."""
        return self.downloads.drops


def fetch_openimages(config: OpenImagesConfig, folder: Path) -> PhotographsReport:
    """Fetch the lists, choose images, fetch them and write their attributions; existing files are not fetched again.

    Raises:
        BadSetup: lists or pictures cannot be reached, or no image can be chosen.
    """
    store = Store(str(folder))
    store.remove_leftovers("")
    choice = _remembered(config, store, folder / "lists")
    report = download_all(
        [Download(_address(config, path), path) for path in choice.images],
        folder,
        workers=config.workers,
        max_bytes=int(config.max_gb * 1e9),
        max_file_bytes=MAX_IMAGE_BYTES,
        timeout_s=config.timeout_s,
        max_attempts=config.max_attempts,
        trusted=named(config),
        title="images of OpenImages",
    )
    if not report.paths:
        raise BadSetup(f"none of {len(choice.images)} images could be fetched: {report.drops_by_reason}")
    originals = fetch_originals(config, choice.originals, report.paths, folder) if config.originals else None
    own = originals.paths if originals else {}
    here = {own.get(path, path): choice.images[path] for path in report.paths}
    _write(store, FILE, attributions_csv(here))
    lines = b"".join(json.dumps(drop).encode() + b"\n" for drop in report.drops)
    _write(store, "not_fetched.jsonl", lines)
    licences = Counter(attribution.licence for attribution in here.values())
    return PhotographsReport(
        *(choice.num_listed, choice.drops, len(choice.images), report, dict(licences.most_common()), originals)
    )


def files_to_keep(folder: Path) -> list[str]:
    """What of the folder is kept in an object store, in the order in which it is put there; the lists are not."""
    there = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "lists")
    # The index reads the pictures that `attribution.csv` names, so that is put last.
    return [path.name for path in sorted(there, key=lambda path: (path.name == FILE, path.is_file()))]


def _address(config: OpenImagesConfig, path: str) -> str:
    subset, name = path.split("/")
    # Not str.format: braces in the profile's template could access attributes of the inserted values.
    return config.images.replace("{subset}", subset).replace("{id}", name.removesuffix(".jpg"))


def _remembered(config: OpenImagesConfig, store: Store, lists: Path) -> Choice:
    """The stored choice if it was made from the same lists by the same rules, else a new one.

    Only a new one needs the lists themselves. They are not kept in object stores, so another machine has none.

    Args:
        lists: folder that they are fetched into.
    """
    made_from = fingerprint(
        {
            "version": VERSION,
            "rules": config.model_dump(mode="json", exclude=_HOW_FETCHED),
            "classes": [class_names("scenes.txt"), class_names("objects.txt")],
            "lists": versions(config),
        }
    )
    if (kept := _kept(config, store, made_from)) is not None:
        return kept
    # The summary is removed first and written last: without it the table does not count as a choice.
    store.remove(f"{_CHOICE}.json")
    choice = choose(config, gather(config, lists))
    store.write(f"{_CHOICE}.csv", attributions_csv(choice.images))
    if config.originals:
        store.write(_ORIGINALS, originals_csv(choice.originals))
    summary = {"made_from": made_from, "num_listed": choice.num_listed, "drops": choice.drops}
    store.write(f"{_CHOICE}.json", json.dumps(summary, indent=1).encode())
    return choice


def _kept(config: OpenImagesConfig, store: Store, made_from: str) -> Choice | None:
    """The stored choice; None where there is none of these lists and rules, or it is damaged."""
    if not store.exists(f"{_CHOICE}.json"):
        return None
    try:
        summary = store.read_json(f"{_CHOICE}.json")
        if summary["made_from"] != made_from:
            return None
        images = read_attributions(store, f"{_CHOICE}.csv")
        originals = read_originals(store, _ORIGINALS) if config.originals else {}
        return Choice(images, summary["num_listed"], summary["drops"], originals)
    except (BadSetup, FileNotFoundError, KeyError, TypeError) as error:
        log.warning("the stored choice of images is made again: %s", error)
        return None


def _write(store: Store, path: str, data: bytes) -> None:
    """Write a file unless its contents are the same, so that its date shows the last change."""
    if not store.exists(path) or store.read(path) != data:
        store.write(path, data)
