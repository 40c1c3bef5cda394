"""Pictures and masks in, pictures out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from decoupage.images.alpha import blend
from decoupage.images.blending import paste_back, recompose, recomposition_error
from decoupage.images.forms import as_picture, to_pil, to_uint8
from decoupage.images.masks import as_mask

SIZE = (6, 8)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


RGB = noise(*SIZE, 3)
GRAY = noise(*SIZE)


def square_mask(height=6, width=8):
    mask = np.zeros((height, width), bool)
    mask[1:4, 2:5] = True
    return mask


# --- pictures in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        Image.fromarray(RGB),
        Image.fromarray(RGB).convert("RGBA"),
        RGB,
        RGB[None],
        RGB.astype(np.float32) / 255,
        RGB.astype(np.float64) / 255,
        np.dstack([RGB, np.full(SIZE, 255, np.uint8)]),
        RGB.astype(np.uint16) * 257,
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB).permute(2, 0, 1)[None] / 255,
        [RGB],
        (Image.fromarray(RGB),),
    ],
)
def test_every_form_of_a_picture_is_the_same_tensor(form):
    picture = as_picture(form)
    assert picture.shape == (1, 3, *SIZE) and picture.dtype == torch.float32
    assert np.array_equal(to_uint8(picture)[0], RGB)


@pytest.mark.parametrize(
    "form",
    [
        GRAY,
        GRAY[..., None],
        torch.from_numpy(GRAY),
        torch.from_numpy(GRAY)[None],
        Image.fromarray(GRAY),
        Image.fromarray(GRAY.astype(np.uint16) * 257),
        Image.fromarray(GRAY.astype(np.int32) * 257),
        Image.fromarray(GRAY.astype(np.float32) / 255),
        Image.fromarray(GRAY).convert("LA"),
    ],
)
def test_gray_pictures_become_three_equal_channels(form):
    assert np.array_equal(to_uint8(as_picture(form))[0], np.dstack([GRAY] * 3))


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_are_read_as_pillow_turns_them_into_rgb(mode):
    image = Image.fromarray(RGB) if mode != "LAB" else Image.frombytes("LAB", (8, 6), RGB.tobytes())
    image = image if mode == "LAB" else image.convert(mode)
    assert np.array_equal(to_uint8(as_picture(image))[0], np.asarray(image.convert("RGB")))


def test_bfloat16_and_batches():
    batch = torch.rand(3, 3, 4, 5, dtype=torch.bfloat16)
    assert torch.equal(as_picture(batch), batch.float())
    assert as_picture([RGB, Image.fromarray(RGB)]).shape == (2, 3, *SIZE)


def test_eight_bits_survive_the_way_in_and_out():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(np.asarray(to_pil(as_picture(every))[0]), every)
    assert [image.mode for image in to_pil(torch.zeros(2, 4, 2, 2))] == ["RGBA", "RGBA"]
    assert to_pil(torch.zeros(1, 1, 2, 3))[0].size == (3, 2)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (np.zeros((3, 6, 8), np.uint8), "channels stand last in numpy"),
        (torch.zeros(6, 8, 3), "channels stand first in torch"),
        (np.zeros((6, 8, 2), np.uint8), r"\(6, 8, 2\)"),
        (torch.zeros(2, 1, 3, 6, 8), r"\(2, 1, 3, 6, 8\)"),
        (torch.linspace(-1, 1, 48).reshape(1, 6, 8), r"\[-1, 1\] become \(x \+ 1\) / 2"),
        (RGB.astype(np.float32), "divided by 255"),
        (np.full((6, 8), np.nan), "nan"),
        (RGB.astype(np.int64), "int64"),
        (np.dstack([RGB, GRAY]), "transparent"),
        (Image.fromarray(np.dstack([RGB, GRAY])), "transparent"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        ([], "empty"),
        ([RGB, RGB[:3]], "8x6 px and 8x3 px"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(form, message):
    with pytest.raises(ValueError, match=message):
        as_picture(form)


def test_a_path_is_no_picture():
    with pytest.raises(TypeError, match="str"):
        as_picture("photo.jpg")


# --- masks in ---------------------------------------------------------------------------------------------------

MASK = square_mask()
MASK_255 = MASK.astype(np.uint8) * 255


@pytest.mark.parametrize(
    "form",
    [
        MASK,
        MASK_255,
        MASK.astype(np.uint8),
        MASK.astype(np.int64),
        MASK.astype(np.float32),
        MASK.astype(np.float64) * 0.5,
        MASK_255.astype(np.uint16) * 257,
        MASK_255[..., None],
        MASK_255[None],
        MASK_255[None, ..., None],
        np.dstack([MASK_255] * 3),
        np.dstack([RGB, MASK_255]),
        torch.from_numpy(MASK),
        torch.from_numpy(MASK_255)[None],
        torch.from_numpy(MASK).float()[None, None],
        torch.from_numpy(MASK).bfloat16(),
        Image.fromarray(MASK),
        Image.fromarray(MASK_255),
        Image.fromarray(MASK.astype(np.uint8)),
        Image.fromarray(MASK_255).convert("RGB"),
        Image.fromarray(MASK_255).convert("RGBA"),
        Image.fromarray(MASK_255).convert("P"),
        Image.fromarray(np.dstack([RGB, MASK_255])),
        [MASK_255],
    ],
)
def test_every_form_of_a_mask_is_the_same_tensor(form):
    mask = as_mask(form, SIZE)
    assert mask.dtype == torch.float32
    assert torch.equal(mask, torch.from_numpy(MASK).float()[None, None])


def test_batches_of_masks():
    assert as_mask([MASK, Image.fromarray(MASK_255)], SIZE).shape == (2, 1, *SIZE)
    assert as_mask(np.stack([MASK, MASK, MASK]), SIZE).shape == (3, 1, *SIZE)


def test_soft_masks_are_cut_at_half():
    soft = np.array([[0.0, 0.49, 0.5, 1.0]])
    assert as_mask(soft, (1, 4)).flatten().tolist() == [0, 0, 1, 1]
    assert as_mask((soft * 255).round().astype(np.uint8), (1, 4)).flatten().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (np.zeros(SIZE, np.uint8), "the mask is empty"),
        (np.full(SIZE, 0.4), "highest value is 0.4"),
        (np.ones(SIZE, bool), "covers the whole picture"),
        (square_mask(12, 16), "the mask is 16x12 px, the picture is 8x6 px"),
        (Image.fromarray(square_mask(12, 16)), "the mask is 16x12 px, the picture is 8x6 px"),
        (torch.zeros(2, 3, 4, 5), r"\(2, 3, 4, 5\)"),
        ([MASK, ~MASK & MASK], "empty"),
        (np.stack([MASK, ~MASK & MASK]), "mask 1 of 2 is empty"),
        (MASK * -1.0, r"\[0, 1\], got -1"),
        (MASK.astype(np.int64) * 256, r"0\.\.255, got 0\.\.256"),
        ([], "the list of masks is empty"),
    ],
)
def test_what_is_no_mask_is_refused_with_the_reason(form, message):
    with pytest.raises(ValueError, match=message):
        as_mask(form, SIZE)


# --- paste-back -------------------------------------------------------------------------------------------------


@given(st.integers(0, 12), st.integers(0, 5))
def test_beyond_the_ring_every_level_is_the_originals(grow_px, seed):
    original, generated = noise(40, 48, 3, seed=seed), noise(40, 48, 3, seed=seed + 99)
    mask = np.zeros((40, 48), bool)
    mask[10 + seed : 16 + seed, 20:29] = True
    pasted = to_uint8(paste_back(as_picture(original), as_picture(generated), as_mask(mask, (40, 48)), grow_px))[0]
    ys, xs = np.nonzero(mask)
    grid = np.stack(np.mgrid[:40, :48], axis=-1)
    distance = np.sqrt(((grid[:, :, None] - np.stack([ys, xs], axis=-1)) ** 2).sum(-1).min(axis=2))
    assert np.array_equal(pasted[distance > grow_px + 0.01], original[distance > grow_px + 0.01])
    assert np.array_equal(pasted[mask], generated[mask])


def test_the_seam_falls_steadily_from_generated_to_original():
    mask = torch.zeros(1, 1, 1, 20)
    mask[..., :5] = 1
    line = paste_back(torch.zeros(1, 1, 1, 20), torch.ones(1, 1, 1, 20), mask, 4).flatten()
    ring = line[4:10]
    assert (ring.diff() < 0).all() and ring[0] == 1 and ring[-1] == 0 and 0 < ring[-2] < 0.2


def test_without_growth_the_seam_is_hard_and_nothing_leaks():
    mask = torch.from_numpy(MASK).float()[None, None]
    generated = torch.where(mask.bool(), 1.0, torch.nan).expand(1, 3, -1, -1)
    pasted = paste_back(torch.full((1, 3, *SIZE), 0.25), generated, mask, 0)
    assert torch.equal(pasted, torch.where(mask.bool(), 1.0, 0.25).expand(1, 3, -1, -1))


def test_paste_back_refuses_what_does_not_match():
    picture, mask = torch.zeros(1, 3, 6, 8), torch.zeros(1, 1, 6, 8)
    for arguments, message in [
        ((picture, picture[..., :4], mask, 1), "shapes differ"),
        ((picture, picture, mask[..., :4], 1), "the mask has shape"),
        ((picture, picture, mask, -1), "grow_px must be at least 0, got -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            paste_back(*arguments)


# --- recomposition ----------------------------------------------------------------------------------------------


def test_recomposition_rounds_exactly_for_all_levels():
    alpha, colour = (axis.astype(np.uint8) for axis in np.mgrid[:256, :256])
    for below in (0, 1, 37, 128, 254, 255):
        rgba = np.dstack([colour, colour, colour, alpha])
        background = np.full((256, 256, 3), below, np.uint8)
        exact = np.floor((colour.astype(np.float64) * alpha + below * (255.0 - alpha)) / 255 + 0.5)
        assert np.array_equal(recompose(rgba, background)[..., 0], exact)


def test_several_layers_are_laid_front_to_back_as_the_data_set_does():
    front, middle, background = noise(*SIZE, 4, seed=1), noise(*SIZE, 4, seed=2), noise(*SIZE, 3, seed=3)
    expected = blend(blend(background, middle), front)
    assert np.array_equal(recompose([front, middle], background), expected)
    images = [Image.fromarray(front), Image.fromarray(middle)]
    assert np.array_equal(recompose(images, Image.fromarray(background)), expected)
    assert np.array_equal(recompose([], background), background)


def test_recomposition_error_in_levels_and_decibels():
    below = np.full((4, 4, 3), 100, np.uint8)
    above = below.copy()
    above[:2] = 102
    error = recomposition_error(above, Image.fromarray(below))
    assert error.mean_absolute == 1.0 and error.psnr_db == pytest.approx(10 * np.log10(255**2 / 2))
    assert recomposition_error(below, below) == (0.0, np.inf)


def test_recomposition_refuses_other_forms():
    with pytest.raises(ValueError, match=r"expected RGBA, uint8 \[H, W, 4\], got RGB"):
        recompose(Image.fromarray(RGB), RGB)
    with pytest.raises(ValueError, match="the foreground is 8x3 px, the background is 8x6 px"):
        recompose(noise(3, 8, 4), RGB)
    with pytest.raises(ValueError, match="sizes differ: 8x6 and 8x3 px"):
        recomposition_error(RGB, RGB[:3])
