"""The files of one decomposed picture: layers as PNG, layered files on request, and `layers.json`, which lists them.

Every file appears whole or not at all, and `layers.json` last: where it is, the others are.

Layered files are for editors: Photoshop (PSD, through psd-tools) and OpenRaster (ORA: Krita, GIMP, MyPaint). A document
is the background, named `background`, under any number of RGBA layers, each cropped to the box of what is visible in
it. Layers and names go front to back, as everywhere in this package. Both formats also hold the merged picture.
An object is complete, also where something covers it, so above it lies a layer with the input's own pixels there: the
document looks like the input, and the object can be moved behind what covers it. Hidden, it shows the whole object.
OpenRaster has no library that is still maintained, and is a zip: https://www.openraster.org/baseline/.
Photoshop's format: https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/.
"""

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from decoupage.images.blending import levels, recompose, visible_box

REPORT = "layers.json"
BACKGROUND = "background"
"""Name of the lowest layer."""
IN_FRONT = "in front"
"""Of an object: begins the name of the layer with what covers it."""
_MAX_NAME = 255
_OURS = re.compile(r"(background|recomposition|(foreground|in-front|used-mask)(-\d+)?)\.png|layers\.(json|psd|ora)")
"""Names of all files that are written here."""


@dataclass(frozen=True)
class Layers:
    """A decomposed picture: PIL RGBA `foregrounds`, front to back, over the PIL RGB `background`.

    `in_front` has what covers each of them, PIL RGBA; empty where nothing does. `masks` are those by which they were
    taken off, PIL L. `icc_profile` is the colour profile
    that all of them are in, which every file then carries; None = sRGB, and the files name none.
    """

    background: Image.Image
    foregrounds: Sequence[Image.Image]
    names: Sequence[str]
    recomposition: Image.Image
    in_front: Sequence[Image.Image]
    masks: Sequence[Image.Image]
    icc_profile: bytes | None = None

    def stack(self, files: Sequence[str]) -> list[tuple[str, str, Image.Image]]:
        """(name, file, RGBA), front to back without the background: each object, under what covers it if anything does.

        Args:
            files: names of the objects' files.
        """
        found = []
        for name, file, picture, cover in zip(self.names, files, self.foregrounds, self.in_front, strict=True):
            if cover.getchannel("A").getbbox() is not None:
                found.append((f"{IN_FRONT} of {name}"[:_MAX_NAME], file.replace("foreground", "in-front"), cover))
            found.append((name, file, picture))
        return found


def write_layers(out: Path, layers: Layers, *, psd: bool, ora: bool) -> dict[str, Any]:
    """Write background.png, foreground.png, recomposition.png and, if asked for, layers.psd and layers.ora to a folder.

    Several foregrounds become foreground-1.png, foreground-2.png, ..., front to back; foreground.png then shows all
    of them, flattened. What covers one is in-front.png, or in-front-1.png, ...; where nothing does, there is none. The
    masks by which objects were taken off are used-mask.png, or used-mask-1.png, ...

    Returns:
        The part of `layers.json` that lists the files: `size_px` [width, height]; `layers` front to back, the
        background last, each with `name`, `file` and `box_px` [left, top, right, bottom] of its visible pixels (null:
        there are none); the names of the other `files`.
    """
    profile = layers.icc_profile
    _write_png(out / "background.png", layers.background, profile)
    _write_png(out / "recomposition.png", layers.recomposition, profile)
    files = ["foreground.png"]
    if len(layers.foregrounds) > 1:
        _write_png(out / "foreground.png", flattened(layers.foregrounds), profile)
        files = [f"foreground-{number}.png" for number in range(1, len(layers.foregrounds) + 1)]
    stack = layers.stack(files)
    for _, file, picture in stack:
        _write_png(out / file, picture, profile)
    for file, mask in zip(mask_files(len(layers.masks)), layers.masks, strict=True):
        _write_png(out / file, mask.convert("1"), None)
    others = {"foreground": "foreground.png", "recomposition": "recomposition.png"}
    for wanted, kind, write in ((psd, "psd", write_psd), (ora, "ora", write_ora)):
        if wanted:
            others[kind] = f"layers.{kind}"
            pictures, names = [picture for *_, picture in stack], [name for name, *_ in stack]
            write(out / others[kind], layers.background, pictures, names, profile)
    width, height = layers.background.size
    entries: list[dict[str, Any]] = [
        {"name": name, "file": file, "box_px": visible_box(np.asarray(picture))} for name, file, picture in stack
    ]
    entries.append({"name": BACKGROUND, "file": "background.png", "box_px": (0, 0, width, height)})
    return {"size_px": [width, height], "layers": entries, "files": others}


def mask_files(number: int) -> list[str]:
    """Names of the files with the masks by which so many objects were taken off, front to back."""
    return ["used-mask.png"] if number == 1 else [f"used-mask-{count}.png" for count in range(1, number + 1)]


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write `layers.json`; to be called when all other files are written."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out / REPORT, lambda file: file.write(text.encode()))


def text_of(path: str | Path) -> str:
    """A path as text that every JSON reader takes: bytes of a name that are not UTF-8 are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def check_inputs(out: Path, inputs: Sequence[Path]) -> None:
    """Raise ValueError where a result of this folder would take the place of a file that it is made of."""
    for path in inputs:
        if path.resolve().parent == out.resolve() and _OURS.fullmatch(path.name):
            raise ValueError(f"{text_of(path)}: results in {text_of(out)} would overwrite it: name another --out")


def remove_results(out: Path) -> None:
    """Remove an earlier result from a folder, its `layers.json` first: until that is written again nothing is done."""
    (out / REPORT).unlink(missing_ok=True)
    for path in out.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink()


def check_formats(size_px: tuple[int, int], *, psd: bool) -> None:
    """Raise ValueError where a picture of a size, (width, height), cannot be written as what is asked for."""
    if psd and max(size_px) > _PSD_MAX_PX:
        raise ValueError(f"PSD takes sides up to {_PSD_MAX_PX} px, got {size_px[0]}x{size_px[1]} px: use --ora instead")


def flattened(foregrounds: Sequence[Image.Image]) -> Image.Image:
    """All foregrounds (RGBA, front to back) in one RGBA picture; straight alpha, within one level of rounding."""
    merged = foregrounds[-1]
    for picture in reversed(foregrounds[:-1]):
        merged = Image.alpha_composite(merged, picture)
    return merged


def layer_names(objects: Sequence[str]) -> list[str]:
    """Names of the layers, from those of their objects; a repeated name gets the next free number."""
    names: list[str] = []
    for name_of_object in objects:
        # Layered files take neither control characters nor bytes of a file name that are not text.
        stem = "".join(letter if letter.isprintable() else "_" for letter in name_of_object)
        name, number = stem[:_MAX_NAME], 1
        while name in (*names, BACKGROUND):
            number += 1
            end = f"-{number}"
            name = stem[: _MAX_NAME - len(end)] + end
        names.append(name)
    return names


def _write_png(path: Path, picture: Image.Image, icc_profile: bytes | None) -> None:
    write_whole(path, lambda file: picture.save(file, "PNG", compress_level=3, icc_profile=icc_profile))


# --- layered files ------------------------------------------------------------------------------------------------


_PSD_MAX_PX = 30_000
_THUMBNAIL_PX = 256
# A zip member's time: the format's first moment, so that the same layers give the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Placed(NamedTuple):
    """A layer cropped to its box, with the position of that box."""

    name: str
    left_px: int
    top_px: int
    pixels: np.ndarray
    """uint8 [h, w, 4], or [h, w, 3] for the background."""


def write_psd(
    path: str | os.PathLike[str],
    background: Any,
    layers: Sequence[Any],
    names: Sequence[str],
    icc_profile: bytes | None = None,
) -> None:
    """Write a Photoshop document.

    Args:
        path: the file; it appears whole or not at all.
        background: PIL RGB or uint8 [H, W, 3].
        layers: PIL RGBA or uint8 [H, W, 4], straight alpha, front to back.
        names: one for each layer.
        icc_profile: colour profile of all of them; None = none is named.

    Raises:
        ValueError: wrong forms or sizes, names that do not match, sides above 30,000 px.
    """
    from psd_tools import PSDImage
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource

    placed, merged = _compose(background, layers, names)
    check_formats((merged.shape[1], merged.shape[0]), psd=True)
    for layer in placed:
        if len(layer.name) > _MAX_NAME:
            raise ValueError(f"PSD takes layer names of up to {_MAX_NAME} characters, got {layer.name!r}")
    document = PSDImage.frompil(Image.fromarray(merged))
    if icc_profile is not None:
        resource = ImageResource(key=Resource.ICC_PROFILE, data=icc_profile)
        document.image_resources[Resource.ICC_PROFILE] = resource
    for layer in reversed(placed):
        entry = document.create_pixel_layer_from_array(layer.pixels, top=layer.top_px, left=layer.left_px)
        entry.name = layer.name  # Set afterwards: the argument takes only characters of the Mac Roman encoding.
    write_whole(path, document.save)


def write_ora(
    path: str | os.PathLike[str],
    background: Any,
    layers: Sequence[Any],
    names: Sequence[str],
    icc_profile: bytes | None = None,
) -> None:
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
        members.append((source, _png(Image.fromarray(layer.pixels), icc_profile)))
    xml = ET.tostring(image, encoding="UTF-8", xml_declaration=True)
    members.append(("mergedimage.png", _png(Image.fromarray(merged), icc_profile)))
    members.append(("Thumbnails/thumbnail.png", _png(thumbnail, icc_profile)))

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            # Programs recognise the format by its first member, which must be stored uncompressed.
            for name, data in [("mimetype", b"image/openraster"), ("stack.xml", xml), *members]:
                archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data, zipfile.ZIP_STORED)

    write_whole(path, write)


def write_whole(path: str | os.PathLike[str], write: Callable[[Any], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place: the file is never there in part."""
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
    """The layers cropped to their boxes, front to back with the background last, and the merged picture."""
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
    left, top, right, bottom = visible_box(rgba) or (0, 0, 1, 1)
    return Placed(name, left, top, np.ascontiguousarray(rgba[top:bottom, left:right]))


def _png(image: Image.Image, icc_profile: bytes | None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6, icc_profile=icc_profile)
    return buffer.getvalue()
