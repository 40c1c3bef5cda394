"""The base by its publisher's settings: diffusers' own pictures, half of a decomposition's work, its own size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline, FluxKontextPipeline
from PIL import Image

from decoupage.bases import find_base
from decoupage.bases.spec import Sampling
from decoupage.images.sizes import working_geometry
from decoupage.preparation import HOLE_RULE, prepare, unit_rgb
from evaluation.method import Failure, answer
from evaluation.methods.base import BaseMethod, base_method, base_recipe, inpaint
from evaluation.methods.noise import noise_of
from tests.decoupage.tiny import flux_fill, flux_kontext
from tests.evaluation.scenes import cases

CASE = cases(3)[2]
PUBLISHERS = {"flux-fill": (50, 30.0, 1024), "flux-kontext": (28, 2.5, 1024), "small-fill": (1, 1.0, 128)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    flux_fill().save_pretrained(root / "flux-fill")
    flux_kontext().save_pretrained(root / "flux-kontext")
    return root


def ours(folder, name, case, sampling, seed=0):
    """[H, W, 3] in [0, 1]: the base's own picture of a case, by these settings."""
    base = find_base(name).as_published
    geometry = working_geometry(case.size, base.pixel_multiple, sampling.size_px)
    prepared = prepare(unit_rgb(case.composite), case.mask, {}, geometry)
    return inpaint(base, base.load(str(folder)), prepared, sampling, noise_of(seed, case))[0].permute(1, 2, 0).numpy()


def test_it_is_the_fill_pipelines_own_picture(folders):
    sampling = Sampling(3, 30.0, 64, "here")
    published = FluxFillPipeline.from_pretrained(folders / "flux-fill")
    theirs = published(
        prompt="", image=Image.fromarray(CASE.composite), mask_image=Image.fromarray(CASE.mask), height=64, width=64,
        num_inference_steps=3, guidance_scale=30.0, generator=noise_of(0, CASE), output_type="np",
    ).images[0]  # fmt: skip
    found = ours(folders / "flux-fill", "flux-fill", CASE, sampling)
    assert np.array_equal(found, theirs)
    assert not np.array_equal(ours(folders / "flux-fill", "flux-fill", CASE, replace(sampling, guidance=1.0)), theirs)


def test_kontext_is_judged_as_it_is_published_with_the_picture_in_sequence(folders):
    published = FluxKontextPipeline.from_pretrained(folders / "flux-kontext")
    theirs = published(
        prompt="", image=Image.fromarray(CASE.composite), height=64, width=64, max_area=64 * 64, _auto_resize=False,
        num_inference_steps=3, guidance_scale=2.5, generator=noise_of(0, CASE), output_type="np",
    ).images[0]  # fmt: skip
    found = ours(folders / "flux-kontext", "flux-kontext", CASE, Sampling(3, 2.5, 64, "here"))
    assert np.abs(found - theirs).max() < 1e-5


@pytest.mark.parametrize("name", PUBLISHERS)
def test_the_settings_are_its_publishers_and_say_whose(name):
    recipe, (num_steps, guidance, size_px) = base_recipe(name, None, 0), PUBLISHERS[name]
    assert (recipe.settings["num_steps"], recipe.settings["guidance"]) == (num_steps, guidance)
    assert recipe.size_px == size_px and "card" in recipe.settings["settings_of"]


def test_a_base_that_starts_from_noise_depends_on_the_seed(folders):
    sampling = Sampling(1, 30.0, 64, "here")
    first, again, other = (ours(folders / "flux-fill", "flux-fill", CASE, sampling, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_only_the_background_is_sampled():
    """One call a step over the tokens of one picture, where a decomposition has those of two."""
    method = base_method("small-fill", None, 0)
    assert isinstance(method, BaseMethod)
    seen = []
    network = method._components["transformer"]
    network.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
    )
    layers = answer(method, CASE)
    assert layers.foreground is None and layers.background.shape == CASE.composite.shape
    (tokens,) = seen
    assert tokens.shape[1] == (64 // 8) ** 2 and len(tokens) == 1


def test_no_truth_is_looked_at_and_the_mask_is_heard():
    method = base_method("small-fill", None, 0)
    blind = replace(CASE, background=None, foreground=None, visible=np.zeros_like(CASE.visible), maps=None)
    assert np.array_equal(answer(method, CASE).background, answer(method, blind).background)
    full = replace(CASE, mask=np.ones_like(CASE.mask))
    assert not np.array_equal(answer(method, CASE).background, answer(method, full).background)


def test_every_pixel_that_the_mask_touches_is_generated():
    """As for the adapter: what is kept of the object would be continued."""
    assert HOLE_RULE == "touched"
    small = replace(CASE, composite=CASE.composite.copy())
    small.composite[CASE.mask] = 255 - small.composite[CASE.mask]
    method = base_method("small-fill", None, 0)
    assert np.array_equal(answer(method, CASE).background, answer(method, small).background)
    torch.manual_seed(1)
    assert np.array_equal(answer(method, CASE).background, answer(method, small).background)


def test_a_picture_that_is_not_finite_is_a_failure_and_never_black():
    method = base_method("small-fill", None, 0)
    with torch.no_grad():
        next(method._components["transformer"].parameters()).view(-1)[0] = float("nan")
    found = answer(method, CASE)
    assert isinstance(found, Failure) and "not finite (" in found.reason and "float32" in found.reason
