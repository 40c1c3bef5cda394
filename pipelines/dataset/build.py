"""Writes `dataset/`: the files that readers of the finished shards need, derived from the shards and the profile."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from decoupage.fingerprint import fingerprint
from pipelines.config import DataConfig
from pipelines.dataset import samples
from pipelines.dataset.card import Release, card_markdown, compared_lists, recipe
from pipelines.dataset.croissant import croissant_json
from pipelines.dataset.index import (
    INDEX,
    SHARD_LIST,
    STAGE,
    FileFacts,
    attributions_csv,
    count_assets,
    data_version,
    measured_part,
    read_shards,
    write_index,
    write_shard_list,
)
from pipelines.dataset.statistics import Statistics, measure, read_layers, read_tallies
from pipelines.library.leaks import LeakReport
from pipelines.stages.plan import beyond, named
from pipelines.stages.store import Store

log = logging.getLogger(__name__)
FOLDER = "dataset"
SUMMARY = f"{FOLDER}/dataset.json"
"""Written last: its presence means that the folder is complete."""
PREVIEW = f"{FOLDER}/sheets/preview.jpg"
VERSION = 5
"""Raised when a change of the code changes the files."""


@dataclass(frozen=True)
class DatasetReport:
    """The contents of a written dataset.

    Attributes:
        data_version: hash of the contents of all shards; Dagster's data version.
        fingerprint: fingerprint of the shards' recipe.
        files: path in the store -> SHA-256, without the summary itself.
        preview: JPEG of at most 25 kB.
        made: False when everything was up to date already.
    """

    data_version: str
    fingerprint: str
    statistics: Statistics
    files: dict[str, str]
    preview: bytes
    made: bool


def write_dataset(
    store: Store, profile_name: str, config: DataConfig, leaks: LeakReport | None = None
) -> DatasetReport:
    """Write index, card, Croissant file, attributions, figures and sheets; nothing when they are up to date.

    Args:
        leaks: the report on assets shared with evaluation, for the card; None = no comparison was made.

    Raises:
        BadSetup: shards are missing, mixed or damaged.
    """
    planned = [f"{i:05d}" for i in range(config.scenes.num_shards)]
    manifests = read_shards(store, planned)
    more = beyond(store, STAGE, planned)
    version = data_version(manifests)
    tallies = read_tallies(store, manifests)
    compared = compared_lists(leaks)
    parts: dict[str, Any] = {"data": version, "profile": profile_name, "recipe": recipe(config), "compared": compared}
    if more:
        log.warning("%s: shards beyond the plan (%s) are not part of the dataset", store.url(STAGE), named(more))
        parts["beyond"] = list(more)
    asked = fingerprint({"version": VERSION, **parts, **asdict(tallies)})
    current = _read_current(store, asked)
    if current is not None:
        return current
    store.remove(SUMMARY)
    store.remove_leftovers(FOLDER)
    measured = measured_part(manifests)
    is_whole = len(measured) == len(manifests)
    store.remove(SHARD_LIST if is_whole else INDEX)
    index = write_index(store, manifests) if is_whole else write_shard_list(store, manifests)
    layers = read_layers(store, measured)
    assets = count_assets(store, manifests)
    sheets = _draw_sheets(store, layers, config.scenes.seed)
    release = Release(
        profile=profile_name,
        config=config,
        data_version=version,
        fingerprint=next(iter(manifests.values())).fingerprint,
        shards=tuple(manifests),
        statistics=measure(manifests, layers, tallies, assets),
        assets=assets,
        sheets=tuple(name for name in sheets if name != "preview"),
        compared=compared,
        beyond=more,
    )
    files = _files(release, index, layers, sheets)
    _replace(store, files)
    hashes = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()} | {index.path: index.sha256}
    report = DatasetReport(version, release.fingerprint, release.statistics, hashes, files[PREVIEW], made=True)
    _write_summary(store, asked, report)
    return report


def _files(release: Release, index: FileFacts, layers: pd.DataFrame, sheets: Mapping[str, bytes]) -> dict[str, bytes]:
    """All files but the index, by path in the store."""
    # matplotlib is slow to import, and mostly everything is up to date.
    from pipelines.dataset.figures import draw_figures

    facts = (release.name, release.description, release.data_version, release.statistics)
    figures = draw_figures(release.statistics, layers, release.config.scenes)
    named = {f"sheets/{name}.jpg": data for name, data in sheets.items()}
    named |= {f"figures/{name}": data for name, data in figures.items()}
    named["attributions.csv"] = attributions_csv(release.assets)
    named["croissant.json"] = croissant_json(*facts, index)
    named["README.md"] = card_markdown(release)
    return {f"{FOLDER}/{name}": data for name, data in named.items()}


def _replace(store: Store, files: Mapping[str, bytes]) -> None:
    """Write the files, and remove pictures of an earlier build that this one lacks."""
    for path, data in files.items():
        store.write(path, data)
    for folder in (f"{FOLDER}/sheets", f"{FOLDER}/figures"):
        store.remove_leftovers(folder)
        for name in store.names(folder):
            if f"{folder}/{name}" not in files:
                store.remove(f"{folder}/{name}")


def _draw_sheets(store: Store, layers: pd.DataFrame, seed: int) -> dict[str, bytes]:
    """The contact sheets that are not empty, by name, and the preview of the random one."""
    picks = {name: found for name, found in samples.choose(layers, seed).items() if found}
    sheets = {name: samples.sheet(store, found) for name, found in picks.items()}
    return sheets | {"preview": samples.preview(store, picks["random"])}


def _write_summary(store: Store, asked: str, report: DatasetReport) -> None:
    summary = {
        "asked": asked,
        "data_version": report.data_version,
        "fingerprint": report.fingerprint,
        "statistics": asdict(report.statistics),
        "files": dict(sorted(report.files.items())),
    }
    store.write(SUMMARY, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode())


def _read_current(store: Store, asked: str) -> DatasetReport | None:
    """The report of an existing folder, if it is complete and up to date; else None."""
    if not store.exists(SUMMARY):
        return None
    summary = store.read_json(SUMMARY)
    if summary["asked"] != asked or not all(store.exists(path) for path in summary["files"]):
        return None
    statistics = Statistics.from_dict(summary["statistics"])
    return DatasetReport(
        *(summary["data_version"], summary["fingerprint"], statistics, summary["files"]),
        preview=store.read(PREVIEW),
        made=False,
    )
