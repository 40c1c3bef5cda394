"""Published baselines on tiny random weights: found, checked, loaded, asked at their size, seeded image by image."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from decoupage.faults import BadSetup
from evaluation.config.baselines import FluxFill, QwenImageEdit, QwenImageLayered, SdxlInpainting
from evaluation.method import Failure, Layers, answer
from evaluation.methods.published import methods, weights
from evaluation.methods.published.catalogue import PUBLISHED
from tests.decoupage import tiny as small_bases
from tests.evaluation.methods import tiny
from tests.evaluation.scenes import cases

CASES = cases(2, size_px=48)
NAMES = ("sdxl_inpainting", "flux_fill", "qwen_image_edit", "qwen_image_layered")
CONFIGS = {
    "sdxl_inpainting": SdxlInpainting(num_steps=2, size_px=64),
    "flux_fill": FluxFill(num_steps=1, size_px=64),
    "qwen_image_edit": QwenImageEdit(num_steps=1),
    "qwen_image_layered": QwenImageLayered(num_steps=1, num_layers=2, prompt="a scene"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Saved pipelines of the two that need nothing beyond the core packages."""
    root = tmp_path_factory.mktemp("weights")
    tiny.sdxl_inpaint().save_pretrained(root / "sdxl_inpainting")
    small_bases.flux_fill().save_pretrained(root / "flux_fill")
    return root


@pytest.fixture
def pipes(monkeypatch):
    """One of each. Qwen's pipelines bring everything to a megapixel, which a CPU takes half a minute for."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_inpaint, pipeline_qwenimage_layered

    monkeypatch.setattr(pipeline_qwenimage_edit_inpaint, "calculate_dimensions", lambda area, ratio: (64, 64, None))
    monkeypatch.setattr(pipeline_qwenimage_layered, "calculate_dimensions", lambda area, ratio: (64, 64))
    makers = (tiny.sdxl_inpaint, small_bases.flux_fill, tiny.qwen_edit, tiny.qwen_layered)
    return dict(zip(NAMES, makers, strict=True))


def method_of(name, pipe, seed=0, **changes):
    return getattr(methods, name)(CONFIGS[name].model_copy(update=changes), pipe, seed)


def picture(layers):
    assert isinstance(layers, Layers), layers
    return layers.background if layers.foreground is None else layers.foreground


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_what_it_promises_seeded_by_image(name, pipes):
    method = method_of(name, pipes[name]())
    assert method.name == name and method.gives == {PUBLISHED[name].gives}
    found = [answer(method, case) for case in CASES]
    for case, layers in zip(CASES, found, strict=True):
        channels = 4 if "foreground" in method.gives else 3
        assert picture(layers).shape == (*case.size, channels) and picture(layers).dtype == np.uint8
    state = torch.random.get_rng_state()
    again = answer(method, CASES[1])
    assert np.array_equal(picture(again), picture(found[1]))
    assert torch.equal(torch.random.get_rng_state(), state), "torch's own generator moved"
    renamed = answer(method, replace(CASES[1], name="other"))
    assert not np.array_equal(picture(renamed), picture(found[1]))
    reseeded = answer(method_of(name, method.pipe, seed=1), CASES[1])
    assert not np.array_equal(picture(reseeded), picture(found[1]))


@pytest.mark.parametrize("name", NAMES)
def test_no_truth_is_looked_at(name, pipes):
    pipe = pipes[name]()
    blind = replace(CASES[0], background=None, foreground=None, visible=np.zeros_like(CASES[0].visible))
    seen, unseen = (picture(answer(method_of(name, pipe), case)) for case in (CASES[0], blind))
    assert np.array_equal(seen, unseen)


@pytest.mark.parametrize("name", NAMES[:3])
def test_the_mask_is_heard(name, pipes):
    """A mask that is empty, and one that is full: a masked model must tell them apart."""
    pipe = pipes[name]()
    for_mask = {
        value: picture(answer(method_of(name, pipe), replace(CASES[0], mask=np.full_like(CASES[0].mask, value))))
        for value in (False, True)
    }
    assert not np.array_equal(for_mask[False], for_mask[True])


class Spy:
    """Stands where a pipeline stands and writes down what it is asked."""

    def __init__(self, size=None, value=0.5):
        self.size, self.value = size, value

    def set_progress_bar_config(self, disable):
        pass

    def __call__(self, **asked):
        self.asked = asked
        size = self.size or (asked["width"], asked["height"])
        return type("Output", (), {"images": np.full((1, size[1], size[0], 3), self.value, np.float32)})


@pytest.mark.parametrize(
    ("name", "guidance", "negative"),
    [
        ("sdxl_inpainting", "guidance_scale", True),
        ("flux_fill", "guidance_scale", False),
        ("qwen_image_edit", "true_cfg_scale", True),
    ],
)
def test_the_profiles_numbers_reach_the_pipeline(name, guidance, negative):
    spy = Spy((80, 64) if name == "qwen_image_edit" else None)  # It chooses its size itself.
    method = method_of(name, spy, num_steps=7, guidance=3.5, prompt="nothing")
    case = replace(CASES[0], composite=CASES[0].composite[:36], mask=CASES[0].mask[:36])
    assert method(case).background.shape == (36, 48, 3)
    assert (spy.asked["num_inference_steps"], spy.asked[guidance], spy.asked["prompt"]) == (7, 3.5, "nothing")
    assert ("negative_prompt" in spy.asked) == negative
    width, height = spy.asked["image"].size
    assert spy.asked["mask_image"].size == (width, height) and spy.asked["mask_image"].mode == "L"
    if name != "qwen_image_edit":
        assert (width, height) == (spy.asked["width"], spy.asked["height"]) == (64, 48)


@pytest.mark.parametrize("name", NAMES[:3])
def test_values_that_are_not_finite_are_a_failure_and_never_black(name):
    spy = Spy((64, 64) if name == "qwen_image_edit" else None, value=np.nan)
    found = answer(method_of(name, spy), CASES[0])
    assert isinstance(found, Failure) and "not finite (100.0% of its picture)" in found.reason


@pytest.mark.parametrize("name", NAMES)
def test_one_nan_in_the_weights_of_a_decoder_is_a_failure(name, pipes):
    pipe = pipes[name]()
    with torch.no_grad():
        next(pipe.vae.decoder.parameters()).view(-1)[0] = float("nan")
    found = answer(method_of(name, pipe), CASES[0])
    assert isinstance(found, Failure) and "BadOutput" in found.reason, found


def test_of_layers_the_one_that_fits_the_mask_is_taken():
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    full, fitting, shifted = (np.zeros((8, 8, 4), np.uint8) for _ in range(3))
    full[..., 3] = 255
    fitting[2:5, 2:6, 3] = 255
    shifted[4:7, 4:7, 3] = 255
    assert methods.best_layer([full, shifted, fitting], mask) is fitting
    assert methods.best_layer([np.zeros_like(full)], mask) is not None


@pytest.mark.parametrize("name", NAMES[:2])
def test_weights_are_found_checked_and_loaded_from_a_folder(name, folders):
    config = CONFIGS[name].model_copy(update={"folder": str(folders / name), "device": "cpu"})
    assert all(requirement.present for requirement in weights.requirements(name, config))
    assert PUBLISHED[name].licence in weights.requirements(name, config)[0].found
    pipe = weights.load(name, config)
    assert type(pipe).__name__ == PUBLISHED[name].pipeline and pipe.dtype == torch.float32
    # Loaded like ours: weights at other addresses may round the other way.
    theirs = type(pipe).from_pretrained(folders / name, torch_dtype=torch.float32)
    with sdpa_kernel(SDPBackend.MATH):  # The other one rounds by where its numbers lie in memory.
        loaded, published = (picture(answer(method_of(name, one), CASES[0])) for one in (pipe, theirs))
    assert np.array_equal(loaded, published)
    half = weights.load(name, config.model_copy(update={"dtype": "bfloat16"}))
    assert half.dtype == torch.bfloat16 and picture(answer(method_of(name, half), CASES[0])) is not None


@pytest.mark.parametrize("name", NAMES)
def test_every_pipeline_is_one_of_diffusers(name):
    assert hasattr(diffusers, PUBLISHED[name].pipeline)
    assert callable(getattr(methods, name))


@pytest.mark.parametrize("name", NAMES)
def test_absent_weights_come_with_the_line_that_gets_them(name, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    config = CONFIGS[name].model_copy(update={"weights": f"{CONFIGS[name].weights}@abc123"})
    requirement = weights.requirements(name, config)[-1]
    assert not requirement.present and PUBLISHED[name].licence in requirement.found
    assert f"hf download {CONFIGS[name].weights} --include model_index.json" in requirement.fix
    assert "--revision abc123" in requirement.fix
    assert ("accept the licence" in requirement.fix) == (name == "flux_fill")
    with pytest.raises(BadSetup, match="hf download"):
        weights.load(name, config)
    with pytest.raises(BadSetup, match="hf download"):
        weights.facts(name, config)
    assert weights.settings(config) == weights.settings(CONFIGS[name])  # What was recorded stays valid.


def test_damaged_weights_are_told_before_anything_is_loaded(folders, tmp_path):
    tiny.sdxl_inpaint().save_pretrained(tmp_path)
    config = SdxlInpainting(folder=str(tmp_path))
    before = weights.facts("sdxl_inpainting", config)["weights_sha256"]
    other = weights.facts("sdxl_inpainting", SdxlInpainting(folder=str(folders / "sdxl_inpainting")))
    assert before == other["weights_sha256"], "where files lie is no part of what they are"
    path = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    (requirement,) = weights.requirements("sdxl_inpainting", config)
    assert not requirement.present and "unet" in requirement.found and "damaged" in requirement.found
    assert weights.facts("sdxl_inpainting", config)["weights_sha256"] != before


def test_a_folder_that_is_none_is_told(tmp_path):
    (requirement,) = weights.requirements("sdxl_inpainting", SdxlInpainting(folder=str(tmp_path)))
    assert not requirement.present and str(tmp_path) in requirement.found and "diffusers' layout" in requirement.fix
