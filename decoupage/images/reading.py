"""The one reader of foreign pictures: formats, bounds, pixel types, alpha, orientation and colour profiles.

Photographs, cutouts, masks and recorded answers all come in here; `codecs` reads shard members through it. Pillow opens
43 formats, of which one starts Ghostscript; here only the named ones are open. Whatever a format's reader raises on a
damaged file becomes a BadItem.
"""

import io
import stat
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from decoupage.faults import BadItem
from decoupage.images.types import Array, Gray, Rgb, Rgba

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
_FULL_16_BIT, _TWELVE_BITS = 65535, 4096
_SAME_LEVELS = 2
"""A profile that moves no colour by more levels than this is sRGB."""


@dataclass(frozen=True)
class Picture:
    """A picture as 8-bit RGB.

    Attributes:
        rgb: [H, W, 3].
        alpha: [H, W]; None where the file has none.
        icc_profile: colour profile that `rgb` is in; None = sRGB, and the file named no other.
        stored_size: (height, width) before its orientation was applied, px.
        orientation: the file's EXIF orientation, 1 to 8, whether it was applied or not.
    """

    rgb: Rgb
    alpha: Gray | None
    icc_profile: bytes | None
    stored_size: tuple[int, int]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def is_opaque(self) -> bool:
        """True where no pixel is transparent, even in part."""
        return self.alpha is None or bool(self.alpha.min() == 255)

    @property
    def rgba(self) -> Rgba:
        """[H, W, 4], straight alpha; opaque where the file has no alpha."""
        alpha = np.full(self.size, 255, np.uint8) if self.alpha is None else self.alpha
        return np.concatenate([self.rgb, alpha[..., None]], axis=-1)


# ---- files


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of bounded size; a pipe or a device would never end.

    Raises:
        FileNotFoundError: it is not there.
        BadItem: `not_a_file`, `too_large`, `unreadable`.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise BadItem("not_a_file", f"{path.name} is no regular file")
        if found.st_size > max_bytes:
            raise BadItem("too_large", f"{path.name} has {found.st_size} bytes, at most {max_bytes} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadItem("unreadable", f"{path.name}: {error.strerror or error}") from error


def open_image(data: bytes, expected: tuple[int, int] | None = None) -> Image.Image:
    """Open and fully decode a picture of a named format and of bounded size, which is checked before it is decoded.

    Args:
        data: the file.
        expected: (height, width) that it must have, px; None = any.

    Raises:
        BadItem: `bad_image` (unknown format or damaged), `truncated`, `too_large`, or `shape_mismatch`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own bound is a little lower; the one above decides. Other warnings speak of damaged tags.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_size(image.size, expected)
            image.load()
    except BadItem:
        raise
    except UnidentifiedImageError as error:
        raise BadItem("bad_image", f"no picture in a known format ({', '.join(FORMATS)})") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise BadItem("too_large", str(error) or "it does not fit into memory") from error
    except Exception as error:
        reason = "truncated" if isinstance(error, OSError) and "truncated" in str(error) else "bad_image"
        raise BadItem(reason, f"{error or type(error).__name__}"[:200]) from error
    return image


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
        BadItem: as `open_image`, and `pixel_type` for values that are no picture (32-bit gray beyond 16 bits, 12-bit
            gray in 16 bits, ...).
    """
    image = open_image(data, expected)
    stored, turn = (image.height, image.width), orientation(image)
    if upright:
        image = turned_upright(image)
    colour, alpha = eight_bit(image)
    profile = image.info.get("icc_profile")
    if profile and isinstance(profile, bytes):
        if keep_profile and colour.mode == "RGB" and _space(profile) == "RGB":
            return Picture(np.asarray(colour), alpha, None if is_srgb(profile) else profile, stored, turn)
        converted = _to_srgb(colour, profile)
        kept = srgb_profile() if keep_profile and converted is not None and not is_srgb(profile) else None
        return Picture(np.asarray(converted or colour.convert("RGB")), alpha, kept, stored, turn)
    return Picture(np.asarray(colour.convert("RGB")), alpha, None, stored, turn)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the tags are damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - Pillow raises whatever it trips over in foreign tags.
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned_upright(image: Image.Image) -> Image.Image:
    """The picture turned by its orientation tag; as it is where the tag is absent or damaged."""
    if orientation(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - as above: the tag was readable, the others were not.
        return image


def eight_bit(image: Image.Image) -> tuple[Image.Image, Gray | None]:
    """(the colours, 8 bits a channel: L, RGB, CMYK, ...; alpha [H, W] or None) of a picture of any mode.

    Raises:
        BadItem: `pixel_type`.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_gray_8(np.asarray(image))), None
    if image.mode in ("LA", "La"):
        gray, alpha = image.convert("LA").split()
        return gray, np.asarray(alpha)
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
    if 255 < high < _TWELVE_BITS:
        raise BadItem(
            "pixel_type", f"16-bit gray that ends at {high}, as 12 bits do, would be black: scale it to {_FULL_16_BIT}"
        )
    return np.asarray((values_HW.astype(np.uint32) + 128) // 257, np.uint8)


# ---- colour profiles


def is_srgb(profile: bytes) -> bool:
    """True for a profile that shows colours as sRGB does, to two levels; a damaged one counts as sRGB."""
    if _space(profile) != "RGB":
        return False
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe_HWC = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    seen = _to_srgb(Image.fromarray(probe_HWC), profile)
    return seen is None or int(np.abs(np.asarray(seen).astype(int) - probe_HWC).max()) <= _SAME_LEVELS


@lru_cache(1)
def srgb_profile() -> bytes:
    """An sRGB profile to embed; always the same bytes."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = bytes(12)  # The time at which it was made.
    return bytes(data)


def _to_srgb(colour: Image.Image, profile: bytes) -> Image.Image | None:
    """RGB of a picture in a profile's space; None where the profile is damaged or of another space."""
    transform = _transform(profile, colour.mode)
    return None if transform is None else ImageCms.applyTransform(colour, transform)


@lru_cache(16)
def _space(profile: bytes) -> str:
    """`RGB`, `CMYK`, `GRAY`, ...; empty for a damaged profile."""
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space).strip()
    except (OSError, ImageCms.PyCMSError):
        return ""


@lru_cache(16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
