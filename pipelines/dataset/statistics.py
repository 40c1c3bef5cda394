"""The dataset in numbers: distributions over scenes and layers, rejected draws, drops, licences.

`figures.py` draws the numbers, `card.py` puts them in words.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from pipelines.dataset.index import Asset, shard_tables
from pipelines.dataset.uses import Uses, count_library, measure_uses
from pipelines.licences.terms import split_expression
from pipelines.scenes.sharpness import log2_ratio
from pipelines.stages.manifest import Manifest, read_manifests
from pipelines.stages.store import Store

REJECTED = "rejected."
"""Prefix of the scenes stage's counts of rejected draws."""
Counts = dict[str, int]
COLUMNS = (
    *("key", "layer", "num_layers", "difficulty", "size_class", "amodal_area_px", "occluded_fraction"),
    *("occlusion_level", "border_contact", "semi_transparent", "foreground_source", "foreground_kind"),
    *("completeness", "category", "foreground_licence", "mask_error", "mask_iou", "mask_area_ratio"),
    *("background_source", "background_licence", "attempt"),
    *("scale", "background_enlargement", "sharpness", "sharpness_around"),
)
"""Columns that the statistics, the figures and the choice of samples read; long texts and lists stay on disk."""
_TEXT = pd.ArrowDtype(pa.string())
REPEATED = {"shard", *COLUMNS} - {"key"}
"""Text columns with few different values; the key has one per scene."""


@dataclass(frozen=True)
class Tallies:
    """Counts of what the shards do not show, most frequent first.

    Attributes:
        rejected_draws: reason -> number of draws of scenes that were rejected and drawn again.
        drops: stage -> reason -> number of items that were left out.
        library: role and source -> number of assets for training.
    """

    rejected_draws: Counts
    drops: dict[str, Counts]
    library: Counts


def read_tallies(store: Store, shards: Iterable[str]) -> Tallies:
    """Sum the counts in the scenes' manifests, and count the lines of the quarantine files and the library's assets."""
    rejected: Counter[str] = Counter()
    for scenes in read_manifests(store, "scenes", list(shards)):
        counts = scenes.counts if scenes else {}
        rejected.update({name.removeprefix(REJECTED): n for name, n in counts.items() if name.startswith(REJECTED)})
    drops = {}
    for name in store.names("quarantine", ".jsonl"):
        path = f"quarantine/{name}"
        lines = enumerate(store.read(path).splitlines(), 1)
        reasons = Counter(_reason(line, f"{store.url(path)}, line {number}") for number, line in lines if line)
        if reasons:
            drops[name.removesuffix(".jsonl")] = _ranked(reasons)
    return Tallies(_ranked(rejected), drops, count_library(store))


def _reason(line: bytes, where: str) -> str:
    drop = parse_json(line, where)
    if not isinstance(drop, dict) or "reason" not in drop:
        raise BadSetup(f"{where} is not a drop; remove the file, and the next run of its stage writes it")
    return str(drop["reason"])


def _ranked(counts: Counter[str]) -> Counts:
    return dict(sorted(((name, n) for name, n in counts.items() if n), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class Spread:
    """Mean and quantiles of a measure over one group of layers."""

    num_layers: int
    mean: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float


@dataclass(frozen=True)
class Statistics:
    """Distributions of a dataset. Counts are of layers unless the name says scenes.

    Attributes:
        num_scenes, num_layers, num_shards, num_bytes: of the whole dataset; `num_bytes` is the size of the tars.
        num_measured: layers that were measured, those of every n-th shard where there are very many. All counts and
            distributions but `rejected_draws`, `drops`, `uses` and `licences` are of these layers and their scenes.
        scenes_by_num_layers, scenes_by_difficulty, scenes_by_background_source: number of scenes.
        occlusion: measured occluded fraction, by drawn level.
        mask_iou: IoU of the imperfect and the true visible mask, by kind of error.
        mask_area_ratio: area of the imperfect / area of the true visible mask, by kind of error, and of `all`.
        resolution: by name as in `pipelines.scenes.sharpness.resolution_of`; of backgrounds the scenes are counted.
        border_contact_share, semi_transparent_share: shares of layers, 0..1.
        rejected_draws: reason -> number of draws of scenes that were rejected and drawn again.
        drops: stage -> reason -> number of items that were left out.
        uses: role and source of assets -> how evenly they are shown.
        licences: licence -> {"foregrounds", "backgrounds"}: numbers of layers and of scenes under it; a layer under
            two licences at once counts under each.
    """

    num_scenes: int
    num_layers: int
    num_shards: int
    num_bytes: int
    num_measured: int
    scenes_by_num_layers: Counts
    scenes_by_difficulty: Counts
    scenes_by_background_source: Counts
    size_classes: Counts
    foreground_kinds: Counts
    foreground_sources: Counts
    completeness: Counts
    categories: Counts
    occlusion: dict[str, Spread]
    mask_iou: dict[str, Spread]
    mask_area_ratio: dict[str, Spread]
    resolution: dict[str, Spread]
    border_contact_share: float
    semi_transparent_share: float
    mean_attempts: float
    rejected_draws: Counts
    drops: dict[str, Counts]
    uses: dict[str, Uses]
    licences: dict[str, Counts]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Statistics":
        """The inverse of `asdict`."""
        spreads = {
            name: {level: Spread(**spread) for level, spread in values[name].items()}
            for name in ("occlusion", "mask_iou", "mask_area_ratio", "resolution")
        }
        uses = {name: Uses(**counts) for name, counts in values["uses"].items()}
        return cls(**{**values, **spreads, "uses": uses})


def num_layers(spreads: Mapping[str, Spread]) -> Counts:
    """Group -> number of layers in it."""
    return {group: spread.num_layers for group, spread in spreads.items()}


def read_layers(store: Store, manifests: Mapping[str, Manifest]) -> pd.DataFrame:
    """A table with one row per layer and the columns `COLUMNS`, repeated texts as categories; 130 bytes per row."""
    tables = [_with_categories(table) for table in shard_tables(store, manifests, COLUMNS)]
    whole = pa.concat_tables(tables).unify_dictionaries()
    del tables
    # Only the keys are texts still; as Python's own they would take most of the memory.
    return whole.to_pandas(split_blocks=True, self_destruct=True, types_mapper={pa.string(): _TEXT}.get)


def _with_categories(table: pa.Table) -> pa.Table:
    columns = [
        column.dictionary_encode() if name in REPEATED and pa.types.is_string(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def measure(
    manifests: Mapping[str, Manifest], layers: pd.DataFrame, tallies: Tallies, assets: Mapping[Asset, int]
) -> Statistics:
    """Compute the statistics of a dataset.

    Args:
        manifests: manifests of the finished shards.
        layers: the table of `read_layers`, of all these shards or some.
        tallies: the counts of `read_tallies`.
        assets: the counts of `index.count_assets`.
    """
    scenes = layers[layers["layer"] == 0]
    return Statistics(
        num_scenes=sum(manifest.num_items for manifest in manifests.values()),
        num_layers=sum(manifest.num_rows for manifest in manifests.values()),
        num_shards=len(manifests),
        num_bytes=sum(manifest.num_bytes for manifest in manifests.values()),
        num_measured=len(layers),
        scenes_by_num_layers=_counts(scenes["num_layers"], ("1", "2", "3")),
        scenes_by_difficulty=_counts(scenes["difficulty"], ("easy", "medium", "hard")),
        scenes_by_background_source=_counts(scenes["background_source"]),
        size_classes=_counts(layers["size_class"], ("small", "medium", "large")),
        foreground_kinds=_counts(layers["foreground_kind"]),
        foreground_sources=_counts(layers["foreground_source"]),
        completeness=_counts(layers["completeness"]),
        categories=_counts(layers["category"]),
        occlusion=_spreads(layers, "occlusion_level", "occluded_fraction", ("none", "light", "medium", "heavy")),
        mask_iou=_spreads(layers, "mask_error", "mask_iou"),
        mask_area_ratio=_spreads(layers, "mask_error", "mask_area_ratio") | {"all": _spread(layers["mask_area_ratio"])},
        resolution={name: _spread(values) for name, values in _resolution(layers).items() if len(values)},
        border_contact_share=_share(layers["border_contact"]),
        semi_transparent_share=_share(layers["semi_transparent"]),
        mean_attempts=_rounded(scenes["attempt"].mean() + 1) if len(scenes) else 0.0,
        rejected_draws=tallies.rejected_draws,
        drops=tallies.drops,
        uses=measure_uses(assets, tallies.library),
        licences=_licences(assets),
    )


def _counts(column: "pd.Series[Any]", order: Sequence[str] = ()) -> Counts:
    """Value -> number of rows, in the given order where there is one, then the most frequent first."""
    found = Counter({str(value) or "(none)": int(number) for value, number in column.value_counts().items() if number})
    ranked = sorted(found, key=lambda value: (-found[value], value))
    named = [value for value in order if value in found]
    return {value: found[value] for value in (*named, *(value for value in ranked if value not in named))}


def _spreads(layers: pd.DataFrame, group: str, measure_: str, order: Sequence[str] = ()) -> dict[str, Spread]:
    spreads = {}
    for name in _counts(layers[group], order):
        spreads[name] = _spread(layers.loc[layers[group] == name, measure_])
    return spreads


def _spread(measured: Any) -> Spread:
    values = np.asarray(measured, np.float64)
    quantiles = (_rounded(q) for q in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
    return Spread(len(values), _rounded(values.mean()), *quantiles)


def _resolution(layers: pd.DataFrame) -> dict[str, Any]:
    """As `pipelines.scenes.sharpness.resolution_of`, by columns."""
    measured = layers[["sharpness", "sharpness_around"]].dropna()
    pairs = zip(measured["sharpness"].to_numpy(), measured["sharpness_around"].to_numpy(), strict=True)
    return {
        "cutout_enlargement": layers["scale"],
        "background_enlargement": layers.loc[layers["layer"] == 0, "background_enlargement"],
        "sharpness_log2_ratio": np.fromiter((log2_ratio(*pair) for pair in pairs), np.float64, len(measured)),
    }


def _licences(assets: Mapping[Asset, int]) -> dict[str, Counts]:
    """Of all layers and scenes, also where some are measured: a card may not lack a licence."""
    counts: dict[str, Counter[str]] = {"foreground": Counter(), "background": Counter()}
    for asset, num_scenes in assets.items():
        # A cutout of MULAN is under two licences at once, and counts under each.
        for licence in split_expression(str(asset.licence)):
            counts[asset.role][licence or "(none)"] += num_scenes
    names = sorted({*counts["foreground"], *counts["background"]})
    return {name: {f"{role}s": counts[role][name] for role in counts} for name in names}


def _share(column: "pd.Series[Any]") -> float:
    return _rounded(column.mean()) if len(column) else 0.0


def _rounded(value: Any) -> float:
    return round(float(value), 4)
