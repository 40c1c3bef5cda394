"""The results of an evaluation by case: the methods' pictures, their scores, the shards' facts on the target."""

import io
from typing import Any

import pandas as pd

from evaluation.commands import HELD_OUT, REPORT
from evaluation.fiftyone.cases import Scores
from evaluation.records.method import MethodRecord
from evaluation.records.room import read_method, room_of
from evaluation.report import REPORT as FILE
from evaluation.results import read_result
from evaluation.run import SCORES
from pipelines.stages.store import Store

_FIGURES = ("psnr", "ssim", "soft_iou", "alpha_mse")
"""Metrics that are shown as fields, in all their regions; the report has the others."""
_FACTS = {
    "foreground_id": "asset",
    "background_id": "background_asset",
    **{f"foreground_{name}": name for name in ("source", "licence", "attribution")},
    **{name: name for name in ("category", "prompt", "mask_iou", "difficulty", "num_layers", "border_contact")},
    "semi_transparent": "semi_transparent",
}
"""Column of a shard's index -> field."""


def shown_records(store: Store) -> list[MethodRecord]:
    """The outputs of the last report's methods on the held-out list; none if there is no report.

    Raises:
        BadSetup: the report or a record is damaged.
    """
    if not store.exists(f"{REPORT}/{FILE}"):
        return []
    room = room_of(store, HELD_OUT)
    return [read_method(room, name) for name in read_result(store, f"{REPORT}/{FILE}", "methods")["methods"]]


def case_scores(store: Store) -> dict[str, Scores]:
    """Scores by case, from the last report; empty where there is none."""
    path = f"{REPORT}/{SCORES}"
    if not store.exists(path):
        return {}
    table = pd.read_csv(io.BytesIO(store.read(path)), dtype={"image": str, "method": str})
    columns = [name for name in table.columns if name.partition(".")[2].startswith(_FIGURES)]
    found: dict[str, dict[str, dict[str, float | bool | None]]] = {}
    for row in table.to_dict("records"):
        figures = {name.replace(".", "_"): None if pd.isna(row[name]) else float(row[name]) for name in columns}
        found.setdefault(row["image"], {})[row["method"]] = {"failed": bool(row["failed"]), **figures}
    return dict(found)


def case_facts(store: Store, folder: str) -> dict[str, dict[str, Any]]:
    """Facts on each case's target, from the index of its shard, by case."""
    found: dict[str, dict[str, Any]] = {}
    paths = [f"{folder}/{name}" for name in store.names(folder, ".parquet")]
    for table in store.read_tables(paths, ["key", "layer", *_FACTS]):
        for row in table.to_pylist():
            facts = {ours: row[theirs] for theirs, ours in _FACTS.items()}
            found[f"{row['key']}-{row['layer']}"] = facts
    return found
