"""One annotation file and its photograph -> rebuilt layers: the chain that extraction and the stage share."""

from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadItem
from decoupage.images.codecs import decode_rgb
from decoupage.images.types import Rgb
from pipelines.foregrounds.mulan.annotation import Annotation, parse_annotation
from pipelines.foregrounds.mulan.files import AnnotationFile, Photograph, find_photograph
from pipelines.foregrounds.mulan.inflate import inflate
from pipelines.foregrounds.mulan.layers import Layers, rebuild
from pipelines.foregrounds.mulan.unpickle import unpickle

LICENCE = "cc-by-nc-sa-4.0"
"""MuLAn's licence; the photographs under it have their own."""


@dataclass(frozen=True)
class Decomposition:
    """A photograph taken apart, and what its annotation says."""

    photograph: Photograph
    annotation: Annotation
    layers: Layers


def read_annotation(path: Path, max_inflated_mb: int = 256) -> Annotation:
    """Read and check one `<id>.p.zl`; memory stays below about three times the bound.

    Raises:
        BadItem: reasons of `inflate`, `unpickle` and `parse_annotation`; `unreadable` when the system refuses.
    """
    max_bytes = max_inflated_mb * 1_000_000
    try:
        data = inflate(path, max_bytes)
    except OSError as error:
        raise BadItem("unreadable", f"{path}: {error.strerror}") from error
    return parse_annotation(unpickle(data, max_bytes))


def read_decomposition(file: AnnotationFile, images: Path, max_inflated_mb: int = 256) -> Decomposition:
    """Read one annotation and its photograph, and rebuild the layers.

    Raises:
        BadItem: as `read_annotation`, and `bad_name`, `duplicate_id`, `missing_image`, `bad_image` or
            `shape_mismatch`.
    """
    file.check()
    photograph = find_photograph(images, file.id)
    annotation = read_annotation(file.path, max_inflated_mb)
    return Decomposition(photograph, annotation, rebuild(annotation, _read_rgb(photograph.path)))


def _read_rgb(path: Path) -> Rgb:
    try:
        return decode_rgb(path.read_bytes())
    except OSError as error:
        raise BadItem("unreadable", f"{path}: {error.strerror}") from error
    except BadItem as fault:
        raise BadItem("bad_image", f"{path}: {fault}") from fault
