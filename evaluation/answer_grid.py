"""The answer in pictures: a few scenes, each as given, filled by the best simple method, as made, and as it truly is.

Every tile holds the judged picture's own pixels. None is ever reduced; a large picture is cut to what lies around its
target, and small ones are enlarged by whole factors, each pixel a square.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from decoupage.images.contact_sheet import FONT_PX, GAP_PX, INK, PAPER, outlined, over_checkerboard
from decoupage.images.types import Array, Mask, Rgb
from evaluation.gallery import Example
from evaluation.method import Layers

MAX_TILE_PX = 320
"""Side of the window that is cut from a larger picture."""
MIN_TILE_PX = 150
"""Tiles are enlarged by the largest whole factor with which they are no larger than this."""
LINE_PX = 16
NOTHING = 225
"""Gray where there is no picture."""


@dataclass(frozen=True)
class Grid:
    """The finished picture, and what it shows in words."""

    pixels: Rgb
    words: str

    @property
    def png(self) -> bytes:
        """Its file."""
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


Heads = tuple[str, str]
"""The two lines above a column."""


def answer_grid(examples: Sequence[Example], method: str, rival: str | None) -> Grid:
    """A row for each example of the answer; columns that no row has are left out.

    Args:
        method: whose pictures are judged.
        rival: the best simple method.
    """
    shown = [example for example in examples if example.why_answer]
    side = max((min(MAX_TILE_PX, max(example.case.size)) for example in shown), default=MAX_TILE_PX)
    factor = max(1, MIN_TILE_PX // side)
    rows = [_tiles(example, method, rival, factor) for example in shown]
    heads = list(dict.fromkeys(head for row in rows for head in row))
    heads = [head for head in _columns(method, rival) if head in heads]
    grid = _drawn(heads, rows, [_caption(example, method, rival) for example in shown], side * factor)
    known = f"filled by {rival}, the best simple method, and " if rival not in (None, method) else ""
    size = f"enlarged {factor} times" if factor > 1 else "at their own size"
    words = (
        f"Scenes spread over the list, the median and the worst case by the background of {method}, {size}: as given, "
        f"{known}as made by {method}, beside the truth. PSNR is that of the background where the target shows."
    )
    return Grid(grid, words)


def window_around(mask: Mask, side_px: int) -> tuple[slice, slice]:
    """Rows and columns of a window that is at most this large, and has the mask's middle as near as may be to its own.

    A picture that is no larger is its own window.
    """
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    spans = []
    for length, middle in zip(mask.shape, (top + height // 2, left + width // 2), strict=True):
        start = min(max(0, middle - side_px // 2), max(0, length - side_px))
        spans.append(slice(start, min(length, start + side_px)))
    return spans[0], spans[1]


def _columns(method: str, rival: str | None) -> list[Heads]:
    others = [(rival, "background")] if rival is not None and rival != method else []
    made = [(method, "background"), ("truth", "background"), (method, "foreground"), ("truth", "foreground")]
    return [("given", "picture and mask"), *others, *made]


def _tiles(example: Example, method: str, rival: str | None, factor: int) -> dict[Heads, Rgb]:
    case = example.case
    found: dict[Heads, Array | None] = {
        ("truth", "background"): case.background,
        ("truth", "foreground"): case.foreground,
    }
    for name in dict.fromkeys((rival, method)):
        made = example.answers.get(name) if name is not None else None
        if name is not None and isinstance(made, Layers):
            found |= {(name, "background"): made.background, (name, "foreground"): made.foreground}
    window = window_around(case.visible if case.visible.any() else case.mask, MAX_TILE_PX)
    given = outlined(_enlarged(case.composite[window], factor), _enlarged(case.mask[window], factor))
    tiles = {("given", "picture and mask"): given}
    for head, picture in found.items():
        if picture is not None:
            part = _enlarged(picture[window], factor)
            tiles[head] = over_checkerboard(part) if part.shape[2] == 4 else part
    return tiles


def _enlarged(picture: Array, factor: int) -> Array:
    """Each pixel as a square."""
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))


def _caption(example: Example, method: str, rival: str | None) -> str:
    found = [(method, example.psnr_mask_db), *([(rival, example.rival_db)] if rival != method else [])]
    scores = ", ".join(f"{name} {value:.1f} dB" for name, value in found if name is not None and value is not None)
    return f"{example.case.name} ({example.why_answer})" + (f": {scores}" if scores else "")


def _drawn(heads: Sequence[Heads], rows: Sequence[dict[Heads, Rgb]], captions: Sequence[str], side_px: int) -> Rgb:
    heights = [max(tile.shape[0] for tile in row.values()) for row in rows]
    across, top = side_px + GAP_PX, GAP_PX + 2 * LINE_PX + GAP_PX
    size = (GAP_PX + across * len(heads), top + sum(height + LINE_PX + 2 * GAP_PX for height in heights))
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for column, head in enumerate(heads):
        for line, text in enumerate(head):
            pen.text((GAP_PX + column * across, GAP_PX + line * LINE_PX), text, INK, font)
    for row, caption, height in zip(rows, captions, heights, strict=True):
        pen.text((GAP_PX, top), caption, INK, font)
        top += LINE_PX
        for column, head in enumerate(heads):
            tile = row.get(head)
            place = (GAP_PX + column * across, top)
            if tile is None:
                pen.rectangle((*place, place[0] + side_px - 1, top + height - 1), (NOTHING,) * 3)
                pen.text((place[0] + GAP_PX, top + GAP_PX), "no output", INK, font)
            else:
                sheet.paste(Image.fromarray(tile), place)
        top += height + 2 * GAP_PX
    return np.asarray(sheet)
