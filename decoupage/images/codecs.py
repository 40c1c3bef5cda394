"""Bytes <-> arrays, one function a format: what a shard's members are written with and read by.

Formats: docs/shards.md. Foreign pictures are opened through `decode_rgb`/`decode_rgba`, which
bound the number of pixels and refuse truncated files instead of filling them with gray.
"""

import io
import warnings

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from decoupage.faults import BadItem
from decoupage.images.types import Array, Gray, Mask, Rgb, Rgba

MAX_PIXELS = 100_000_000
"""Pictures above this many pixels are refused as decompression bombs."""


def decode_rgb(data: bytes) -> Rgb:
    """Decode a picture file to RGB; stored orientation tags are ignored (rotation is the catalogue's business).

    Raises:
        BadItem: `bad_image` (unknown or damaged), `truncated`, or `too_large`.
    """
    return np.asarray(open_image(data).convert("RGB"))


def decode_rgba(data: bytes) -> Rgba:
    """Decode a picture file to straight-alpha RGBA. Raises as `decode_rgb`."""
    return np.asarray(open_image(data).convert("RGBA"))


def open_image(data: bytes) -> Image.Image:
    """Open and fully decode a picture of bounded size. Raises as `decode_rgb`."""
    try:
        with warnings.catch_warnings():
            # Pillow's own bound is a little lower; the one above decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise BadItem("too_large", f"{image.width}x{image.height} px is above {MAX_PIXELS} pixels")
            image.load()
    except UnidentifiedImageError as error:
        raise BadItem("bad_image", "no known picture format") from error
    except Image.DecompressionBombError as error:
        raise BadItem("too_large", str(error)) from error
    except OSError as error:
        reason = "truncated" if "truncated" in str(error) else "bad_image"
        raise BadItem(reason, str(error)) from error
    except (SyntaxError, ValueError, EOFError) as error:  # Pillow's readers raise these on damaged headers.
        raise BadItem("bad_image", str(error)) from error
    return image


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
    """Read a gray PNG as [H, W] uint8, or uint16 when it has 16 bits. Raises as `decode_rgb`."""
    image = open_image(data)
    if image.mode in ("I;16", "I;16B", "I"):
        return np.asarray(image).astype(np.uint16)
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
