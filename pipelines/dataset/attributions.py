"""`dataset/attributions.csv`: every asset that the dataset shows, its licence, whom to name, and how often."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.dataset.index import shard_tables
from pipelines.stages.manifest import Manifest
from pipelines.stages.store import Store

COLUMNS = ("id", "role", "source", "licence", "attribution", "sha256", "num_scenes")
_ROLES = {"foreground": "foreground_", "background": "background_"}


@dataclass(frozen=True, order=True)
class Asset:
    """One picture in use; `role` is `foreground` or `background`."""

    role: str
    source: str
    id: str
    licence: str
    attribution: str
    sha256: str


def count_assets(store: Store, manifests: Mapping[str, Manifest]) -> dict[Asset, int]:
    """Asset -> number of scenes that show it, by role, source and id."""
    total: Counter[Asset] = Counter()
    parts = ("source", "id", "licence", "attribution", "sha256")
    columns = ["key", *(prefix + part for prefix in _ROLES.values() for part in parts)]
    for table in shard_tables(store, manifests, columns):
        seen: set[tuple[Any, Asset]] = set()
        for row in table.to_pylist():
            seen |= {
                (row["key"], Asset(role, *(row[prefix + part] for part in parts))) for role, prefix in _ROLES.items()
            }
        total.update(asset for _, asset in seen)
    return dict(sorted(total.items()))


def attributions_csv(assets: Mapping[Asset, int]) -> bytes:
    """The table as CSV (UTF-8, one line an asset)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for asset, num in assets.items():
        writer.writerow([getattr(asset, column) for column in COLUMNS[:-1]] + [num])
    return text.getvalue().encode()
