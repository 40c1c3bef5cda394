"""One rule for all: the size at which a model works, and pictures that come back as they were."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.images.sizes import resize_mask, resize_picture, resize_rgba, working_geometry
from evaluation.config.baselines import FluxFill, SdxlInpainting
from evaluation.method import answer
from evaluation.methods.base import base_method
from evaluation.methods.models import PipelineMethod
from evaluation.methods.published import methods
from tests.evaluation.scenes import cases

SIDES = st.integers(16, 512)
CASE = cases(1)[0]
SIZE_PX = 128


@given(SIDES, SIDES, st.sampled_from([8, 16, 32]), st.sampled_from([256, 640, 1024]))
def test_any_picture_is_brought_to_the_same_area_and_keeps_its_aspect(height, width, multiple, size_px):
    found = working_geometry((height, width), multiple, size_px)
    assert all(side % multiple == 0 and side >= multiple for side in found.canvas_px)
    longest, shortest = max(found.content_px), min(found.content_px)
    assert found.canvas_px[0] * found.canvas_px[1] <= size_px**2
    # One multiple more of either side would be too much.
    assert (longest + multiple + 1) * (shortest + multiple + 1) > size_px**2 - multiple * (longest + shortest)
    scale = longest / max(height, width)
    for side, was in zip(found.content_px, (height, width), strict=True):
        assert abs(side - was * scale) <= 0.5 + 1e-9 or side == 1


@pytest.mark.parametrize(
    ("size", "content", "canvas"),
    [
        ((1024, 1024), (1024, 1024), (1024, 1024)),
        ((480, 640), (880, 1174), (880, 1184)),
        ((960, 1280), (880, 1174), (880, 1184)),
        ((3000, 4000), (880, 1174), (880, 1184)),
        ((512, 512), (1024, 1024), (1024, 1024)),
    ],
)
def test_known_sizes(size, content, canvas):
    found = working_geometry(size, 16, 1024)
    assert (found.content_px, found.canvas_px) == (content, canvas)


def at(size):
    """A case of another size; its truth is not looked at."""
    picture = cv2.resize(CASE.composite, size[::-1])
    return replace(CASE, composite=picture, mask=resize_mask(CASE.mask, size), maps=None)


def of_a_network(method, network):
    """Pixels of what a network of ours sees of one picture, which it sees in tokens of 16 x 16."""
    seen = []
    network.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["hidden_states"].shape[1]), with_kwargs=True
    )

    def pixels(size):
        seen.clear()
        assert answer(method, at(size)).background.shape == (*size, 3)
        return 16**2 * seen[0]

    return pixels


def ours():
    config = AdapterConfig(base="small-fill", rank=2, maps=(), mode="batch", size_px=SIZE_PX)
    pipe = LayerDecompositionPipeline.from_base(config)
    return of_a_network(PipelineMethod("adapter", pipe, ["background"], 1, 0), pipe.transformer)


def the_base():
    method = base_method("small-fill", None, 0)
    return of_a_network(method, method._components["transformer"])


def published(name, config):
    class Spy:
        def set_progress_bar_config(self, disable):
            pass

        def __call__(self, **asked):
            self.size = (asked["height"], asked["width"])
            assert asked["image"].size == asked["mask_image"].size == self.size[::-1]
            return type("Output", (), {"images": [np.zeros((*self.size, 3), np.float32)]})

    spy = Spy()
    method = getattr(methods, name)(config, spy, 0)

    def pixels(size):
        assert answer(method, at(size)).background.shape == (*size, 3)
        return spy.size[0] * spy.size[1]

    return pixels


METHODS = {
    "adapter": ours,
    "base": the_base,
    "sdxl_inpainting": lambda: published("sdxl_inpainting", SdxlInpainting(size_px=SIZE_PX)),
    "flux_fill": lambda: published("flux_fill", FluxFill(size_px=SIZE_PX)),
}


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_every_model_sees_small_and_large_pictures_at_the_size_that_it_was_made_for(make):
    """MULAN's 640 x 480 px at a model of 1024 px, sixteen times smaller: nobody's are enlarged alone."""
    pixels = make()
    for size in ((64, 64), (32, 32), (160, 160)):
        assert pixels(size) == SIZE_PX**2
    small, large = pixels((30, 40)), pixels((120, 160))
    assert small == large and 0.7 * SIZE_PX**2 < small <= SIZE_PX**2


def test_where_a_caller_bounds_the_pixels_nothing_is_enlarged():
    assert working_geometry((480, 640), 16, 1024, 1024**2).content_px == (480, 640)
    assert working_geometry((960, 1280), 16, 1024, 640 * 480).content_px == (480, 640)


def test_at_its_own_size_nothing_is_resampled():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    assert resize_rgba(picture, (20, 30)) is picture
    assert np.array_equal(resize_picture(picture[..., :3], (20, 30)), picture[..., :3])
    mask = picture[..., 0] > 127
    assert resize_mask(mask, (20, 30)) is mask


def test_there_and_back_a_smooth_picture_is_the_same():
    ramp = np.linspace(20, 230, 48)
    picture = np.rint(np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128.0), axis=-1)).astype(np.uint8)
    back = resize_picture(resize_picture(picture, (96, 96)), (48, 48))
    assert np.abs(back.astype(int) - picture).max() <= 2


def test_a_layers_rim_takes_no_colour_from_what_is_invisible():
    layer = np.zeros((32, 32, 4), np.uint8)
    layer[8:24, 8:24] = (200, 100, 50, 255)
    layer[layer[..., 3] == 0, :3] = (0, 255, 0)
    for size in ((16, 16), (80, 80)):
        found = resize_rgba(layer, size)
        seen = found[..., 3] > 12
        assert np.abs(found[seen][:, :3].astype(int) - (200, 100, 50)).max() <= 6
        assert abs(found[..., 3].mean() - layer[..., 3].mean()) < 3


@given(st.integers(20, 200), st.integers(20, 200))
def test_a_mask_keeps_its_area(height, width):
    mask = np.zeros((64, 64), bool)
    mask[16:48, 8:40] = True
    found = resize_mask(mask, (height, width))
    assert found.dtype == bool and abs(found.mean() - mask.mean()) < 2 / min(height, width)
