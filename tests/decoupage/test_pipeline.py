"""The pipeline: the base's own picture at step 0, every form of input, layers peeled one after another."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import FluxFillPipeline
from PIL import Image

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases import find_base
from decoupage.checks import check_finite
from decoupage.faults import BadOutput
from decoupage.images.forms import as_picture
from tests.decoupage.tiny import flux_fill, flux_kontext


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    flux_fill().save_pretrained(root / "fill")
    flux_kontext().save_pretrained(root / "kontext")
    return root


def load(folder, **changes):
    config = AdapterConfig(**{"rank": 4, "num_latents": 4, "fusion_dim": 32, "size_px": 64, **changes})
    torch.manual_seed(0)
    pipe = LayerDecompositionPipeline.from_base(config, folder and str(folder))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def pipe(folders):
    return load(folders / "fill")


def picture(width=64, height=48, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def mask(width=64, height=48, box=(16, 8, 40, 32)):
    image = Image.new("L", (width, height))
    image.paste(255, box)
    return image


def run(pipe, *arguments, **options):
    options = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(7), **options}
    return pipe(*arguments, **options)


@pytest.mark.parametrize("maps", [(), ("edges", "segmentation", "depth")])
def test_without_training_batch_mode_reproduces_the_fill_pipeline(folders, maps):
    # Loaded like ours: weights at other addresses may take other kernels, and the last bits differ.
    published = FluxFillPipeline.from_pretrained(folders / "fill")
    theirs = published(
        prompt="a cat", image=picture(), mask_image=mask(), height=48, width=64, num_inference_steps=3,
        guidance_scale=30.0, generator=torch.Generator().manual_seed(7), output_type="np",
    ).images[0]  # fmt: skip
    ours = run(
        load(folders / "fill", mode="batch", maps=maps), picture(), mask=mask(), prompt="a cat",
        num_inference_steps=3, guidance_scale=30.0, paste_back=False, output_type="pt",
    )  # fmt: skip
    assert np.array_equal(ours.background[0].permute(1, 2, 0).numpy(), theirs)


def test_results_have_the_size_and_form_of_the_input(pipe):
    for width, height in ((64, 48), (50, 37), (33, 90)):
        out = run(pipe, picture(width, height), mask=mask(width, height, (5, 5, 25, 30)))
        assert out.background[0].size == out.foreground[0].size == out.recomposition[0].size == (width, height)
        assert (out.background[0].mode, out.foreground[0].mode) == ("RGB", "RGBA")
        assert len(out.recomposition_error) == 1 and out.recomposition_error[0] >= 0


def test_paste_back_keeps_what_lies_outside_exactly(pipe):
    source = picture(96, 96)
    out = run(pipe, source, mask=mask(96, 96, (30, 30, 50, 50)), paste_back=True)
    far = np.ones((96, 96), bool)
    far[20:60, 20:60] = False
    assert np.array_equal(np.asarray(out.background[0])[far], np.asarray(source)[far])
    assert not np.array_equal(np.asarray(out.background[0])[~far], np.asarray(source)[~far])
    free = run(pipe, source, mask=mask(96, 96, (30, 30, 50, 50)), paste_back=False)
    assert not np.array_equal(np.asarray(free.background[0])[far], np.asarray(source)[far])


def test_the_mask_by_which_an_object_was_taken_off_is_returned(folders, pipe):
    given = mask(96, 96, (30, 30, 50, 50))
    out = run(pipe, picture(96, 96), mask=given)
    assert np.array_equal(np.asarray(out.mask[0]), np.asarray(given))
    masks = [mask(box=(2, 2, 20, 20)), mask(box=(36, 10, 60, 40))]
    peeled = run(pipe, picture(), layers=masks, output_type="np").mask[..., 0]
    assert np.array_equal(peeled, np.stack([np.asarray(each) for each in masks]))
    # A blue square on noise, pointed out by a box with a margin: the mask that is drawn lies closer to it.
    scene = np.random.default_rng(0).integers(90, 110, (96, 96, 3)).astype(np.uint8)
    scene[34:62, 34:62] = (20, 40, 220)
    drawing = load(folders / "fill", refine_masks=True)
    box = mask(96, 96, (26, 26, 70, 70))
    drawn = np.asarray(run(drawing, scene, mask=box).mask[0]) > 0
    assert drawn.sum() < 0.7 * (np.asarray(box) > 0).sum() and drawn[34:62, 34:62].mean() > 0.95


def test_recomposition_is_the_foreground_over_the_background_under_what_lies_in_front(pipe):
    out = run(pipe, picture(), mask=mask(), output_type="np")
    rgba, rgb, front = out.foreground[0].astype(float), out.background[0].astype(float), out.in_front[0]
    alpha, covered = rgba[..., 3:] / 255, front[..., 3] > 0
    laid = rgba[..., :3] * alpha + rgb * (1 - alpha)
    assert np.abs(laid - out.recomposition[0])[~covered].max() <= 0.5 + 1e-6
    assert np.array_equal(out.recomposition[0][covered], np.asarray(picture())[covered])
    assert not (covered & (np.asarray(mask()) > 0)).any() and not front[~covered].any()
    difference = np.abs(out.recomposition[0].astype(float) - np.asarray(picture()))
    assert out.recomposition_error[0] == pytest.approx(difference.mean(), abs=1e-3)


def cutting(folders, size_px=64):
    """A pipeline whose alpha is noise about 1, so that there is a foreground with holes to look at."""
    pipe = load(folders / "fill", size_px=size_px)
    with torch.no_grad():
        pipe.vae_rgba.decoder.conv_out.bias[3] = 0.9
        torch.nn.init.normal_(pipe.vae_rgba.decoder.conv_out.weight[3], std=0.1)
    return pipe


@pytest.mark.parametrize("size", [(64, 48), (200, 150)])
def test_the_foreground_has_the_pictures_colours_and_does_not_depend_on_paste_back(folders, size):
    pipe, source, where = cutting(folders), picture(*size), mask(*size)
    pasted, free = (run(pipe, source, mask=where, paste_back=each, output_type="np") for each in (True, False))
    assert np.array_equal(pasted.foreground, free.foreground)
    assert not np.array_equal(pasted.background, free.background)
    alone = (np.asarray(where) > 0) & (pasted.foreground[0][..., 3] == 255)
    assert alone.sum() > 20
    assert np.array_equal(pasted.foreground[0][alone][:, :3], np.asarray(source)[alone])


def test_each_layer_has_the_colours_of_the_picture_whether_or_not_pixels_are_pasted_back(folders):
    pipe, masks = cutting(folders), [mask(box=(2, 2, 20, 20)), mask(box=(36, 10, 60, 40))]
    pasted, free = (run(pipe, picture(), layers=masks, paste_back=each, output_type="np") for each in (True, False))
    assert np.array_equal(pasted.foreground, free.foreground)
    for layer, where in zip(pasted.foreground, masks, strict=True):
        alone = (np.asarray(where) > 0) & (layer[..., 3] == 255)
        assert alone.any() and np.array_equal(layer[alone][:, :3], np.asarray(picture())[alone])


def test_without_a_folder_the_packaged_adapter_is_loaded():
    pipe = LayerDecompositionPipeline.from_pretrained(maps="none")
    assert pipe.adapter.base == "small-fill"
    assert run(pipe, picture(), mask=mask()).foreground[0].size == (64, 48)


@pytest.mark.parametrize("saved", [False, True])
def test_half_precision_runs_while_training_and_when_published(folders, tmp_path, saved):
    config = AdapterConfig(rank=4, num_latents=4, fusion_dim=32, size_px=64)
    pipe = LayerDecompositionPipeline.from_base(config, str(folders / "fill"), dtype=torch.bfloat16)
    assert pipe.transformer.x_embedder.weight.dtype == torch.float32
    if saved:
        pipe.save_pretrained(tmp_path / "adapter")
        base = str(folders / "fill")
        pipe = LayerDecompositionPipeline.from_pretrained(tmp_path / "adapter", base=base, dtype=torch.bfloat16)
        assert pipe.transformer.x_embedder.weight.dtype == torch.bfloat16
    pipe.set_progress_bar_config(disable=True)
    exact = run(load(folders / "fill"), picture(), mask=mask(), output_type="pt")
    rough = run(pipe, picture(), mask=mask(), output_type="pt")
    assert (rough.background - exact.background).abs().mean() < 0.05


def test_invisible_pixels_are_empty(folders):
    pipe = load(folders / "fill")
    with torch.no_grad():
        # A decoder that says "invisible" in half of the cases.
        pipe.vae_rgba.decoder.conv_out.bias[3] = -1
        torch.nn.init.normal_(pipe.vae_rgba.decoder.conv_out.weight[3], std=0.1)
    rgba = np.asarray(run(pipe, picture(), mask=mask()).foreground[0])
    hidden = rgba[..., 3] == 0
    assert 0 < hidden.mean() < 1 and (rgba[hidden] == 0).all()


def test_alpha_is_stretched_between_the_adapters_levels(folders):
    pipe = load(folders / "fill")
    with torch.no_grad():
        pipe.vae_rgba.decoder.conv_out.bias[3] = 0
        torch.nn.init.normal_(pipe.vae_rgba.decoder.conv_out.weight[3], std=0.05)
    as_decoded = run(pipe, picture(), mask=mask(), output_type="pt").foreground[:, 3]
    pipe.adapter = replace(pipe.adapter, alpha_levels=(0.25, 0.75))
    stretched = run(pipe, picture(), mask=mask(), output_type="pt").foreground[:, 3]
    sure = (as_decoded > 0.3) & (as_decoded < 0.7)
    assert sure.any()
    torch.testing.assert_close(stretched[sure], (as_decoded[sure] - 0.25) * 2)
    assert (stretched[as_decoded >= 0.75] == 1).all() and (stretched[as_decoded <= 0.25] == 0).all()


def test_the_seed_decides(pipe):
    first, again = (run(pipe, picture(), mask=mask(), output_type="np") for _ in range(2))
    other = run(pipe, picture(), mask=mask(), output_type="np", generator=torch.Generator().manual_seed(8))
    assert np.array_equal(first.foreground, again.foreground) and np.array_equal(first.background, again.background)
    assert not np.array_equal(first.foreground, other.foreground)


def test_a_batch_is_its_pictures_each_with_its_own_generator(pipe):
    sources, masks = [picture(seed=1), picture(seed=2)], [mask(), mask(box=(2, 2, 30, 20))]
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    both = run(pipe, sources, mask=masks, output_type="pt", generator=generators)
    for i, seed in enumerate((1, 2)):
        alone = run(pipe, sources[i], mask=masks[i], output_type="pt", generator=torch.Generator().manual_seed(seed))
        assert torch.allclose(both.background[i], alone.background[0], atol=1e-3)
        assert torch.allclose(both.foreground[i], alone.foreground[0], atol=1e-3)


def test_layers_are_peeled_front_to_back_each_on_what_is_left(pipe):
    masks = [mask(box=(2, 2, 20, 20)), mask(box=(30, 10, 60, 40))]
    out = run(pipe, picture(), layers=masks)
    assert len(out.foreground) == 2 and len(out.background) == 1
    step = run(pipe, picture(), mask=masks[0])
    assert np.array_equal(np.asarray(out.foreground[0]), np.asarray(step.foreground[0]))
    assert not np.array_equal(np.asarray(out.background[0]), np.asarray(step.background[0]))


def test_maps_change_the_result_once_the_projection_listens(folders):
    pipe = load(folders / "fill")
    maps = {"edges": np.zeros((48, 64), bool), "depth": np.linspace(0, 1, 48 * 64).reshape(48, 64)}

    def background(**options):
        return run(pipe, picture(), mask=mask(), output_type="np", paste_back=False, **options).background

    # The new columns are zero at step 0, so nothing can change.
    assert np.array_equal(background(), background(maps=maps))
    torch.nn.init.normal_(pipe.transformer.x_embedder.added.weight)
    assert not np.array_equal(background(), background(maps=maps))
    pipe.make_maps = lambda rgb, names: {name: maps[name] for name in names if name in maps}
    assert np.array_equal(background(), background(maps=maps))
    assert not np.array_equal(background(maps={"edges": ~maps["edges"]}), background(maps=maps))


@pytest.mark.parametrize(
    ("base", "folder"), [("flux-fill", "fill"), ("flux-kontext", "kontext"), ("flux-kontext-native", "kontext")]
)
@pytest.mark.parametrize("mode", ["joint", "batch"])
def test_every_base_and_mode_gives_layers(folders, base, folder, mode):
    out = run(load(folders / folder, base=base, mode=mode), picture(), mask=mask())
    assert out.background[0].size == out.foreground[0].size == (64, 48)


def test_large_pictures_are_worked_on_scaled_down(pipe):
    out = run(pipe, picture(200, 120), mask=mask(200, 120, (50, 30, 120, 90)), max_pixels=64 * 64)
    assert out.background[0].size == (200, 120)


@pytest.mark.parametrize(("base", "folder"), [("flux-fill", "fill"), ("small-fill", None)])
@pytest.mark.parametrize("published", [False, True])
def test_offloading_changes_no_picture(folders, tmp_path, base, folder, published):
    source = folders / folder if folder else find_base(base).packaged

    def fresh():
        pipe = load(source, base=base)
        torch.nn.init.normal_(pipe.transformer.x_embedder.added.weight, std=0.1)
        if published:
            pipe.save_pretrained(tmp_path / "adapter")
            pipe = LayerDecompositionPipeline.from_pretrained(tmp_path / "adapter", base=str(source), maps="none")
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def layers(pipe):
        out = run(pipe, picture(), mask=mask(), maps={"edges": np.eye(48, 64, dtype=bool)}, output_type="np")
        return out.background, out.foreground

    plain, one_by_one, model_by_model = fresh(), fresh(), fresh()
    # As `enable_sequential_cpu_offload` does, which takes no CPU: weights are on meta but while a module runs.
    for part in one_by_one.components.values():
        if isinstance(part, torch.nn.Module):
            cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    assert all(parameter.is_meta for parameter in one_by_one.fusion.parameters())
    model_by_model.enable_model_cpu_offload(device="cpu")
    called = []
    for name in ("fusion", "transformer", "vae", "vae_rgba"):
        hook = getattr(model_by_model, name)._hf_hook
        hook.pre_forward = partial(_note, called, name, hook.pre_forward)
    expected = layers(plain)
    for pipe in (one_by_one, model_by_model):
        assert all(np.array_equal(*pair) for pair in zip(layers(pipe), expected, strict=True))
    assert set(called) == {"fusion", "transformer", "vae", "vae_rgba"}  # Each is moved when it is used.


def _note(called, name, then, *arguments, **options):
    called.append(name)
    return then(*arguments, **options)


def test_progress_callback_tiling_and_numpy_input(pipe):
    seen = []
    pipe.enable_tiling()
    out = run(
        pipe, np.asarray(picture()), mask=np.asarray(mask()) > 0,
        callback_on_step_end=lambda pipe, step, timestep, tokens: seen.append((step, tokens["background"].shape)),
    )  # fmt: skip
    pipe.vae.disable_tiling()
    pipe.vae_rgba.disable_tiling()
    assert seen == [(0, (1, 12, 64)), (1, (1, 12, 64))] and len(out.background) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give either mask="),
        ({"mask": mask(), "layers": [mask()]}, "give either mask="),
        ({"mask": Image.new("L", (64, 48))}, "empty"),
        ({"mask": Image.new("L", (64, 48), 255)}, "covers"),
        ({"mask": mask(32, 32, (4, 4, 9, 9))}, "32"),
        ({"mask": mask(), "maps": {"flow": np.zeros((48, 64))}}, "takes the maps edges, segmentation, depth, got flow"),
        ({"mask": mask(), "output_type": "svg"}, "output_type must be one of pil, np, pt"),
    ],
)
def test_wrong_calls_say_what_is_wrong(pipe, options, words):
    with pytest.raises(ValueError, match=words):
        run(pipe, picture(), **options)


def test_floats_in_minus_one_to_one_are_refused(pipe):
    with pytest.raises(ValueError, match="0"):
        run(pipe, as_picture(picture()) * 2 - 1, mask=mask())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": ["a", "b"]}, "2 prompts for 1 picture"),
        ({"prompt": []}, "0 prompts for 1 picture"),
        ({"prompt": [1]}, "prompt must be text"),
        ({"image": [picture(), picture()], "prompt": ["a"]}, "1 prompt for 2 pictures"),
        ({"generator": [torch.Generator(), torch.Generator()]}, "2 generators for 1 picture"),
        ({"generator": 7}, "generator must be a torch.Generator"),
        ({"num_inference_steps": 0}, "num_inference_steps must be a whole number of at least 1, got 0"),
        ({"num_inference_steps": -1}, "at least 1, got -1"),
        ({"num_inference_steps": 2.5}, "whole number"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be a finite number of at least 0, got nan"),
        ({"guidance_scale": -1.0}, "at least 0, got -1"),
        ({"max_pixels": 0}, "max_pixels must be at least"),
        ({"image": [picture()] * 3, "mask": [mask()] * 2}, "2 masks for 3 pictures"),
        ({"mask": None, "layers": [[mask(), mask()]]}, "one of them is a batch of 2"),
        ({"mask": None, "layers": []}, "at least one mask, got 1 and 0"),
    ],
)
def test_options_that_fit_no_picture_are_refused_with_the_reason(pipe, options, words):
    with pytest.raises(ValueError, match=words):
        run(pipe, **{"image": picture(), "mask": mask(), **options})


def test_numbers_of_numpy_are_numbers(pipe):
    theirs = run(pipe, picture(), mask=mask(), num_inference_steps=np.int64(1), guidance_scale=np.float32(1))
    ours = run(pipe, picture(), mask=mask(), num_inference_steps=1, guidance_scale=1.0)
    assert np.array_equal(np.asarray(theirs.foreground[0]), np.asarray(ours.foreground[0]))
    assert np.array_equal(np.asarray(theirs.background[0]), np.asarray(ours.background[0]))


@pytest.mark.parametrize(
    ("part", "weight", "words"),
    [
        ("transformer", "proj_out.weight", "100.0% of the background latents and 100.0% of the foreground latents"),
        ("vae", "decoder.conv_out.bias", "33.3% of the background is not finite"),
        ("vae_rgba", "decoder.conv_out.bias", "25.0% of the foreground is not finite"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_answer(folders, part, weight, words, value):
    pipe = load(folders / "fill")
    tensor = dict(getattr(pipe, part).named_parameters())[weight]
    with torch.no_grad():
        tensor[..., 0] = value
    with pytest.raises(BadOutput, match=words):
        run(pipe, picture(), mask=mask())


def test_the_remedy_goes_by_the_number_format():
    values = torch.tensor([1.0, float("nan")])
    for dtype, words in (
        (torch.float16, "bfloat16 or float32 instead of float16"),
        (torch.bfloat16, "float32 instead"),
    ):
        with pytest.raises(BadOutput, match=words):
            check_finite(dtype, background=values)
    with pytest.raises(BadOutput, match="no picture: check the weights"):
        check_finite(torch.float32, background=values)
    check_finite(torch.float16, background=torch.full((9,), 60_000.0, dtype=torch.float16))
