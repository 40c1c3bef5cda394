"""Contact sheets: small pictures in rows, for people to look at. What the pictures show is the caller's business.

Transparent pixels lie over a checkerboard; a mask is drawn as an outline with a light tint.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling

from decoupage.images.alpha import blend
from decoupage.images.types import Array, Mask, Rgb, Rgba

PAPER = (250, 250, 250)
INK = (45, 45, 45)
OUTLINE = (255, 40, 120)
"""A pink that is rare in photographs."""
TINT_SHARE = 0.22
SQUARE_PX = 10
GAP_PX = 6
FONT_PX = 12
CAPTION_PX = 18
QUALITIES = (88, 78, 66, 54, 44)
SHRINK = 0.85
MIN_TILE_PX = 48
LEGIBLE_PX = 112
"""Side of a tile in which a person still sees what is what."""


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        picture: uint8 [H, W], [H, W, 3] or [H, W, 4] (straight alpha).
        caption: one line below it; cut where the tile ends.
        mask: [H, W], drawn over the picture when given.
    """

    picture: Array
    caption: str = ""
    mask: Mask | None = None


def contact_sheet(tiles: Sequence[Tile], columns: int, tile_px: int, max_kb: int | None = 25) -> bytes:
    """A JPEG of all tiles, row by row.

    Args:
        columns: tiles in a row.
        tile_px: side of the square that each picture is fitted into, pixels.
        max_kb: upper bound in units of 1000 bytes, met by lowering quality, then tile size (25 suits a preview
            inside Dagster metadata); None = full size at good quality, for a file.

    Raises:
        ValueError: there are no tiles, a picture has another layout, or the bound cannot be met.
    """
    if max_kb is None:
        return _jpeg(draw_sheet(tiles, columns, tile_px), quality=92)
    found = _bounded(tiles, columns, tile_px, MIN_TILE_PX, max_kb)
    if found is None:
        raise ValueError(f"{len(tiles)} tiles of at least {MIN_TILE_PX} px do not fit {max_kb} kB; show fewer")
    return found


def legible_sheet(tiles: Sequence[Tile], columns: int, tile_px: int, max_kb: int = 25) -> bytes:
    """As `contact_sheet`, but rows are left out from the end before tiles become smaller than `LEGIBLE_PX`."""
    for num_rows in range(-(-len(tiles) // max(1, columns)), 1, -1):
        found = _bounded(tiles[: num_rows * columns], columns, tile_px, LEGIBLE_PX, max_kb)
        if found is not None:
            return found
    return contact_sheet(tiles[:columns], columns, tile_px, max_kb)


def legible_rows(sheet: Rgb, width_px: int, max_kb: int = 25) -> bytes:
    """A JPEG of the first rows of a finished sheet: as many as fit at this width, or down to a fifth less.

    Args:
        sheet: as `draw_sheet` gives it.
        width_px: pixels; a narrower sheet keeps its width.
        max_kb: upper bound in units of 1000 bytes.

    Raises:
        ValueError: not even one row fits.
    """
    full = Image.fromarray(sheet)
    widths = list(dict.fromkeys(min(full.width, int(width_px * part)) for part in (1.0, 0.9, 0.8)))
    for bottom in reversed(_row_ends(sheet)):
        for width in widths:
            part = full.crop((0, 0, full.width, bottom))
            small = part.resize((width, max(1, round(bottom * width / full.width))), Resampling.BOX)
            found = _best_jpeg(np.asarray(small), max_kb)
            if found is not None:
                return found
    raise ValueError(f"not even one row of {full.width} px fits {max_kb} kB")


def _row_ends(sheet: Rgb) -> list[int]:
    """Where the gaps below rows end; the sheet's height is the last one."""
    blank = (sheet == PAPER).all(axis=(1, 2))
    ends = [y for y in range(GAP_PX + 1, len(blank)) if blank[y - GAP_PX : y].all() and not blank[y]]
    return [*ends, len(sheet)]


def _bounded(tiles: Sequence[Tile], columns: int, tile_px: int, min_px: int, max_kb: int) -> bytes | None:
    """A sheet within a bound, its tiles as large as that allows; None = they would be smaller than `min_px`."""
    side_px = tile_px
    while side_px >= min(tile_px, min_px):
        found = _best_jpeg(draw_sheet(tiles, columns, side_px), max_kb)
        if found is not None:
            return found
        side_px = int(side_px * SHRINK)
    return None


def _best_jpeg(sheet: Rgb, max_kb: int) -> bytes | None:
    """At the best quality that keeps the bound; None = none does."""
    if len(_jpeg(sheet, QUALITIES[-1])) > max_kb * 1000:
        return None
    return next(data for quality in QUALITIES if len(data := _jpeg(sheet, quality)) <= max_kb * 1000)


def draw_sheet(tiles: Sequence[Tile], columns: int, tile_px: int) -> Rgb:
    """The sheet as pixels. Arguments and errors as `contact_sheet`."""
    if not tiles or columns < 1 or tile_px < 1:
        raise ValueError(f"a sheet needs tiles, columns and tile_px, got {len(tiles)}, {columns}, {tile_px}")
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    caption_px = CAPTION_PX if any(tile.caption for tile in tiles) else 0
    across, down = tile_px + GAP_PX, tile_px + caption_px + GAP_PX
    sheet = Image.new("RGB", (columns * across + GAP_PX, rows * down + GAP_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_PX)
    for i, tile in enumerate(tiles):
        left, top = GAP_PX + i % columns * across, GAP_PX + i // columns * down
        picture = Image.fromarray(_fitted(tile, tile_px))
        sheet.paste(picture, (left + (tile_px - picture.width) // 2, top + (tile_px - picture.height) // 2))
        pen.text((left, top + tile_px + 2), _cut(tile.caption, tile_px, font), INK, font)
    return np.asarray(sheet)


def checkerboard(height_px: int, width_px: int, square_px: int = SQUARE_PX) -> Rgb:
    """[H, W, 3]: light gray squares, the usual sign for transparency."""
    y, x = np.mgrid[:height_px, :width_px] // square_px
    gray = np.where((x + y) % 2, 205, 240).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def over_checkerboard(rgba: Rgba) -> Rgb:
    """A cutout laid over the checkerboard."""
    return blend(checkerboard(*rgba.shape[:2]), rgba)


def outlined(rgb: Rgb, mask: Mask) -> Rgb:
    """A mask of the same size as a two-pixel outline along its border, tinted inside."""
    inside = mask.astype(np.uint8)
    # The border of the picture ends a mask too, so the outline is closed everywhere.
    core = cv2.erode(inside, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    drawn = rgb.copy()
    tinted = rgb * (1 - TINT_SHARE) + np.array(OUTLINE) * TINT_SHARE
    drawn[mask] = tinted[mask].astype(np.uint8)
    drawn[mask & (core == 0)] = OUTLINE
    return drawn


def _fitted(tile: Tile, tile_px: int) -> Rgb:
    """The picture as RGB, fitted into the tile, with checkerboard and mask drawn at the tile's resolution."""
    layout = tile.picture.shape[2:]
    if tile.picture.dtype != np.uint8 or tile.picture.ndim not in (2, 3) or layout not in ((), (3,), (4,)):
        raise ValueError(
            f"a tile is uint8 [H, W], [H, W, 3] or [H, W, 4], got {tile.picture.dtype} {tile.picture.shape}"
        )
    image = Image.fromarray(tile.picture)
    scale = tile_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Resampling.BOX if scale < 1 else Resampling.BICUBIC)
    pixels = np.asarray(image)
    if image.mode == "RGBA":
        pixels = over_checkerboard(pixels)
    elif image.mode == "L":
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if tile.mask is None:
        return pixels
    mask = Image.fromarray(tile.mask.astype(np.uint8) * 255).resize(size, Resampling.BOX)
    return outlined(pixels, np.asarray(mask) > 127)


def _cut(text: str, width_px: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "...") > width_px:
        text = text[:-1]
    return text.rstrip() + "..."


def _jpeg(sheet: Rgb, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()
