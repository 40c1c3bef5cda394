"""Contact sheets of the library: what a person looks at before scenes are made of it."""

from collections.abc import Sequence
from itertools import zip_longest

from pipelines.images.contact_sheet import Tile, contact_sheet
from pipelines.library.records import BackgroundRecord, ForegroundRecord
from pipelines.randomness import hash64
from pipelines.scenes.assets import Assets
from pipelines.store import Store

COLUMNS = 8
PREVIEWED = 24
"""Tiles of the small copy; the file shows all."""


def foreground_tiles(assets: Assets, records: Sequence[ForegroundRecord], num: int) -> list[Tile]:
    """Cutouts over a checkerboard, real and generated in turns, each kind in a stable random order."""
    shuffled = sorted(records, key=lambda record: hash64("preview", record.id))
    kinds = [[record for record in shuffled if record.kind == kind] for kind in ("real", "generated")]
    chosen = [record for pair in zip_longest(*kinds) for record in pair if record is not None][:num]
    return [Tile(assets.cutout(record), record.prompt or f"{record.category} ({record.origin})") for record in chosen]


def background_tiles(assets: Assets, records: Sequence[BackgroundRecord], num: int) -> list[Tile]:
    """Photographs, upright, in a stable random order."""
    chosen = sorted(records, key=lambda record: hash64("preview", record.id))[:num]
    return [Tile(assets.photograph(record), record.id.removeprefix(f"{record.source}-")) for record in chosen]


def write_sheet(store: Store, name: str, tiles: Sequence[Tile], tile_px: int = 160) -> bytes:
    """Write `library/<name>.jpg` at full size; returns a copy small enough for metadata (at most 25 kB)."""
    columns = min(COLUMNS, len(tiles))
    store.write(f"library/{name}.jpg", contact_sheet(tiles, columns, tile_px, max_kb=None))
    return contact_sheet(tiles[:PREVIEWED], columns, tile_px)

