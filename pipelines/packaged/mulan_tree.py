"""Writes a small tree in MuLAn's byte format from the packaged photographs: the demo's real foregrounds.

MuLAn's own decomposition script can read the files, and they use every variant of types that the reader must
support. Instances are cut out with GrabCut; the background behind them is filled by OpenCV's inpainting.
"""

import json
import pickle
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from decoupage.images.codecs import decode_rgb, encode_jpeg
from decoupage.images.types import Array, Gray, Mask, Rgb
from pipelines.packaged.grabcut import cut_out
from pipelines.packaged.held_out import held_out
from pipelines.packaged.objects import OBJECTS, PackagedObject
from pipelines.packaged.photographs import PackagedPhotograph, find
from pipelines.stages.store import Store

HELD_OUT = tuple(name for names in held_out().values() for name in names if name in OBJECTS)
"""Photographs in val2017: their cutouts are for testing."""
_JPEG_QUALITY = 98
_FILL_SHRINK = 4
_FILL_MARGIN_PX = 5
_GUARD_PX = 5
_HAND = "none: written by hand"


@dataclass(frozen=True)
class Variant:
    """The types of one file's values, and the protocol of its pickle."""

    text_keys: bool = False
    mask_channels: int = 1
    mask_dtype: str = "bool"
    delta_dtype: str = "int16"
    instance_mask: bool = True
    protocol: int = 4


VARIANTS = (
    Variant(),
    Variant(text_keys=True, mask_channels=3, mask_dtype="uint8", protocol=2),
    Variant(delta_dtype="uint8", protocol=5),
    Variant(mask_channels=3, delta_dtype="int32", protocol=3),
    Variant(text_keys=True, instance_mask=False, delta_dtype="uint8"),
)


def write_mulan_tree(folder: str | Path) -> None:
    """Write `annotations/<id>.p.zl`, `images/{train2017,val2017}/<id>.jpg` and `annotations/photographs.json`.

    Ids are 12 digits, in the order of `OBJECTS`. The same packages give the same bytes; files are replaced whole.
    """
    store = Store(str(folder))
    known: dict[str, dict[str, Any]] = {}
    for number, (name, objects) in enumerate(OBJECTS.items(), start=1):
        photograph = find(name)
        id = f"{number:012d}"
        subset = "val2017" if name in HELD_OUT else "train2017"
        jpeg = encode_jpeg(photograph.read(), _JPEG_QUALITY)
        # JPEG is lossy; the annotation must fit the decoded picture.
        annotation = annotate(decode_rgb(jpeg), objects, photograph, VARIANTS[number % len(VARIANTS)])
        protocol = VARIANTS[number % len(VARIANTS)].protocol
        store.write(f"images/{subset}/{id}.jpg", jpeg)
        store.write(f"annotations/{id}.p.zl", zlib.compress(pickle.dumps(annotation, protocol), 6))
        known[id] = {
            "name": name,
            "licence": photograph.licence,
            "attribution": f"{photograph.attribution}; cut out with OpenCV GrabCut",
            "categories": [thing.category for thing in objects],
        }
    store.write("annotations/photographs.json", json.dumps(known, indent=1).encode())


def annotate(
    photograph: Rgb, objects: tuple[PackagedObject, ...], source: PackagedPhotograph, variant: Variant
) -> dict[str, Any]:
    """One annotation with MuLAn's keys; the objects are ordered from back to front."""
    alphas = [cut_out(photograph, thing.hints) for thing in objects]
    instances = {
        str(k) if variant.text_keys else k: _instance(thing, alpha, variant)
        for k, (thing, alpha) in enumerate(zip(objects, alphas, strict=True), start=1)
    }
    covered = _grown(np.any([alpha > 0 for alpha in alphas], axis=0), _GUARD_PX)
    fill = inpaint(photograph, covered)
    background = {
        "llava": source.caption,
        "blip2": source.caption,
        "original_image_mask": _typed(~covered, variant),
        "inpainted_delta": np.where(covered[..., None], fill, 0).astype(variant.delta_dtype),
    }
    return {
        "captioning": {"llava": _HAND, "blip2": _HAND, "clip": _HAND},
        "background": background,
        "image": {"llava": source.caption, "blip2": source.caption},
        "instances": instances,
    }


def _instance(thing: PackagedObject, alpha: Gray, variant: Variant) -> dict[str, Any]:
    """An instance that takes all of its colours from the photograph."""
    everything = np.ones_like(alpha, bool)
    shape = alpha > 0
    masks = {"original_image_mask": _typed(shape, variant)}
    if variant.instance_mask:
        # As in MuLAn: the first mask marks original colours, the second the instance.
        single = replace(variant, mask_channels=1)
        masks = {"original_image_mask": _typed(everything, variant), "instance_mask": _typed(shape, single)}
    return {
        "blip2": thing.caption,
        **masks,
        "inpainted_delta": np.zeros((*alpha.shape, 3), variant.delta_dtype),
        "instance_alpha": Image.fromarray(alpha),
    }


def _typed(mask: Mask, variant: Variant) -> Array:
    return np.repeat(mask[..., None], variant.mask_channels, axis=2).astype(variant.mask_dtype)


def inpaint(photograph: Rgb, hole: Mask) -> Rgb:
    """The photograph, [H, W, 3], with the hole filled smoothly from its surroundings, at a quarter of the size."""
    height, width = hole.shape
    size = (-(-width // _FILL_SHRINK), -(-height // _FILL_SHRINK))
    # Remaining pixels of the object's edge must not bleed into the background.
    kept = (~_grown(hole, _GUARD_PX))[..., None].astype(np.float32)
    weight = cv2.resize(kept[..., 0], size, interpolation=cv2.INTER_AREA)[..., None]
    summed = cv2.resize(photograph.astype(np.float32) * kept, size, interpolation=cv2.INTER_AREA)
    small = np.rint(summed / np.maximum(weight, 1e-3)).clip(0, 255).astype(np.uint8)
    filled = cv2.inpaint(small, (weight[..., 0] < 0.5).astype(np.uint8), _FILL_MARGIN_PX, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(hole[..., None], large, photograph)


def _grown(mask: Mask, radius_px: int) -> Mask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
