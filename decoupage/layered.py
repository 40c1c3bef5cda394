"""Layered files for editors: Photoshop (PSD, through psd-tools) and OpenRaster (ORA: Krita, GIMP, MyPaint).

A document is the background, named `background`, under any number of RGBA layers, each cropped to the box of what
is visible in it. Layers and names go front to back, as everywhere in this package. Both formats also hold the
merged picture. OpenRaster has no library that is still kept, and is a zip: https://www.openraster.org/baseline/.
Photoshop's format: https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/.
"""

import io
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from decoupage.images.blending import alpha_box, levels, recompose

BACKGROUND = "background"
"""Name of the lowest layer."""
_PSD_MAX_PX = 30_000
_PSD_MAX_NAME = 255
_THUMBNAIL_PX = 256
# A zip member's time: the format's first moment, so that the same layers give the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Placed(NamedTuple):
    """A layer cut to its box."""

    name: str
    left_px: int
    top_px: int
    pixels: np.ndarray
    """uint8 [h, w, 4], or [h, w, 3] for the background."""


def write_psd(path: str | os.PathLike[str], background: Any, layers: Sequence[Any], names: Sequence[str]) -> None:
    """Write a Photoshop document.

    Args:
        path: the file; it appears whole or not at all.
        background: PIL RGB or uint8 [H, W, 3].
        layers: PIL RGBA or uint8 [H, W, 4], straight alpha, front to back.
        names: one for each layer.

    Raises:
        ValueError: wrong forms or sizes, names that do not match, sides above 30,000 px.
    """
    from psd_tools import PSDImage

    placed, merged = _compose(background, layers, names)
    if max(merged.shape[:2]) > _PSD_MAX_PX:
        raise ValueError(f"PSD takes sides up to {_PSD_MAX_PX} px, got {merged.shape[1]}x{merged.shape[0]} px")
    for layer in placed:
        if len(layer.name) > _PSD_MAX_NAME:
            raise ValueError(f"PSD takes layer names of up to {_PSD_MAX_NAME} characters, got {layer.name!r}")
    document = PSDImage.frompil(Image.fromarray(merged))
    for layer in reversed(placed):
        entry = document.create_pixel_layer_from_array(layer.pixels, top=layer.top_px, left=layer.left_px)
        entry.name = layer.name  # Set afterwards: the argument takes only what the Mac Roman encoding knows.
    write_whole(path, document.save)


def write_ora(path: str | os.PathLike[str], background: Any, layers: Sequence[Any], names: Sequence[str]) -> None:
    """Write an OpenRaster document (version 0.0.3). Arguments and errors as `write_psd`, without its limits."""
    placed, merged = _compose(background, layers, names)
    thumbnail = Image.fromarray(merged)
    thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    height, width = merged.shape[:2]
    image = ET.Element("image", version="0.0.3", w=str(width), h=str(height))
    stack = ET.SubElement(image, "stack")
    members: list[tuple[str, bytes]] = []
    for index, layer in enumerate(placed):
        source = f"data/layer{index}.png"
        place = {"x": str(layer.left_px), "y": str(layer.top_px)}
        ET.SubElement(stack, "layer", place, name=layer.name, src=source)
        members.append((source, _png(Image.fromarray(layer.pixels))))
    xml = ET.tostring(image, encoding="UTF-8", xml_declaration=True)
    members.append(("mergedimage.png", _png(Image.fromarray(merged))))
    members.append(("Thumbnails/thumbnail.png", _png(thumbnail)))

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            # The format is known by its first member, which must be stored as it is.
            for name, data in [("mimetype", b"image/openraster"), ("stack.xml", xml), *members]:
                archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data, zipfile.ZIP_STORED)

    write_whole(path, write)


def write_whole(path: str | os.PathLike[str], write: Callable[[Any], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place: nobody meets half a file."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _compose(background: Any, layers: Sequence[Any], names: Sequence[str]) -> tuple[list[Placed], np.ndarray]:
    """The layers cut to their boxes, front to back with the background last, and the merged picture."""
    if len(layers) != len(names):
        raise ValueError(f"{len(layers)} layers need as many names, got {len(names)}")
    for name in names:
        if not name.isprintable():
            raise ValueError(f"layer names must be printable, got {name!r}")
    merged = recompose(list(layers), background)
    placed = [_cut(levels(layer, 4), name) for layer, name in zip(layers, names, strict=True)]
    return [*placed, Placed(BACKGROUND, 0, 0, levels(background, 3))], merged


def _cut(rgba: np.ndarray, name: str) -> Placed:
    # An invisible layer keeps one invisible pixel: editors do not agree on layers of no size.
    left, top, right, bottom = alpha_box(rgba) or (0, 0, 1, 1)
    return Placed(name, left, top, np.ascontiguousarray(rgba[top:bottom, left:right]))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
