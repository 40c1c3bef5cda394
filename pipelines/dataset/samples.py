"""The contact sheets: the choice of scenes, and the pictures in each row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from decoupage.faults import BadSetup
from decoupage.images.contact_sheet import Tile, contact_sheet
from decoupage.images.sizes import resize_labels
from decoupage.maps.table import MAPS, decode_maps
from decoupage.randomness import generator
from pipelines.dataset.index import STAGE
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import read_members
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store

NUM_ROWS = 8
TILE_PX = 224
PREVIEW_KB = 25
PREVIEW_ROWS = 2
PREVIEW_COLUMNS = ("scene", "given mask", "foreground", "background")
PREVIEW_TILE_PX = 160
"""The preview has few rows and no maps, so that its tiles are large enough within the bound."""


@dataclass(frozen=True)
class Pick:
    """One row of a sheet: a target in a scene."""

    shard: str
    key: str
    layer: int


def choose(layers: pd.DataFrame, seed: int, num: int = NUM_ROWS) -> dict[str, list[Pick]]:
    """The rows of each sheet, at most one per scene.

    Args:
        layers: the table of `statistics.read_layers`.
        seed: seed of the scenes' recipe; the random sheet is the same for the same data.
        num: number of rows of each sheet.

    Returns:
        `random`, `most_occluded` and `worst_masks`; a dataset without hidden layers has an empty second list.
    """
    order = generator(seed, "samples", "random").permutation(len(layers))
    hidden = layers[layers["occluded_fraction"] > 0.0]
    return {
        "random": _picks(layers.iloc[order], num),
        "most_occluded": _picks(hidden.sort_values(["occluded_fraction", "key"], ascending=[False, True]), num),
        "worst_masks": _picks(layers.sort_values(["mask_iou", "key"]), num),
    }


def sheet(store: Store, picks: Sequence[Pick]) -> bytes:
    """The full-size contact sheet of some picks, one row each, as JPEG.

    Raises:
        BadSetup: a shard is damaged. ValueError: no picks.
    """
    rows = [row(store, pick) for pick in picks]
    return contact_sheet([tile for tiles in rows for tile in tiles], max(map(len, rows), default=1), TILE_PX, None)


def preview(store: Store, picks: Sequence[Pick]) -> bytes:
    """A small sheet of the first picks that fits Dagster's metadata: at most 25 kB of JPEG. Raises as `sheet`."""
    rows = [row(store, pick) for pick in picks[:PREVIEW_ROWS]]
    # Small tiles have no room for long captions.
    tiles = [replace(tile, caption=name) for row_ in rows for tile, name in zip(row_, PREVIEW_COLUMNS, strict=False)]
    return contact_sheet(tiles, len(PREVIEW_COLUMNS), PREVIEW_TILE_PX, PREVIEW_KB)


def row(store: Store, pick: Pick) -> list[Tile]:
    """The row of one target: scene, given mask, foreground, background, and the three maps."""
    manifest = read_manifest(store, STAGE, pick.shard)
    if manifest is None:
        raise BadSetup(f"{store.url(f'{STAGE}/{pick.shard}')}.json was removed while it was read; run again")
    members = read_members(store, manifest, pick.key)
    parts = SceneParts.decode(pick.key, members)
    record = parts.record["layers"][pick.layer]
    category = record["foreground"]["category"] or "foreground"
    tiles = [
        Tile(parts.composite, f"scene {pick.key}, layers: {len(parts.layers)}"),
        Tile(
            parts.composite,
            f"layer {pick.layer}: mask {record['mask_error']}, IoU {record['mask_iou']:.2f}",
            parts.imperfect_masks[pick.layer],
        ),
        Tile(parts.foreground(pick.layer), f"{category}, {record['occluded_fraction']:.0%} hidden"),
        Tile(parts.flatten(without=pick.layer), "background without it"),
    ]
    maps = decode_maps(members)
    return tiles + [Tile(MAPS[name].show(resize_labels(stored, parts.size)), name) for name, stored in maps.items()]


def _picks(ranked: pd.DataFrame, num: int) -> list[Pick]:
    first = ranked.drop_duplicates("key").head(num)
    columns = (first["shard"].astype(str), first["key"].astype(str), first["layer"].to_numpy().tolist())
    return [Pick(shard, key, layer) for shard, key, layer in zip(*columns, strict=True)]
