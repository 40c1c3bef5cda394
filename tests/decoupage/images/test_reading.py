"""The one reader of foreign pictures: pixel types, alpha, orientation, profiles, and what is refused."""

import io
import os
import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from decoupage.faults import BadItem
from decoupage.images.profiles import is_srgb, srgb_profile
from decoupage.images.reading import FORMATS, open_image, read_file, read_picture
from tests.decoupage.images.made import (
    cmyk_profile,
    encoded,
    exif_of,
    gray_profile,
    levels_16,
    png,
    smooth_rgb,
    tiff,
    wide_profile,
)

RGB = smooth_rgb()
GRAY = RGB[..., 0]


def refusal(data: bytes, **options) -> BadItem:
    with pytest.raises(BadItem) as fault:
        read_picture(data, **options)
    assert fault.value.detail and fault.value.detail.isprintable()
    return fault.value


def difference(picture: np.ndarray, expected: np.ndarray) -> int:
    assert picture.shape == expected.shape and picture.dtype == np.uint8
    return int(np.abs(picture.astype(int) - expected).max())


def as_rgb(gray: np.ndarray) -> np.ndarray:
    return np.dstack([gray] * 3)


# ---- pixel types


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.fromarray(GRAY > 127)), as_rgb(np.where(GRAY > 127, 255, 0))),
        (encoded(GRAY), as_rgb(GRAY)),
        (encoded(RGB), RGB),
        (encoded(RGB, "BMP"), RGB),
        (encoded(RGB, "PPM"), RGB),
        (encoded(GRAY.astype(np.uint16) * 257), as_rgb(GRAY)),
        (encoded(GRAY.astype(np.uint16) * 257, "TIFF"), as_rgb(GRAY)),
        (encoded(Image.fromarray((GRAY * np.uint16(257)).astype(">u2")), "TIFF"), as_rgb(GRAY)),
        (encoded(GRAY.astype(np.int32) * 257, "TIFF"), as_rgb(GRAY)),
        (encoded(GRAY.astype(np.float32) / 255, "TIFF"), as_rgb(GRAY)),
        (encoded(Image.fromarray(RGB).convert("CMYK"), "TIFF"), RGB),
        (encoded(Image.fromarray(RGB).convert("RGBX"), "TIFF"), RGB),
    ],
    ids=["1", "L", "RGB", "BMP", "PPM", "I;16", "TIFF I;16", "I;16B", "I", "F", "CMYK", "RGBX"],
)
def test_every_pixel_type_becomes_the_same_picture(data, expected):
    picture = read_picture(data)
    assert difference(picture.rgb, expected) <= 1
    assert picture.alpha is None and picture.is_opaque and picture.icc_profile is None
    assert picture.stored_size == picture.size == expected.shape[:2]


def test_colours_in_other_spaces_are_near():
    assert difference(read_picture(encoded(Image.fromarray(RGB).convert("YCbCr"), "TIFF")).rgb, RGB) <= 3
    assert difference(read_picture(encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=98)).rgb, RGB) <= 12
    lab = ImageCms.profileToProfile(
        Image.fromarray(RGB), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    picture = read_picture(encoded(lab, "TIFF"), keep_profile=True)
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 2 and difference(picture.rgb, RGB) <= 24
    assert picture.icc_profile == srgb_profile()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_16_bit_gray_is_its_own_8_bit_copy_to_a_level(seed):
    values = np.random.default_rng(seed).integers(0, 65536, (9, 7), np.uint16)
    values[0, 0] = 65535
    copy = np.rint(values / 257).astype(np.uint8)
    assert difference(read_picture(encoded(values)).rgb, as_rgb(copy)) <= 1


def test_16_bit_colour_is_its_own_8_bit_copy_to_a_level():
    rows = [(row.astype(np.uint16) * 257).astype(">u2").tobytes() for row in RGB]
    assert difference(read_picture(png((48, 32), 16, 2, rows, [])).rgb, RGB) <= 1


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.uint16).reshape(3, 4),
        np.full((3, 4), 255, np.uint16),
        np.full((3, 4), 4095, np.uint16),
        np.full((3, 4), 70_000, np.int32),
        np.full((3, 4), -1, np.int32),
        np.full((3, 4), 2.0, np.float32),
        np.full((3, 4), np.nan, np.float32),
        np.full((3, 4), np.inf, np.float32),
    ],
)
def test_values_that_are_no_picture_are_refused(values):
    assert refusal(encoded(values, "TIFF")).reason == "pixel_type"


def test_a_black_16_bit_picture_is_black():
    assert not read_picture(encoded(np.zeros((3, 4), np.uint16))).rgb.any()


# ---- alpha


def keyed(*levels: int) -> list[tuple[bytes, bytes]]:
    return [(b"tRNS", levels_16(*levels))]


def palette_with_alpha() -> Image.Image:
    image = Image.new("PA", (2, 1))
    image.putdata([(9, 255), (9, 7)])
    return image


@pytest.mark.parametrize(
    ("data", "alpha"),
    [
        (png((2, 1), 1, 0, [b"\x40"], keyed(1)), [255, 0]),
        (png((2, 1), 2, 0, [b"\x60"], keyed(2)), [255, 0]),
        (png((2, 1), 4, 0, [b"\x03"], keyed(3)), [255, 0]),
        (png((2, 1), 8, 0, [b"\x05\x03"], keyed(3)), [255, 0]),
        (png((2, 1), 16, 0, [levels_16(65535, 3000)], keyed(3000)), [255, 0]),
        (png((2, 1), 8, 2, [b"\1\2\3\4\5\6"], keyed(4, 5, 6)), [255, 0]),
        (png((2, 1), 16, 2, [levels_16(1, 2, 3, 40_000, 50_000, 60_000)], keyed(40_000, 50_000, 60_000)), [255, 0]),
        (png((2, 1), 4, 3, [b"\x01"], [(b"PLTE", bytes(range(6))), (b"tRNS", b"\x80\0")]), [128, 0]),
        (png((2, 1), 16, 4, [levels_16(60_000, 65_535, 9, 255)], []), [255, 0]),
        (png((2, 1), 16, 6, [levels_16(1, 2, 3, 65_535, 4, 5, 6, 9)], []), [255, 0]),
        (encoded(np.array([[[9, 255], [9, 7]]], np.uint8)), [255, 7]),
        (encoded(np.array([[[9, 9, 9, 255], [9, 9, 9, 7]]], np.uint8)), [255, 7]),
        (encoded(np.array([[[9, 9, 9, 255], [9, 9, 9, 7]]], np.uint8), "WEBP", lossless=True, exact=True), [255, 7]),
        (encoded(np.array([[[9, 9, 9, 255], [9, 9, 9, 7]]], np.uint8), "TIFF"), [255, 7]),
        (encoded(palette_with_alpha(), "TIFF"), [255, 7]),
        (encoded(np.array([[[9, 9, 9, 255], [200, 9, 9, 0]]], np.uint8), "GIF"), [255, 0]),
    ],
    ids=[
        *("gray 1", "gray 2", "gray 4", "gray 8", "gray 16", "colour 8", "colour 16", "palette", "LA 16", "RGBA 16"),
        *("LA", "RGBA", "WebP", "TIFF", "PA", "GIF"),
    ],
)
def test_alpha_is_found_wherever_it_is(data, alpha):
    picture = read_picture(data)
    assert picture.alpha is not None and picture.alpha.tolist() == [alpha]
    assert not picture.is_opaque and picture.rgba[..., 3].tolist() == [alpha]
    assert (picture.rgba[..., :3] == picture.rgb).all()


def test_premultiplied_tiffs_become_straight():
    tags = [(256, 4, 1, 2), (257, 4, 1, 1), (258, 3, 4, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 208)]
    tags += [(277, 3, 1, 4), (278, 4, 1, 1), (279, 4, 1, 8), (338, 3, 1, 1)]
    head = tiff(tags)
    data = head + bytes(200 - len(head)) + struct.pack("<4H", 8, 8, 8, 8) + bytes([50, 25, 0, 128, 200, 100, 0, 255])
    picture = read_picture(data)
    assert picture.alpha is not None and picture.alpha.tolist() == [[128, 255]]
    assert difference(picture.rgb, np.array([[[100, 50, 0], [200, 100, 0]]])) <= 1


def test_an_opaque_alpha_is_told_from_none():
    rgba = np.dstack([RGB, np.full(GRAY.shape, 255, np.uint8)])
    assert read_picture(encoded(rgba)).is_opaque and read_picture(encoded(rgba)).alpha is not None
    assert read_picture(encoded(RGB)).alpha is None and (read_picture(encoded(RGB)).rgba == rgba).all()


def test_palettes_are_resolved():
    image = Image.fromarray(RGB).quantize(64)
    expected = np.asarray(image.convert("RGB"))
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert (read_picture(encoded(image, kind)).rgb == expected).all()


# ---- orientation


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_on_request(kind, orientation):
    from PIL import ImageOps

    options = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
    data = encoded(RGB, kind, exif=exif_of(orientation).tobytes(), **options)
    tagged = Image.fromarray(RGB)
    tagged.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(tagged))
    picture, stored = read_picture(data), read_picture(data, upright=False)
    for found, expected in ((picture, upright), (stored, RGB)):
        assert np.abs(found.rgb.astype(int) - expected).mean() < 4
        assert found.stored_size == (32, 48) and found.orientation == orientation
    assert open_image(data).size == (48, 32)
    read_picture(data, expected=(32, 48))
    assert refusal(data, expected=(48, 32)).reason == "shape_mismatch"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + bytes(40)]
)
def test_damaged_exif_is_ignored(kind, exif):
    picture = read_picture(encoded(RGB, kind, exif=exif))
    assert picture.size == (32, 48) and picture.orientation == 1


def test_an_orientation_among_damaged_tags_is_applied():
    # The orientation, then a tag whose data lie behind the end, and one of a type that does not exist.
    tags = [(0x0112, 3, 1, 6), (0x010F, 2, 400, 99_999), (0x9999, 77, 1, 1)]
    picture = read_picture(encoded(RGB, exif=b"Exif\0\0" + tiff(tags)))
    assert picture.size == (48, 32) and picture.orientation == 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_ignored(orientation):
    assert read_picture(encoded(RGB, "JPEG", exif=exif_of(orientation).tobytes())).size == (32, 48)


# ---- several pictures in one file


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_of_several_pictures_the_first_is_read(kind):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind in ("MPO", "AVIF") else {}
    others = [Image.fromarray(255 - RGB), Image.fromarray(RGB[::-1].copy())]
    data = encoded(RGB, kind, save_all=True, append_images=others, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.abs(read_picture(data).rgb.astype(int) - RGB).mean() < (25 if kind == "GIF" else 3)


# ---- colour profiles


def converted(image: Image.Image, profile: bytes) -> np.ndarray:
    """By ImageCms itself."""
    return np.asarray(
        ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    )


SRGB = [
    srgb_profile(),
    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
]


@pytest.mark.parametrize("profile", SRGB)
@pytest.mark.parametrize("keep_profile", [False, True])
def test_srgb_is_not_moved(profile, keep_profile):
    assert is_srgb(profile)
    picture = read_picture(encoded(RGB, icc_profile=profile), keep_profile=keep_profile)
    assert (picture.rgb == RGB).all() and picture.icc_profile is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_wide_colours_are_brought_to_srgb_or_left_with_their_profile(kind):
    options = {"quality": 95} if kind in ("JPEG", "AVIF") else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(RGB, kind, icc_profile=wide_profile(), **options)
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    picture, kept = read_picture(data), read_picture(data, keep_profile=True)
    assert difference(picture.rgb, converted(Image.fromarray(stored), wide_profile())) <= 1
    assert np.abs(picture.rgb.astype(int) - stored).mean() > 5 and picture.icc_profile is None
    assert (kept.rgb == stored).all() and kept.icc_profile == wide_profile() and not is_srgb(kept.icc_profile)


def test_alpha_and_palettes_keep_their_profile():
    rgba = np.dstack([RGB, GRAY])
    expected = converted(Image.fromarray(RGB), wide_profile())
    picture = read_picture(encoded(rgba, icc_profile=wide_profile()))
    assert difference(picture.rgb, expected) <= 1 and picture.alpha is not None and (picture.alpha == GRAY).all()
    image = Image.fromarray(RGB).quantize(200)
    picture = read_picture(encoded(image, icc_profile=wide_profile()))
    assert difference(picture.rgb, converted(image.convert("RGB"), wide_profile())) <= 1


@pytest.mark.parametrize(
    ("image", "kind", "profile"),
    [
        (Image.fromarray(RGB).convert("CMYK"), "TIFF", cmyk_profile()),
        (Image.fromarray(RGB).convert("CMYK"), "JPEG", cmyk_profile()),
        (Image.fromarray(GRAY), "PNG", gray_profile()),
        (Image.fromarray(GRAY), "JPEG", gray_profile()),
    ],
)
def test_other_colours_are_brought_to_srgb_by_their_profile(image, kind, profile):
    data = encoded(image, kind, icc_profile=profile, **({"quality": 98} if kind == "JPEG" else {}))
    expected = converted(Image.open(io.BytesIO(data)), profile)
    picture, kept = read_picture(data), read_picture(data, keep_profile=True)
    plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert difference(picture.rgb, expected) <= 1 and np.abs(plain.astype(int) - expected).mean() > 5
    assert (kept.rgb == picture.rgb).all() and kept.icc_profile == srgb_profile() and picture.icc_profile is None


@pytest.mark.parametrize("profile", [b"garbage", wide_profile()[:200], bytes(500), wide_profile()[:-60] + bytes(60)])
@pytest.mark.parametrize("keep_profile", [False, True])
def test_a_damaged_profile_is_ignored(profile, keep_profile):
    picture = read_picture(encoded(RGB, "TIFF", icc_profile=profile), keep_profile=keep_profile)
    assert (picture.rgb == RGB).all() and picture.icc_profile is None


def test_a_profile_of_other_colours_is_ignored():
    assert (read_picture(encoded(RGB, icc_profile=cmyk_profile())).rgb == RGB).all()
    assert (read_picture(encoded(RGB, icc_profile=gray_profile())).rgb == RGB).all()
    assert (read_picture(encoded(GRAY, icc_profile=wide_profile())).rgb == as_rgb(GRAY)).all()


@given(st.data())
@settings(max_examples=150)
def test_any_damage_of_a_profile_gives_a_picture(data):
    whole = data.draw(st.sampled_from([wide_profile(), cmyk_profile(), gray_profile(), srgb_profile()]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = Image.fromarray(RGB[:4, :4]).convert(data.draw(st.sampled_from(["RGB", "CMYK", "L"])))
    found = read_picture(encoded(image, "TIFF", icc_profile=bytes(damaged)), keep_profile=data.draw(st.booleans()))
    assert found.size == (4, 4)


# ---- what is refused


def test_other_formats_are_refused_and_start_no_program(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a program was started")

    for name in ("system", "posix_spawn", "posix_spawnp", "execv", "execve", "fork"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    Image.init()
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(/tmp/made) (w) file\n%%EOF\n"
    files = {"EPS": eps, "PS": b"%!PS-Adobe-3.0\nshowpage\n", "PDF": b"%PDF-1.7\n", "SVG": b"<svg xmlns='x'/>"}
    files |= {"WMF": b"\xd7\xcd\xc6\x9a" + bytes(60), "PSD": b"8BPS" + bytes(60), "ICNS": b"icns" + bytes(60)}
    for kind in sorted(set(Image.SAVE) - {*FORMATS, "MPO", "EPS"}):
        try:
            files[kind] = encoded(Image.fromarray(RGB), kind)
        except (OSError, ValueError, KeyError):
            continue  # It takes no such picture.
    assert len(files) > 15
    for kind, data in files.items():
        assert refusal(data).reason == "bad_image", kind


DAMAGEABLE = {
    "png": encoded(RGB, exif=exif_of(6), icc_profile=wide_profile(), dpi=(72, 72)),
    "png 16": encoded(GRAY.astype(np.uint16) * 257),
    "png keyed": png((2, 1), 16, 2, [levels_16(1, 2, 3, 4, 5, 6)], keyed(4, 5, 6)),
    "png palette": encoded(Image.fromarray(RGB).quantize(16), transparency=3),
    "apng": encoded(RGB, save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "jpeg": encoded(RGB, "JPEG", exif=exif_of(6), icc_profile=wide_profile()),
    "jpeg cmyk": encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
    "mpo": encoded(RGB, "MPO", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "webp": encoded(np.dstack([RGB, GRAY]), "WEBP", exif=exif_of(6), icc_profile=wide_profile()),
    "webp animated": encoded(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "tiff": encoded(RGB, "TIFF", exif=exif_of(6), icc_profile=wide_profile()),
    "tiff lzw": encoded(np.dstack([RGB, GRAY]), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": encoded(RGB, "TIFF", compression="jpeg"),
    "tiff float": encoded(GRAY.astype(np.float32) / 255, "TIFF"),
    "avif": encoded(np.dstack([RGB, GRAY]), "AVIF", exif=exif_of(6)),
    "bmp": encoded(RGB, "BMP"),
    "gif": encoded(RGB, "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)], transparency=1),
    "ppm": encoded(RGB, "PPM"),
}


def outcome(data: bytes, **options) -> str:
    """`picture`, or the reason of the refusal; anything else that is raised fails the test."""
    try:
        picture = read_picture(data, **options)
    except BadItem as fault:
        return fault.reason if fault.detail.isprintable() else fault.detail
    return "picture" if picture.rgb.shape[2] == 3 and picture.rgba.shape[2] == 4 else "wrong shape"


OUTCOMES = ("picture", "bad_image", "truncated", "too_large", "pixel_type")


@pytest.mark.parametrize("kind", sorted(DAMAGEABLE))
@given(st.data())
@settings(max_examples=60)
def test_any_damage_of_any_format_is_a_bad_item_or_a_picture(kind, data):
    damaged = bytearray(DAMAGEABLE[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        # Headers are where readers are led astray.
        end = len(damaged) if data.draw(st.booleans()) else min(len(damaged), 300)
        damaged[data.draw(st.integers(0, end - 1))] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 254, 255]))
    end = data.draw(st.sampled_from([len(damaged), len(damaged) - 7, len(damaged) // 2]))
    options = {"upright": data.draw(st.booleans()), "keep_profile": data.draw(st.booleans())}
    assert outcome(bytes(damaged[:end]), **options) in OUTCOMES


@pytest.mark.parametrize("start", [b"", *sorted({data[:4] for data in DAMAGEABLE.values()}), b"RIFF\0\0\0\0WEBPVP8X"])
@given(st.binary(max_size=120))
@settings(max_examples=40)
def test_any_bytes_are_a_bad_item_or_a_picture(start, data):
    assert outcome(start + data) in OUTCOMES


# ---- files


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"bytes")
    assert read_file(tmp_path / "a") == b"bytes"
    with pytest.raises(BadItem, match="at most 4 are read") as fault:
        read_file(tmp_path / "a", max_bytes=4)
    assert fault.value.reason == "too_large"
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "absent")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)
        listening.bind("socket")
        for name in ("pipe", "socket", ".", "/dev/zero", "/dev/stdin"):
            with pytest.raises(BadItem) as fault:
                read_file(tmp_path / name)
            assert fault.value.reason == "not_a_file", name
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(BadItem, match="link is not a regular file"):
        read_file(tmp_path / "link")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadItem, match="unreadable: loop"):
        read_file(tmp_path / "loop")


def test_names_that_are_no_text_are_told_as_text(tmp_path):
    os.mkfifo(os.fsencode(tmp_path) + b"/\xff\n")
    with pytest.raises(BadItem) as fault:
        read_file(next(tmp_path.iterdir()))
    assert fault.value.detail.isprintable()
