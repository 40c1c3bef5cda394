"""The one rule of masks: the same from files, arrays and tensors; what is no mask is refused with the reason."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from decoupage.images.masks import as_mask, mask_doubts, mask_of
from tests.decoupage.images.made import encoded, smooth_rgb

SIZE = (32, 48)
MASK = np.zeros(SIZE, bool)
MASK[8:24, 10:30] = True
LEVELS = MASK.astype(np.uint8) * 255
RGB = smooth_rgb()


def voc(labels: np.ndarray) -> Image.Image:
    """A label picture with the palette of PASCAL VOC."""
    from decoupage.maps.table import palette

    image = Image.fromarray(labels.astype(np.uint8), "L").convert("P")
    image.putdata(labels.astype(np.uint8).ravel().tolist())
    image.putpalette(palette().ravel().tolist())
    return image


def with_void(label: int) -> np.ndarray:
    """One object with VOC's undecided rim."""
    labels = np.where(MASK, label, 0)
    labels[7], labels[24] = 255, 255
    return labels


def gray_palette(levels: np.ndarray) -> Image.Image:
    """Palette entries in an order that says nothing of their grays."""
    image = Image.fromarray(np.where(levels > 127, 3, 7).astype(np.uint8)).convert("P")
    image.putdata(np.where(levels > 127, 3, 7).ravel().tolist())
    entries = [9, 9, 9] * 8
    entries[9:12], entries[21:24] = [255] * 3, [0] * 3
    image.putpalette(entries)
    return image


FILES = {
    "1": encoded(Image.fromarray(MASK)),
    "L": encoded(LEVELS),
    "0 and 1": encoded(MASK.astype(np.uint8)),
    "16 bit": encoded(LEVELS.astype(np.uint16) * 257),
    "16 bit 0 and 1": encoded(MASK.astype(np.uint16)),
    "32 bit": encoded(LEVELS.astype(np.int32) * 257, "TIFF"),
    "float": encoded(MASK.astype(np.float32), "TIFF"),
    "RGB": encoded(np.dstack([LEVELS] * 3)),
    "CMYK": encoded(Image.fromarray(LEVELS).convert("CMYK"), "TIFF"),
    "JPEG": encoded(LEVELS, "JPEG", quality=80),
    "JPEG RGB": encoded(np.dstack([LEVELS] * 3), "JPEG", quality=80),
    "WebP": encoded(np.dstack([LEVELS] * 3), "WEBP", quality=80),
    "GIF": encoded(LEVELS, "GIF"),
    "VOC": encoded(voc(np.where(MASK, 15, 0))),
    "VOC with void": encoded(voc(with_void(15))),
    "VOC label 1": encoded(voc(MASK.astype(np.uint8))),
    "gray palette": encoded(gray_palette(LEVELS)),
    "alpha of a cutout": encoded(np.dstack([RGB, LEVELS])),
    "alpha of black": encoded(np.dstack([np.zeros_like(RGB), LEVELS])),
    "LA": encoded(np.dstack([np.full(SIZE, 200, np.uint8), LEVELS])),
    "opaque RGBA": encoded(np.dstack([LEVELS] * 3 + [np.full(SIZE, 255, np.uint8)])),
    "transparent palette entry": encoded(gray_palette(LEVELS), transparency=7),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_every_kind_hold_the_same_mask(kind):
    image = Image.open(io.BytesIO(FILES[kind]))
    assert np.array_equal(mask_of(image), MASK)
    assert np.array_equal(mask_of(image, SIZE), MASK)
    assert np.array_equal(as_mask(image, SIZE)[0, 0].numpy() > 0, MASK)
    assert mask_doubts(image) == []


@pytest.mark.parametrize(
    "values",
    [MASK, MASK.astype(np.uint8), LEVELS, MASK.astype(np.int32), LEVELS.astype(np.int64), MASK.astype(np.float32)],
)
def test_arrays_and_tensors_hold_the_same_mask_as_files(values):
    for form in (values, torch.from_numpy(values), values[None], values[..., None]):
        assert np.array_equal(as_mask(form, SIZE)[0, 0].numpy() > 0, MASK)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(RGB), "coloured picture .* white on the object and black elsewhere"),
        (Image.open(io.BytesIO(encoded(RGB, "JPEG"))), "coloured picture"),
        (voc(np.where(MASK, 15, 0) + with_void(0) * 0 + np.eye(32, 48, dtype=int) * 3 * ~MASK), r"2 objects \(3, 15\)"),
        (Image.fromarray(RGB).quantize(64), "label picture of .* objects"),
        (Image.fromarray(np.full(SIZE, 2.0, np.float32)), r"\[0, 1\], got 2"),
        (Image.fromarray(np.full(SIZE, np.nan, np.float32)), "nan"),
        (Image.fromarray(np.full(SIZE, -1, np.int32)), r"\[0, 65535\], got -1"),
    ],
)
def test_what_is_no_mask_is_refused_with_the_reason(image, message):
    with pytest.raises(ValueError, match=message):
        as_mask(image, SIZE)
    with pytest.raises(ValueError, match=message):
        mask_of(image)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.full(SIZE, 30, np.uint8)),
        voc(np.zeros(SIZE, np.uint8)),
        voc(np.where(MASK, 255, 0)),
        Image.fromarray(np.dstack([RGB, np.zeros(SIZE, np.uint8)])),
        Image.fromarray(np.where(MASK, 255, 0).astype(np.uint16)),
    ],
    ids=["dark", "labels of nothing", "labels of void", "alpha of nothing", "8 bits in 16"],
)
def test_empty_masks_are_told_as_empty(image):
    assert not mask_of(image).any()
    with pytest.raises(ValueError, match="the mask is empty"):
        as_mask(image, SIZE)


def test_soft_masks_are_cut_at_half_whatever_they_come_in():
    soft = np.linspace(0, 255, 48).round().astype(np.uint8)[None].repeat(32, axis=0)
    expected = soft >= 127.5
    for form in (soft, soft.astype(np.float32) / 255, soft.astype(np.uint16) * 257, np.dstack([soft] * 3)):
        assert np.array_equal(as_mask(form, SIZE)[0, 0].numpy() > 0, expected)
    assert np.array_equal(mask_of(Image.fromarray(soft)), expected)


def test_another_size_is_named():
    with pytest.raises(ValueError, match="the mask is 48x32 px, the picture is 32x48 px"):
        mask_of(Image.fromarray(LEVELS), (48, 32))


def test_doubts():
    inverted, everything = Image.fromarray(255 - LEVELS), np.full(SIZE, 255, np.uint8)
    everything[0, 0] = 0
    assert "border: is it inverted" in mask_doubts(inverted)[0]
    assert "covers 100% of the picture: is it inverted" in mask_doubts(Image.fromarray(everything))[0]
    soft = Image.fromarray(np.where(MASK, 150, 0).astype(np.uint8))
    assert "mostly gray (21% of the picture, white is 0%)" in mask_doubts(soft)[0]
    at_the_ground = np.zeros(SIZE, np.uint8)
    at_the_ground[20:] = 255
    assert mask_doubts(Image.fromarray(at_the_ground)) == []
