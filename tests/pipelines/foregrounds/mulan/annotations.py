"""Annotations in MuLAn's byte format for tests, and the official formula written down a second time."""

import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decoupage.images.codecs import decode_rgb, encode_jpeg
from decoupage.images.types import Array


def official_colours(photograph: Array, fields: dict[str, Any]) -> Array:
    """facts: x = image * original_image_mask [* instance_mask] + inpainted_delta, in wide integers, clipped."""
    total = photograph.astype(np.int32) * np.asarray(fields["original_image_mask"]).astype(np.int32)
    if "instance_mask" in fields:
        total = total * np.asarray(fields["instance_mask"]).astype(np.int32)
    return np.clip(total + fields["inpainted_delta"].astype(np.int32), 0, 255).astype(np.uint8)


def make_photograph(seed: int, height: int = 40, width: int = 56) -> Array:
    """[H, W, 3] noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def make_annotation(seed: int, height: int = 40, width: int = 56, num_instances: int = 2) -> dict[str, Any]:
    """An annotation in the plainest variant: bool masks [H, W, 1], int16 deltas, Pillow alpha, int keys."""
    random = np.random.default_rng(seed)
    instances = {}
    for key in range(1, num_instances + 1):
        left, top = 5 + 3 * key, 4 + 2 * key
        shape = np.zeros((height, width), bool)
        shape[top : top + 20, left : left + 24] = True
        alpha = np.where(shape, random.integers(1, 256, shape.shape), 0).astype(np.uint8)
        seen = random.random((height, width, 1)) < 0.7
        delta = np.where(seen | ~shape[..., None], 0, random.integers(-255, 256, (height, width, 3)))
        instances[key] = {
            "blip2": f"thing {key}",
            "original_image_mask": seen,
            "instance_mask": shape[..., None],
            "inpainted_delta": delta.astype(np.int16),
            "instance_alpha": Image.fromarray(alpha),
        }
    free = random.random((height, width, 1)) < 0.6
    fill = np.where(free, 0, random.integers(0, 256, (height, width, 3))).astype(np.int16)
    return {
        "captioning": {"llava": "v1", "blip2": "v2", "clip": "v3"},
        "background": {"llava": "a room", "blip2": "room", "original_image_mask": free, "inpainted_delta": fill},
        "image": {"llava": "things in a room", "blip2": "things"},
        "instances": instances,
    }


def pack(annotation: Any, protocol: int = 4) -> bytes:
    """The bytes of a `.p.zl` file."""
    return zlib.compress(pickle.dumps(annotation, protocol))


def write_pair(
    folder: Path, id: str, data: bytes, photograph: Array | None, subset: str = "train2017", below: str = ""
) -> Array | None:
    """Write an annotation and its photograph; returns the photograph as it decodes."""
    path = folder / "annotations" / below / f"{id}.p.zl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    picture = folder / "images" / subset / f"{id}.jpg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    if photograph is None:
        return None
    picture.write_bytes(encode_jpeg(photograph))
    return decode_rgb(picture.read_bytes())
