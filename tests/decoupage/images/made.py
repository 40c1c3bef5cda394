"""Picture files made for tests: profiles, PNGs by their chunks, damaged and hostile files."""

import io
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from decoupage.images.types import Array


def encoded(image: Image.Image | Array, kind: str = "PNG", **options: object) -> bytes:
    """A file of a picture."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth_rgb(width_px: int = 48, height_px: int = 32) -> Array:
    """A picture whose corners and channels all differ."""
    y, x = np.mgrid[:height_px, :width_px]
    x, y = x / width_px, y / height_px
    return np.dstack([40 + 200 * x, 250 - 180 * y, 127 * (1 + np.sin(5 * x * y))]).astype(np.uint8)


def exif_of(orientation: int) -> Image.Exif:
    """EXIF tags with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# ---- PNG


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    size: tuple[int, int],
    depth_bits: int,
    colour_type: int,
    rows: Iterable[bytes],
    extra: Sequence[tuple[bytes, bytes]],
) -> bytes:
    """A PNG by its raw rows; `size` is (width, height), `extra` are chunks before the pixels."""
    head = struct.pack(">IIBBBBB", *size, depth_bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", head), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def levels_16(*levels: int) -> bytes:
    """16-bit levels as a PNG stores them."""
    return struct.pack(f">{len(levels)}H", *levels)


# ---- TIFF


def tiff(entries: Sequence[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    """A TIFF of raw directory entries (tag, type, count, value or offset); `rest` follows the directory."""
    directory = b"".join(struct.pack("<HHLL", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + directory + bytes(4) + rest


# ---- colour profiles


def wide_profile(gamma: float = 2.2) -> bytes:
    """A display's RGB profile with wider primaries than sRGB's."""
    primaries = {"r": (0.60974, 0.31111, 0.01947), "g": (0.20528, 0.62567, 0.06087), "b": (0.14919, 0.06322, 0.74457)}
    tags = {f"{name}XYZ": _xyz(*place) for name, place in primaries.items()}
    return _profile(b"mntrRGB XYZ ", tags | {f"{name}TRC": _curve(gamma) for name in "rgb"})


def gray_profile(gamma: float = 1.8) -> bytes:
    """A display's gray profile."""
    return _profile(b"mntrGRAYXYZ ", {"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """A printer's profile whose inks are duller than the plain formula says."""
    inks = np.array([[0.75, 0.25, 0.1], [0.2, 0.7, 0.3], [0.05, 0.1, 0.8], [0.85, 0.85, 0.85]])
    nodes = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(16, 4)
    light = np.prod(1 - nodes[..., None] * inks, axis=1)
    lightness = light @ [0.3, 0.6, 0.1]
    lab = np.stack([lightness, (light[:, 0] - light[:, 1]) / 3 + 0.5, (light[:, 1] - light[:, 2]) / 3 + 0.5], axis=-1)
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + b"".join(_fixed(x) for x in np.eye(3).ravel())
    table += ramp * 4 + np.rint(lab * 255).clip(0, 255).astype(np.uint8).tobytes() + ramp * 3
    return _profile(b"prtrCMYKLab ", {"A2B0": table})


def _profile(kinds: bytes, tags: dict[str, bytes]) -> bytes:
    tags = {
        "desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"made\0" + bytes(78),
        "cprt": b"text\0\0\0\0none\0\0\0\0",
        "wtpt": _xyz(0.9642, 1, 0.8249),
        **tags,
    }
    table, body = b"", b""
    for name, value in tags.items():
        table += name.encode() + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = struct.pack(">I", 132 + len(table) + len(body))
    white = _fixed(0.9642) + _fixed(1) + _fixed(0.8249)
    head = size + bytes(4) + b"\x02\x10\0\0" + kinds + bytes(12) + b"acsp" + bytes(28) + white + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def _fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def _xyz(*place: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, place))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
