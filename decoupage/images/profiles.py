"""Colour profiles: what is sRGB, what is brought to sRGB, and what of it may stay in a space of its own."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_SAME_LEVELS = 2
"""A profile that moves every colour by at most this many levels counts as sRGB."""


def as_rgb(colour: Image.Image, profile: object, *, keep_profile: bool) -> tuple[Image.Image, bytes | None]:
    """(8-bit RGB, the profile that it is in; None = sRGB that nothing was converted to).

    Colours are brought to sRGB by their profile; those that are sRGB already, to two levels, are not moved. A profile
    that is damaged or of another kind of colours is ignored. CMYK without one is converted by the plain
    formula; Lab needs none.

    Args:
        colour: of mode L, RGB, CMYK or LAB.
        profile: what the file holds.
        keep_profile: leave RGB in the profile that it is in.
    """
    data = profile if isinstance(profile, bytes) else b""
    if data and colour.mode == "RGB" and _space(data) == "RGB":
        if is_srgb(data):
            return colour, None
        if keep_profile:
            return colour, data
    converted = _to_srgb(colour, data) if data or colour.mode == "LAB" else None
    if converted is None:
        return colour.convert("RGB"), None
    return converted, srgb_profile() if keep_profile else None


@lru_cache(16)
def is_srgb(profile: bytes) -> bool:
    """True for an RGB profile that shows colours as sRGB does, to two levels; a damaged one counts as sRGB."""
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
    """`RGB`, `CMYK`, `GRAY`, `Lab`, ...; empty for a damaged profile."""
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space).strip()
    except (OSError, ValueError, ImageCms.PyCMSError):
        return ""


@lru_cache(16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; an absent one stands for CIE Lab itself. None as `_to_srgb`."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
