"""Bytes <-> arrays, one function a format: what a shard's members are written with and read by.

Formats: docs/shards.md. All of them, and foreign pictures, are opened by `reading`.
"""

import io

import cv2
import numpy as np
from PIL import Image

from decoupage.faults import BadItem
from decoupage.images.reading import open_image, read_picture
from decoupage.images.types import Array, Gray, Mask, Rgb, Rgba


def decode_rgb(data: bytes) -> Rgb:
    """Decode an opaque picture to sRGB; stored orientation tags are ignored (rotation is the catalogue's business).

    Raises:
        BadItem: as `read_picture`, and `transparent` for pixels that are not opaque: what lies under them is no
            picture.
    """
    picture = read_picture(data, upright=False)
    if not picture.is_opaque:
        raise BadItem("transparent", "it has transparent pixels, a photograph has none")
    return picture.rgb


def decode_rgba(data: bytes, *, needs_alpha: bool = False) -> Rgba:
    """Decode a picture to sRGB with straight alpha; orientation tags are ignored.

    Args:
        data: the file.
        needs_alpha: refuse a file without an alpha channel, which is otherwise taken for opaque (lossless WebP drops
            the channel of an opaque layer).

    Raises:
        BadItem: as `read_picture`, and `no_alpha`.
    """
    picture = read_picture(data, upright=False)
    if needs_alpha and picture.alpha is None:
        raise BadItem("no_alpha", "it has no alpha channel")
    return picture.rgba


def encode_jpeg(rgb: Rgb, quality: int = 98) -> bytes:
    """JPEG 4:4:4; at quality 98 what it decodes to is within 49 dB of the input."""
    return _save(Image.fromarray(rgb), "JPEG", quality=quality, subsampling=0)


def encode_webp(rgba: Rgba) -> bytes:
    """Lossless WebP, fastest method; `exact` keeps the bled colour of invisible pixels."""
    return _save(Image.fromarray(rgba), "WEBP", lossless=True, quality=0, method=0, exact=True)


def encode_png(rgb_or_rgba: Array) -> bytes:
    """PNG at level 1: files for people and for other tools, not shard members."""
    return _save(Image.fromarray(rgb_or_rgba), "PNG", compress_level=1)


def encode_mask(mask: Mask) -> bytes:
    """1-bit PNG."""
    ok, data = cv2.imencode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert ok, "OpenCV could not encode a mask"
    return data.tobytes()


def decode_mask(data: bytes) -> Mask:
    """Read a 1-bit (or 8-bit) PNG; True above half. Raises as `decode_rgb`."""
    return np.asarray(open_image(data).convert("L")) > 127


def encode_gray(values: Array) -> bytes:
    """8-bit or 16-bit gray PNG of a [H, W] uint8 or uint16 array."""
    if values.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"encode_gray takes uint8 or uint16, got {values.dtype}")
    ok, data = cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert ok, "OpenCV could not encode a gray picture"
    return data.tobytes()


def decode_gray(data: bytes) -> Array:
    """Read a gray PNG as [H, W] uint8, or uint16 when it has 16 bits.

    Raises:
        BadItem: as `open_image`, and `pixel_type` for a picture that is not gray.
    """
    image = open_image(data)
    if image.mode in ("I;16", "I;16B"):
        return np.asarray(image).astype(np.uint16)
    if image.mode not in ("1", "L"):
        raise BadItem("pixel_type", f"has pixels of type {image.mode}, not gray of 8 or 16 bits")
    return np.asarray(image.convert("L"))


def decode_opacity(data: bytes) -> Gray:
    """Read an 8-bit gray PNG as [H, W]. Raises as `decode_rgb`, and BadItem `pixel_type` for any other picture."""
    image = open_image(data)
    if image.mode != "L":
        raise BadItem("pixel_type", f"has pixels of type {image.mode}, not L")
    return np.asarray(image)


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
