"""One annotation file and its photograph -> layers, rebuilt exactly as MuLAn's decomposition script does.

    colours = photograph * original_image_mask [* instance_mask] + inpainted_delta

The script wraps around where a sum leaves 0..255 in a narrow type; here sums are wide and clipped, which is the
same wherever the script's result is meant. Nothing is resized: an annotation of another size is another picture.
"""

import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decoupage.faults import BadItem
from decoupage.images.alpha import blend
from decoupage.images.reading import read_file, read_picture
from decoupage.images.types import Rgb, Rgba
from decoupage.text_files import printable
from pipelines.foregrounds.mulan.annotation import Annotation, LayerArrays, parse_annotation
from pipelines.foregrounds.mulan.files import AnnotationFile, Photograph, find_photograph
from pipelines.foregrounds.mulan.unpickle import unpickle

_CHUNK_BYTES = 1 << 20
MAX_INFLATED_BYTES = 256_000_000
"""Bound of one annotation after decompression; eleven layers of a COCO picture (0.3 megapixels) take about 34 MB."""
MAX_FILE_S = 60.0
"""Time to make something of one annotation; usual ones take a fraction of a second."""
LICENCE = "cc-by-nc-sa-4.0"
"""MuLAn's licence; the photographs under it have their own."""
_ROWS_AT_ONCE = 256
"""Sums are wide, so they are taken in bands of rows: memory stays flat on large pictures."""


def inflate(path: Path, max_bytes: int) -> bytes:
    """The content of a file that is one whole zlib stream (RFC 1950).

    Raises:
        BadItem: `not_a_file` (a pipe, a device), `not_zlib`, `truncated`, `trailing_data`, `bad_zlib` (damaged inside)
            or `too_large`.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadItem("not_a_file", f"{path.name} is not a regular file")
    inflater = zlib.decompressobj()
    chunks: list[bytes] = []
    room = max_bytes
    with path.open("rb") as file:
        _check_header(file.read(2))
        file.seek(0)
        while not inflater.eof:
            compressed = inflater.unconsumed_tail or file.read(_CHUNK_BYTES)
            if not compressed:
                raise BadItem("truncated", f"the zlib stream stops after {max_bytes - room} bytes without its end")
            try:
                # One byte more than the bound distinguishes an annotation of exactly that size from a larger one.
                chunk = inflater.decompress(compressed, room + 1)
            except zlib.error as error:
                raise BadItem("bad_zlib", str(error)) from error
            if len(chunk) > room:
                raise BadItem("too_large", f"it inflates to more than {max_bytes} bytes")
            room -= len(chunk)
            chunks.append(chunk)
        if inflater.unused_data or file.read(1):
            raise BadItem("trailing_data", "bytes follow the end of the zlib stream")
    return b"".join(chunks)


def _check_header(header: bytes) -> None:
    """RFC 1950: method 8 in the low nibble, and the two bytes as a number divide by 31."""
    if len(header) < 2:
        raise BadItem("truncated", f"the file holds {len(header)} bytes")
    if header[0] & 0x0F != 8 or int.from_bytes(header, "big") % 31:
        raise BadItem("not_zlib", f"it starts with {header.hex(' ')}, not with a zlib header")


@dataclass(frozen=True)
class Layers:
    """The layers of one photograph.

    Attributes:
        background: [H, W, 3].
        instances: [H, W, 4] each, bottom to top, straight alpha; colour and alpha exactly as the file says.
        consistency_error: mean absolute difference, 0..255, between the flattened layers and the photograph, over the
            pixels that some layer takes from it; -1 when there are none.
    """

    background: Rgb
    instances: tuple[Rgba, ...]
    consistency_error: float


def rebuild(annotation: Annotation, photograph: Rgb) -> Layers:
    """Rebuild all layers.

    Args:
        photograph: of the annotation's size.
    """
    assert photograph.shape[:2] == annotation.size, "it was read with the annotation's size"
    background = colours(annotation.background, photograph)
    instances = tuple(
        np.dstack([colours(instance.layer, photograph), instance.alpha]) for instance in annotation.instances
    )
    return Layers(background, instances, _consistency_error(annotation, photograph, background, instances))


def colours(layer: LayerArrays, photograph: Rgb) -> Rgb:
    """[H, W, 3]: one layer's colours by the formula above."""
    made = np.empty_like(photograph)
    wide = np.float64 if layer.mask.dtype.kind == "f" else np.int32
    for top in range(0, len(photograph), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        total = photograph[rows].astype(wide) * layer.mask[rows] + layer.delta[rows]
        made[rows] = np.clip(total, 0, 255)
    return made


def _consistency_error(annotation: Annotation, photograph: Rgb, background: Rgb, instances: tuple[Rgba, ...]) -> float:
    flat = background
    for rgba in instances:
        flat = blend(flat, rgba)
    used = annotation.background.mask.any(axis=-1)
    for instance in annotation.instances:
        used |= instance.layer.mask.any(axis=-1)
    if not used.any():
        return -1.0
    error = np.maximum(flat, photograph) - np.minimum(flat, photograph)
    return round(float(error[used].mean()), 3)


@dataclass(frozen=True)
class Decomposition:
    """A photograph, its annotation, and the layers rebuilt from both."""

    photograph: Photograph
    annotation: Annotation
    layers: Layers


def read_annotation(path: Path) -> Annotation:
    """Read and check one `<id>.p.zl`; memory stays below about three times the bound.

    Raises:
        BadItem: reasons of `inflate`, `unpickle` and `parse_annotation`; `unreadable` when the file cannot be read.
    """
    try:
        data = inflate(path, MAX_INFLATED_BYTES)
    except OSError as error:
        raise BadItem("unreadable", printable(f"{path}: {error.strerror}")) from error
    return parse_annotation(unpickle(data, MAX_INFLATED_BYTES))


def read_decomposition(file: AnnotationFile, images: Path) -> Decomposition:
    """Read one annotation and its photograph, and rebuild the layers.

    Raises:
        BadItem: as `read_annotation`, and `bad_name`, `duplicate_id`, `missing_image`, `bad_image` or
            `shape_mismatch`.
    """
    file.check()
    photograph = find_photograph(images, file.id)
    annotation = read_annotation(file.path)
    return Decomposition(photograph, annotation, rebuild(annotation, read_photograph(photograph.path, annotation.size)))


def read_photograph(path: Path, size: tuple[int, int]) -> Rgb:
    """The photograph of an annotation, of its (height, width), which are checked before anything is decoded.

    Colours are as they are stored, in whatever profile, and the orientation is not applied: deltas refer to these.

    Raises:
        BadItem: `shape_mismatch`, `unreadable`, or `bad_image` whatever else is wrong with it.
    """
    try:
        picture = read_picture(read_file(path), upright=False, keep_profile=True, expected=size)
    except BadItem as fault:
        if fault.reason in ("shape_mismatch", "unreadable"):
            raise BadItem(fault.reason, printable(f"{path}: {fault.detail}")) from fault
        raise BadItem("bad_image", printable(f"{path}: {fault}")) from fault
    except FileNotFoundError as error:
        raise BadItem("unreadable", printable(f"{path} no longer exists")) from error
    if not picture.is_opaque:
        raise BadItem("bad_image", printable(f"{path} has transparent pixels, a photograph has none"))
    return picture.rgb
