"""The one reader of foreign pictures: formats, bounds, pixel types, alpha, orientation and colour profiles.

Photographs, cutouts, masks and recorded answers all come in here; `codecs` reads shard members through it. Pillow opens
43 formats, of which one starts Ghostscript; here only the named ones are open. Whatever a format's reader raises on a
damaged file becomes a BadItem.
"""

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from decoupage.faults import BadItem
from decoupage.images import profiles
from decoupage.images.types import Array, Gray, Rgb, Rgba
from decoupage.text_files import printable

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "GIF", "PPM")
"""Formats that are read; of animated ones the first picture. JPEG includes the MPO files of phones."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".gif", ".ppm")
MAX_PIXELS = 100_000_000
"""Pictures above this many pixels are refused as decompression bombs."""
MAX_SIDE_PX = 65_500
"""Longest side: what JPEG allows, about."""
MAX_ASPECT, _LONG_PX = 100, 4096
"""Pictures longer than the second may be at most so many times as long as wide."""
MAX_BYTES = 1 << 30
"""Larger files are not read."""
_MAX_TILE_PX = 4096
_FULL_16_BIT, _TWELVE_BITS = 65535, 4096
_ORIENTATION = 0x0112
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes such a picture upright."""
_TURNS_BACK = {**_TURNS, 6: Transpose.ROTATE_90, 8: Transpose.ROTATE_270}
# Pillow warns of damaged tags, and of sizes a little below the bound above, which decides. Once for the process:
# a context would not be safe, since pictures are read by several threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Picture:
    """A picture as 8-bit RGB or RGBA.

    Attributes:
        pixels: [H, W, 3], or [H, W, 4] with straight alpha where the file has alpha.
        icc_profile: colour profile that the colours are in; None = sRGB, and the file named no other.
        stored_size: (height, width) before its orientation was applied, px.
        orientation: the EXIF orientation that the file names, 1 to 8; 1 = it is stored upright, or names none.
    """

    pixels: Rgb | Rgba
    icc_profile: bytes | None
    stored_size: tuple[int, int]
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def alpha(self) -> Gray | None:
        """[H, W]; None where the file has none."""
        return self.pixels[..., 3] if self.pixels.shape[2] == 4 else None

    @property
    def is_opaque(self) -> bool:
        """True where no pixel is transparent, even in part."""
        return self.alpha is None or bool(self.alpha.min() == 255)

    @cached_property
    def rgb(self) -> Rgb:
        """[H, W, 3]."""
        return np.ascontiguousarray(self.pixels[..., :3])

    @cached_property
    def rgba(self) -> Rgba:
        """[H, W, 4], straight alpha; opaque where the file has no alpha."""
        return self.pixels if self.alpha is not None else np.asarray(Image.fromarray(self.pixels).convert("RGBA"))


# ---- files


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of bounded size; a pipe or a device would never end.

    Raises:
        FileNotFoundError: it is not there.
        BadItem: `not_a_file`, `too_large`, `unreadable`.
    """
    name = printable(path.name)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise BadItem("not_a_file", f"{name} is not a regular file")
        if found.st_size > max_bytes:
            raise BadItem("too_large", f"{name} has {found.st_size} bytes, at most {max_bytes} are read")
        with path.open("rb") as file:
            return file.read(found.st_size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadItem("unreadable", f"{name}: {error.strerror or error}") from error


def open_image(data: bytes, expected: tuple[int, int] | None = None) -> Image.Image:
    """Open and fully decode a picture of a named format and of bounded size, which is checked before it is decoded.

    It comes as stored, with its orientation to be asked for (`orientation`); of TIFF too, which Pillow turns by itself.

    Args:
        data: the file.
        expected: (height, width) that it must have as stored, px; None = any.

    Raises:
        BadItem: `bad_image` (unknown format or damaged), `truncated`, `too_large`, or `shape_mismatch`.
    """
    with _faults():
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        tag = _check_tiff(image.tag_v2) if isinstance(image, TiffImageFile) else 1
        _check_size(image.size[::-1] if tag in (5, 6, 7, 8) else image.size, expected)
        image.load()
        if "transparency" in image.info and image.format == "PNG":
            image.info["transparency"] = _colour_key(image.info["transparency"], *data[24:26])
        return _as_stored(image, tag) if tag in _TURNS_BACK else image


def size_of_file(path: Path) -> tuple[int, int]:
    """(height, width) that a picture claims as stored, px, by its header alone; errors as `open_image`."""
    with _faults(), path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
        _check_size(image.size, None)
        return image.height, image.width


@contextmanager
def _faults() -> Iterator[None]:
    """Turns whatever Pillow's readers raise on a foreign file into a BadItem."""
    try:
        yield
    except BadItem:
        raise
    except UnidentifiedImageError as error:
        raise BadItem("bad_image", f"no picture in a known format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadItem("too_large", f"it claims far more than {MAX_PIXELS} pixels") from error
    except MemoryError as error:
        raise BadItem("too_large", "it does not fit into memory") from error
    except Exception as error:
        said = printable(str(error) or type(error).__name__)
        reasons = {"truncated": "truncated", "too large": "too_large"}
        raise BadItem(next((reasons[word] for word in reasons if word in said), "bad_image"), said) from error


def _check_tiff(tags: Any) -> Any:
    """The orientation that a TIFF names; tiles are decoded whole, however little of them is picture."""
    tile = [tags.get(name, 0) for name in (TILEWIDTH, TILELENGTH)]
    if max(tile) > _MAX_TILE_PX:
        raise BadItem("too_large", f"tiles of {tile[0]}x{tile[1]} px: a side has at most {_MAX_TILE_PX} px")
    return tags.get(_ORIENTATION, 1)


def _as_stored(image: Image.Image, tag: int) -> Image.Image:
    stored = image.transpose(_TURNS_BACK[tag])
    stored.getexif()[_ORIENTATION] = tag
    return stored


def _colour_key(key: Any, depth_bits: int, colour_type: int) -> Any:
    """The transparent level or colour of a PNG, in the levels that Pillow gives its pixels."""
    if colour_type == 0 and depth_bits in (2, 4):
        return key * 255 // ((1 << depth_bits) - 1)
    return tuple(level >> 8 for level in key) if colour_type == 2 and depth_bits == 16 else key


def _check_size(size: tuple[int, int], expected: tuple[int, int] | None) -> None:
    width, height = size
    longer, shorter = max(size), min(size)
    if expected is not None and (height, width) != expected:
        raise BadItem("shape_mismatch", f"is {width}x{height} px, not {expected[1]}x{expected[0]} px")
    if width * height > MAX_PIXELS:
        raise BadItem("too_large", f"{width}x{height} px is above {MAX_PIXELS} pixels")
    if longer > MAX_SIDE_PX:
        raise BadItem("too_large", f"{width}x{height} px: a side has at most {MAX_SIDE_PX} px")
    if longer > _LONG_PX and longer > MAX_ASPECT * shorter:
        raise BadItem("too_large", f"{width}x{height} px: it is more than {MAX_ASPECT} times as long as wide")


# ---- pixels


def read_picture(
    data: bytes, *, upright: bool = True, keep_profile: bool = False, expected: tuple[int, int] | None = None
) -> Picture:
    """Read a picture by the one rule for pixel types, alpha, orientation and colour profiles.

    8 bits a channel: 16-bit gray is divided by 257. Palettes are resolved. Colours are brought to sRGB by the profile
    that the file carries; a damaged profile is ignored, and so are damaged EXIF tags.

    Args:
        data: the file.
        upright: apply the orientation tag.
        keep_profile: leave RGB in the profile that it is in, and return that.
        expected: as `open_image`.

    Raises:
        BadItem: as `open_image`, and `pixel_type` for values that are not a picture (32-bit gray beyond 16 bits, 12-bit
            gray in 16 bits, ...).
    """
    image = open_image(data, expected)
    stored, tag = (image.height, image.width), orientation(image)
    with _faults():
        if upright:
            image = turned_upright(image)
        profile = image.info.get("icc_profile")
        if not profile and image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
            return Picture(np.asarray(image), None, stored, tag)
        colour, alpha = eight_bit(image)
        rgb, kept = profiles.as_rgb(colour, profile, keep_profile=keep_profile)
        if alpha is not None:
            rgb = rgb.copy()
            rgb.putalpha(Image.fromarray(alpha))
        return Picture(np.asarray(rgb), kept, stored, tag)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the tags are damaged."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow may raise anything on foreign tags.
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def turned_upright(image: Image.Image) -> Image.Image:
    """The picture turned by its orientation tag; as it is where the tag is absent or damaged."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def eight_bit(image: Image.Image) -> tuple[Image.Image, Gray | None]:
    """(the colours, 8 bits a channel: L, RGB, CMYK, ...; alpha [H, W] or None) of a picture of any mode.

    Raises:
        BadItem: `pixel_type`.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values_HW = np.asarray(image)
        key = image.info.get("transparency")
        alpha = None if key is None else np.where(values_HW == key, 0, 255).astype(np.uint8)
        return Image.fromarray(_gray_8(values_HW)), alpha
    if image.mode in ("LA", "La"):
        gray, opacity = image.convert("LA").split()
        return gray, np.asarray(opacity)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), np.asarray(rgba.getchannel("A"))
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _gray_8(values_HW: Array) -> Gray:
    low, high = values_HW.min(), values_HW.max()
    if values_HW.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise BadItem("pixel_type", f"floating gray must be in [0, 1], got {low:.4g}..{high:.4g}")
        return np.asarray(np.rint(values_HW * 255), np.uint8)
    if low < 0 or high > _FULL_16_BIT:
        raise BadItem("pixel_type", f"gray of more than 8 bits must be in [0, {_FULL_16_BIT}], got {low}..{high}")
    if 0 < high < _TWELVE_BITS:
        raise BadItem("pixel_type", f"16-bit gray that ends at {high} would be black: scale white to {_FULL_16_BIT}")
    return np.asarray((values_HW.astype(np.uint32) + 128) // 257, np.uint8)
