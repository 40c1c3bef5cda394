"""Small pictures of what each stage made: contact sheets that fit the metadata of an event.

What a sheet is lives in `images/contact_sheet.py`; the sheets of the finished dataset in `dataset/samples.py`.
"""

from collections.abc import Callable, Sequence
from itertools import islice, zip_longest

from decoupage.images.contact_sheet import Tile, contact_sheet, legible_sheet
from decoupage.maps.table import MAPS
from decoupage.randomness import hash64
from pipelines.library.assets import Assets
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.pairs.parts import PairParts
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import read_members, scene_keys
from pipelines.shards.upstream import finished
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.run import Planned, Report
from pipelines.stages.store import Store

ManifestTiles = Callable[[Store, Manifest, int], list[Tile]]
"""`scene_tiles`, `mask_tiles` of a stage of scenes, or `map_tiles`."""
COLUMNS = 8
TILE_PX = 160
PREVIEWED, PREVIEW_COLUMNS = 24, 6
"""Tiles of a sheet in metadata, at most."""
SHARD_PREVIEWED, SHARD_COLUMNS, SHARD_KB = 6, 3, 16
"""The same where every shard has one: events keep them forever, and there are thousands of shards."""


def preview(tiles: Sequence[Tile]) -> bytes:
    """A JPEG of at most 25 kB of the first tiles, as many as stay legible."""
    return legible_sheet(tiles[:PREVIEWED], min(PREVIEW_COLUMNS, len(tiles)), TILE_PX)


def shard_preview(store: Store, manifest: Manifest, tiles: ManifestTiles) -> bytes:
    """A JPEG of at most 16 kB of a shard's first tiles, as many as stay legible; the shard has some."""
    chosen = tiles(store, manifest, SHARD_PREVIEWED)
    return legible_sheet(chosen, min(SHARD_COLUMNS, len(chosen)), TILE_PX, SHARD_KB)


def write_sheet(store: Store, path: str, tiles: Sequence[Tile]) -> None:
    """Write a sheet of all tiles at full size."""
    store.write(path, contact_sheet(tiles, min(COLUMNS, len(tiles)), TILE_PX, max_kb=None))


def foreground_tiles(assets: Assets, records: Sequence[ForegroundRecord], num: int = PREVIEWED) -> list[Tile]:
    """Cutouts over a checkerboard, real and generated in turns, each kind in a stable random order."""
    shuffled = sorted(records, key=lambda record: hash64("preview", record.id))
    kinds = [[record for record in shuffled if record.kind == kind] for kind in ("real", "generated")]
    chosen = [record for pair in zip_longest(*kinds) for record in pair if record is not None][:num]
    return [Tile(assets.cutout(record), record.prompt or f"{record.category} ({record.origin})") for record in chosen]


def background_tiles(assets: Assets, records: Sequence[BackgroundRecord], num: int = PREVIEWED) -> list[Tile]:
    """Photographs, upright, in a stable random order."""
    chosen = sorted(records, key=lambda record: hash64("preview", record.id))[:num]
    return [Tile(assets.photograph(record), record.id.removeprefix(f"{record.source}-")) for record in chosen]


def scene_tiles(store: Store, manifest: Manifest, num: int = 12) -> list[Tile]:
    """Composites of a shard's first scenes; where there are masks, each with that of its lowest layer."""
    tiles = []
    for key in islice(scene_keys(manifest), num):
        parts = SceneParts.decode(key, read_members(store, manifest, key))
        tiles.append(Tile(parts.composite, key, next(iter(parts.imperfect_masks), None)))
    return tiles


def pair_tiles(store: Store, report: Report, num: int = PREVIEWED) -> list[Tile]:
    """The first pairs of a report's shards: each with its object, whose mask is drawn, and without it."""
    tiles: list[Tile] = []
    for shard in report.shards:
        manifest = read_manifest(store, report.stage, shard)
        assert manifest is not None, "a report is on finished shards"
        for key in islice(scene_keys(manifest), (num - len(tiles)) // 2):
            parts = PairParts.decode(key, read_members(store, manifest, key))
            name = parts.record["name"]
            tiles += [Tile(parts.composite, name, parts.mask), Tile(parts.background, f"{name}, without")]
    return tiles


def mask_tiles(scenes: Planned, store: Store, manifest: Manifest, num: int = 12) -> list[Tile]:
    """A shard's first imperfect masks, each over the composite that it was drawn for, with its error."""
    tiles: list[Tile] = []
    of_scenes = finished(store, scenes, manifest.shard)
    for key in scene_keys(manifest):
        if len(tiles) >= num:
            break
        parts = SceneParts.decode(key, read_members(store, of_scenes, key) | read_members(store, manifest, key))
        for entry, mask in zip(parts.record["layers"], parts.imperfect_masks, strict=True):
            tiles.append(Tile(parts.composite, f"{entry['mask_error']}, IoU {entry['mask_iou']:.2f}", mask))
    return tiles[:num]


def map_tiles(store: Store, manifest: Manifest, num: int = 12) -> list[Tile]:
    """A shard's first maps of one kind, made visible."""
    kind, members = MAPS[manifest.stage], manifest.members[:num]
    data = [store.read_range(f"{manifest.stage}/{manifest.shard}.tar", m.offset, m.num_bytes) for m in members]
    return [
        Tile(kind.show(kind.decode(png)), member.name.split(".")[0]) for member, png in zip(members, data, strict=True)
    ]
