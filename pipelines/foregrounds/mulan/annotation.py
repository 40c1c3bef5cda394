"""The contents of an annotation, with every variant of type converted to one form and every array checked.

MuLAn's documentation names the keys; the types follow from its decomposition script (docs/sources.md). Masks come
as bool, 0/1, 0/255 or float, with or without a channel axis; deltas in any integer or float type; alpha as a
Pillow picture or an array. A value that fits no variant makes the whole file unusable: its other layers cannot be
trusted either.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from decoupage.faults import BadItem
from decoupage.images.types import Array, Gray
from decoupage.text_files import is_printable, printable
from pipelines.foregrounds.mulan.stand_ins import Picture

NO_CAPTION = "N/A"
"""MuLAn's own mark for a missing caption."""
MAX_PICTURE_PX = 40_000_000
_BREAKS = re.compile(r"[^\S ]+")
"""Line breaks, tabs and blanks other than the space: models write them in captions, and they are read as a space."""


@dataclass(frozen=True)
class Captions:
    """The captions of one layer by two models, `N/A` where it has none."""

    blip2: str
    llava: str


@dataclass(frozen=True)
class LayerArrays:
    """How to rebuild one layer's colours: `photograph * mask + delta`.

    Attributes:
        mask: [H, W, 1] or [H, W, 3], uint8 0/1; floating point in [0, 1] when the file has fractions.
        delta: [H, W, 3] uint8 or int16 in [-255, 255].
    """

    mask: Array
    delta: Array
    captions: Captions


@dataclass(frozen=True)
class Instance:
    """One instance: its colours, its alpha [H, W] uint8, and the key it has in the file."""

    key: str
    layer: LayerArrays
    alpha: Gray


@dataclass(frozen=True)
class Annotation:
    """One picture's layers: the background, and the instances from bottom to top, in the file's order.

    Attributes:
        size: (height, width) in pixels, shared by all arrays.
        caption: captions of the whole picture.
    """

    size: tuple[int, int]
    background: LayerArrays
    instances: tuple[Instance, ...]
    caption: Captions


def parse_annotation(tree: Any) -> Annotation:
    """Check and normalise an unpickled annotation.

    Raises:
        BadItem: `missing_key`, `bad_type`, `bad_values`, `bad_text`, `shape_mismatch` or `too_large`; the detail says
            where.
    """
    root = _mapping(tree, "the annotation")
    background = _mapping(_get(root, "background", ""), "background")
    size = _size(_get(background, "original_image_mask", "background."), "background.original_image_mask")
    instances = _mapping(_get(root, "instances", ""), "instances")
    return Annotation(
        size=size,
        background=_layer(background, size, "background"),
        instances=tuple(
            _instance(_text(str(key), "a key of instances"), value, size) for key, value in instances.items()
        ),
        caption=_captions(_mapping(root.get("image", {}), "image"), "image"),
    )


def _instance(key: str, value: Any, size: tuple[int, int]) -> Instance:
    path = f"instances.{key[:40]}"
    fields = _mapping(value, path)
    layer = _layer(fields, size, path)
    # The documentation does not list it, but the script multiplies by it where it is present.
    if "instance_mask" in fields:
        mask = layer.mask * _mask(fields["instance_mask"], size, f"{path}.instance_mask")
        layer = replace(layer, mask=mask)
    alpha = _alpha(_get(fields, "instance_alpha", f"{path}."), size, f"{path}.instance_alpha")
    return Instance(key, layer, alpha)


def _layer(fields: Mapping[Any, Any], size: tuple[int, int], path: str) -> LayerArrays:
    mask = _mask(_get(fields, "original_image_mask", f"{path}."), size, f"{path}.original_image_mask")
    delta = _delta(_get(fields, "inpainted_delta", f"{path}."), size, f"{path}.inpainted_delta")
    return LayerArrays(mask, delta, _captions(fields, path))


def _mask(value: Any, size: tuple[int, int], path: str) -> Array:
    array = _array(value, path)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape not in ((*size, 1), (*size, 3)):
        raise BadItem("shape_mismatch", f"{path} has shape {array.shape}, the picture is {size[0]}x{size[1]}")
    if array.dtype == bool:
        return array.view(np.uint8)
    high = _highest(array, path, 0, "masks go from 0 to 1 or to 255")
    if high <= 1 and array.dtype.kind == "f" and ((array > 0) & (array < 1)).any():
        return array
    top = 1 if high <= 1 else 255
    on = array == top
    if not (on | (array == 0)).all():
        raise BadItem("bad_values", f"{path} has values other than 0 and {top}")
    return on.view(np.uint8)


def _delta(value: Any, size: tuple[int, int], path: str) -> Array:
    array = _array(value, path)
    if array.shape != (*size, 3):
        raise BadItem("shape_mismatch", f"{path} has shape {array.shape}, expected {(*size, 3)}")
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        raise BadItem("bad_type", f"{path} is boolean, a delta holds differences of colour")
    _highest(array, path, -255, "outside of -255 to 255")
    # The script truncates the sum; colours are whole numbers, so rounding the delta down gives the same.
    return np.floor(array).astype(np.int16) if array.dtype.kind == "f" else array.astype(np.int16)


def _alpha(value: Any, size: tuple[int, int], path: str) -> Gray:
    if isinstance(value, Picture):
        if value.mode not in ("1", "L"):
            raise BadItem("bad_type", f"{path} is a picture of mode {value.mode}, alpha is 1 or L")
        if value.size != (size[1], size[0]):
            raise BadItem(
                "shape_mismatch", f"{path} is {value.size[1]}x{value.size[0]}, the picture {size[0]}x{size[1]}"
            )
        return np.asarray(Image.frombytes(value.mode, value.size, bytes(value.data)).convert("L"))
    array = _array(value, path)
    if array.shape == (*size, 1):
        array = array[..., 0]
    if array.shape != size:
        raise BadItem("shape_mismatch", f"{path} has shape {array.shape}, the picture is {size[0]}x{size[1]}")
    if array.dtype == bool:
        return array.view(np.uint8) * np.uint8(255)
    high = _highest(array, path, 0, "alpha goes from 0 to 255")
    scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
    return np.rint(array * scale).astype(np.uint8) if array.dtype.kind == "f" else array.astype(np.uint8)


def _captions(fields: Mapping[Any, Any], path: str) -> Captions:
    texts = {name: fields.get(name) for name in ("blip2", "llava")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise BadItem("bad_type", f"{path}.{name} is of type {type(text).__name__}, a caption is text")
    blip2, llava = (_text(texts[name] or NO_CAPTION, f"{path}.{name}") for name in ("blip2", "llava"))
    return Captions(blip2, llava)


def _text(text: str, path: str) -> str:
    """The text in one line. Raises BadItem `bad_text` for one that tables and terminals cannot hold."""
    line = _BREAKS.sub(" ", text)
    if not is_printable(line):
        raise BadItem("bad_text", f"{path} is too long, or holds characters that cannot be printed: {printable(line)}")
    return line


def _size(mask: Any, path: str) -> tuple[int, int]:
    array = _array(mask, path)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise BadItem("shape_mismatch", f"{path} has shape {array.shape}, expected [H, W], [H, W, 1] or [H, W, 3]")
    height, width = array.shape[:2]
    if height * width > MAX_PICTURE_PX:
        raise BadItem("too_large", f"the picture is {height}x{width}, more than {MAX_PICTURE_PX} pixels")
    return height, width


def _highest(array: Array, path: str, bottom: int, wanted: str) -> float:
    """The highest value of an array whose values must lie in [bottom, 255]."""
    low, high = array.min().item(), array.max().item()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadItem("bad_values", f"{path} has values that are not finite")
    if low < bottom or high > 255:
        raise BadItem("bad_values", f"{path} has values from {low} to {high}, {wanted}")
    return high


def _get(fields: Mapping[Any, Any], key: str, path: str) -> Any:
    if key not in fields:
        raise BadItem("missing_key", f"{path}{key}")
    return fields[key]


def _mapping(value: Any, path: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise BadItem("bad_type", f"{path} is of type {type(value).__name__}, expected a dict")
    return value


def _array(value: Any, path: str) -> Array:
    if not isinstance(value, np.ndarray):
        raise BadItem("bad_type", f"{path} is of type {type(value).__name__}, expected an array")
    return value
