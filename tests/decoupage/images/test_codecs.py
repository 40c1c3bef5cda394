"""What is encoded comes back, and what is damaged or hostile is refused with the right word."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from decoupage.faults import BadItem
from decoupage.images import reading
from decoupage.images.codecs import (
    decode_gray,
    decode_mask,
    decode_rgb,
    decode_rgba,
    encode_gray,
    encode_jpeg,
    encode_mask,
    encode_png,
    encode_webp,
)
from decoupage.randomness import generator

sides = st.integers(1, 40)


def pictures(dtype: type, channels: int = 0):
    shape = st.tuples(sides, sides, st.just(channels)) if channels else st.tuples(sides, sides)
    return arrays(dtype, shape)


def smooth_rgb(size_px: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size_px, :size_px] / size_px
    return np.dstack([255 * x, 255 * y, 127 * (1 + np.sin(6 * x * y))]).astype(np.uint8)


@given(pictures(np.uint8, 4))
def test_webp_keeps_every_pixel_even_invisible_ones(rgba):
    assert (decode_rgba(encode_webp(rgba)) == rgba).all()


@given(pictures(np.uint8, 4))
def test_png_keeps_rgba(rgba):
    assert (decode_rgba(encode_png(rgba)) == rgba).all()


@given(pictures(np.uint8, 3))
def test_png_keeps_rgb(rgb):
    assert (decode_rgb(encode_png(rgb)) == rgb).all()


@given(pictures(np.bool_))
def test_masks_round_trip(mask):
    assert (decode_mask(encode_mask(mask)) == mask).all()


@given(pictures(np.uint8))
def test_gray_round_trip_at_8_bits(values):
    decoded = decode_gray(encode_gray(values))
    assert decoded.dtype == np.uint8
    assert (decoded == values).all()


@given(pictures(np.uint16))
def test_gray_round_trip_at_16_bits(values):
    decoded = decode_gray(encode_gray(values))
    assert decoded.dtype == np.uint16
    assert (decoded == values).all()


def test_a_mask_takes_one_bit_a_pixel():
    noise = generator(0, "tests", "mask").random((256, 256)) < 0.5
    data = encode_mask(noise)
    assert len(data) < 256 * 256 / 8 * 1.1
    assert Image.open(io.BytesIO(data)).mode == "1"


def test_other_gray_types_are_refused():
    with pytest.raises(ValueError, match="uint8 or uint16, got float32"):
        encode_gray(np.zeros((2, 2), np.float32))


def test_jpeg_is_near_and_has_full_colour_resolution():
    rgb = smooth_rgb()
    data = encode_jpeg(rgb)
    error = decode_rgb(data).astype(float) - rgb
    assert 10 * np.log10(255**2 / (error**2).mean()) > 45
    assert [layer[1:3] for layer in Image.open(io.BytesIO(data)).layer] == [(1, 1)] * 3
    assert len(encode_jpeg(rgb, 95)) < len(data)


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
def test_encoders_give_the_same_bytes_again(encode):
    assert encode(smooth_rgb()) == encode(smooth_rgb().copy())


def test_orientation_tags_are_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(smooth_rgb()[:, :32]).save(buffer, "JPEG", exif=exif.tobytes())
    assert decode_rgb(buffer.getvalue()).shape == (64, 32, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "RGBA"])
def test_other_modes_become_rgb_and_rgba(mode):
    buffer = io.BytesIO()
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new(mode, (5, 3)) if mode == "I;16" else Image.fromarray(smooth_rgb()[:3, :5]).convert(mode)
    image.save(buffer, kind)
    assert decode_rgb(buffer.getvalue()).shape == (3, 5, 3)
    assert decode_rgba(buffer.getvalue()).shape == (3, 5, 4)


def refusal(data: bytes) -> BadItem:
    with pytest.raises(BadItem) as fault:
        decode_rgb(data)
    assert fault.value.detail
    return fault.value


def outcome(data: bytes) -> str:
    """`picture`, or the reason of the refusal; anything else that is raised fails the test."""
    try:
        return "picture" if decode_rgb(data).shape[2] == 3 else "wrong shape"
    except BadItem as fault:
        return fault.reason


ENCODED = {
    "png": encode_png(smooth_rgb()),
    "jpeg": encode_jpeg(smooth_rgb()),
    "webp": encode_webp(np.dstack([smooth_rgb(), smooth_rgb()[..., 0]])),
}


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused_and_not_filled_with_grey(kind, share):
    data = ENCODED[kind]
    assert refusal(data[: int(len(data) * share)]).reason == "truncated"


@given(st.sampled_from(sorted(ENCODED)), st.data())
def test_any_truncation_is_a_bad_item(kind, data):
    whole = ENCODED[kind]
    cut = whole[: data.draw(st.integers(0, len(whole) // 2))]
    assert refusal(cut).reason in ("truncated", "bad_image")


@given(st.sampled_from(sorted(ENCODED)), st.data())
def test_any_damage_is_a_bad_item_or_a_picture(kind, data):
    damaged = bytearray(ENCODED[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytes(damaged)) in ("picture", "truncated", "bad_image", "too_large", "transparent")


@given(st.binary(max_size=200))
def test_garbage_is_a_bad_item(data):
    assert refusal(data).reason == "bad_image"


@given(
    st.sampled_from([b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBPVP8L", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]),
    st.binary(max_size=80),
)
def test_garbage_behind_a_known_signature_is_a_bad_item(signature, data):
    assert outcome(signature + data) in ("truncated", "bad_image", "too_large")


def png_bomb(width_px: int, height_px: int) -> bytes:
    """A few bytes that claim a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side_px", [10_001, 14_000, 60_000])
def test_bombs_are_refused_before_they_are_decoded(side_px):
    assert refusal(png_bomb(side_px, side_px)).reason == "too_large"


def test_the_largest_allowed_size_is_not_a_bomb(monkeypatch):
    monkeypatch.setattr(reading, "MAX_PIXELS", 64 * 64)
    assert decode_rgb(ENCODED["png"]).shape == (64, 64, 3)
    monkeypatch.setattr(reading, "MAX_PIXELS", 64 * 64 - 1)
    assert refusal(ENCODED["png"]).reason == "too_large"


def test_pictures_of_pillows_own_warning_size_are_allowed(monkeypatch):
    """Pillow warns from 89 million pixels on; our bound is higher, and ours decides."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)
    monkeypatch.setattr(reading, "MAX_PIXELS", 2 * 64 * 64)
    assert decode_rgb(ENCODED["png"]).shape == (64, 64, 3)
