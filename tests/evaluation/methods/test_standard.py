"""Methods: what each gives, and that faults count against their own image."""

import shutil
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from decoupage.images.grabcut import refined_mask
from evaluation.config import EvaluationConfig
from evaluation.method import Failure, Layers, answer
from evaluation.methods.base import base_method
from evaluation.methods.classical import classical_methods, classical_recipes
from evaluation.methods.models import PipelineMethod, adapter_recipe
from evaluation.methods.noise import noise_of
from evaluation.methods.standard import standard_recipes
from evaluation.metrics.score import paste_back
from evaluation.regions import distance_px
from evaluation.rivals import SIMPLE
from evaluation.run import judge
from evaluation.test_sets.shards import HeldOut
from pipelines.synthetic import FakeScenes, build_dataset
from tests.evaluation.scenes import Known, cases

CASES = cases(4)
CLASSICAL = {method.name: method for method in classical_methods()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(base, adapter) with random weights; the adapter is not at step 0."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(root / "base"))
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=64)
    pipe = LayerDecompositionPipeline.from_base(config, str(root / "base"))
    for name, parameter in pipe.transformer.named_parameters():
        if "lora_B" in name or "x_embedder" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    pipe.save_pretrained(root / "adapter")
    return str(root / "base"), str(root / "adapter")


@pytest.mark.parametrize("method", CLASSICAL.values(), ids=CLASSICAL)
def test_classical_methods_give_what_they_promise_and_change_only_the_mask(method):
    for case in CASES:
        found = answer(method, case)
        assert isinstance(found, Layers)
        assert {part for part in SIMPLE if getattr(found, part) is not None} == method.gives
        if found.background is not None:
            drawn = method.name == "grabcut"
            mask = refined_mask(case.composite, case.mask) if drawn else case.mask
            outside = distance_px(mask) > (2 if drawn or method.name.endswith("_grown") else 0)
            assert np.array_equal(found.background[outside], case.composite[outside])
            assert np.array_equal(paste_back(case, found.background, found.opacity), found.background), "as it is used"


def test_classical_methods_are_opencvs():
    case = CASES[1]
    mask = case.mask.astype(np.uint8)
    for name, flag in (("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)):
        found = answer(CLASSICAL[name], case)
        assert np.array_equal(found.background, cv2.inpaint(case.composite, mask, 3, flag))
    grown = answer(CLASSICAL["telea_grown"], case)
    disc = np.array([[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]], np.uint8)
    expected = cv2.inpaint(case.composite, cv2.dilate(mask, disc), 3, cv2.INPAINT_TELEA)
    assert np.array_equal(grown.background, expected)
    given = answer(CLASSICAL["given_mask"], case)
    assert np.array_equal(given.foreground[..., 3] > 0, case.mask)
    assert np.array_equal(given.foreground[..., :3], case.composite)
    drawn = answer(CLASSICAL["grabcut"], case)
    assert np.array_equal(drawn.foreground[..., 3] > 0, refined_mask(case.composite, case.mask))


def test_simple_methods_are_those_that_reports_know_as_rivals():
    for part, names in SIMPLE.items():
        assert {name for name, method in CLASSICAL.items() if part in method.gives} - {"input"} == set(names)
    settings = {recipe.name: recipe.settings for recipe in classical_recipes()}
    assert set(settings["telea"]) == {"version", "opencv"} and "scipy" in settings["smooth"]
    assert "scikit-image" in settings["biharmonic"]


def test_the_base_is_the_pipeline_of_its_own(folders):
    """What the base is judged by is its own inpainting: no maps, no adapter, nothing of the foreground."""
    case = CASES[2]
    small = {"num_latents": 4, "fusion_dim": 32, "size_px": 128}
    config = AdapterConfig(base="small-fill", rank=2, mode="batch", maps=("edges",), **small)
    other = LayerDecompositionPipeline.from_base(config, folders[0])
    base = base_method("small-fill", folders[0], seed=0)
    found = answer(base, case)
    same_noise = PipelineMethod("base", other, ["background"], num_steps=1, seed=0)
    expected = answer(same_noise, case)
    assert found.foreground is None
    assert np.abs(found.background.astype(int) - expected.background).max() <= 1


@pytest.mark.parametrize("refine_masks", [False, True])
def test_the_adapter_is_pasted_back_as_its_users_get_it(folders, refine_masks):
    """By the mask that it drew, and with its seam."""
    config = AdapterConfig("small-fill", rank=2, maps=(), size_px=128, refine_masks=refine_masks)
    pipe = LayerDecompositionPipeline.from_base(config, folders[0])
    method = PipelineMethod("adapter", pipe, ["background", "foreground"], num_steps=1, seed=0)
    for case in CASES:
        found = answer(method, case)
        options = {"num_inference_steps": 1, "generator": noise_of(0, case), "output_type": "np"}
        used = pipe(case.composite, mask=case.mask, **options)
        pasted = paste_back(case, found.background, found.opacity)
        assert np.abs(pasted.astype(int) - used.background[0]).max() <= 2
        assert np.array_equal(pasted[found.opacity == 0], case.composite[found.opacity == 0])
        assert np.array_equal(found.foreground, used.foreground[0])


def test_models_do_not_depend_on_what_was_asked_before(folders):
    config = EvaluationConfig(num_steps=2)
    recipes = standard_recipes(config, folders[1], folders[0])
    names = [recipe.name for recipe in recipes]
    fills = ["telea", "telea_grown", "navier_stokes", "smooth", "smooth_grown", "biharmonic"]
    assert names == ["input", "given_mask", *fills, "grabcut", "base", "adapter"]
    assert recipes[-1].facts["base"] == "small-fill" and recipes[-1].facts["files"]
    for recipe in recipes[-2:]:
        method = recipe.make()
        forth = [answer(method, case) for case in CASES]
        back = [answer(method, case) for case in reversed(CASES)][::-1]
        for a, b in zip(forth, back, strict=True):
            assert np.array_equal(a.background, b.background)
    again = answer(method, CASES[0])
    other = standard_recipes(config.model_copy(update={"seed": 1}), folders[1], folders[0])[-1]
    assert other.settings["seed"] == 1  # Of a base that starts from a filling nothing depends on it.
    assert np.array_equal(again.background, answer(other.make(), CASES[0]).background)
    assert again.foreground.shape == (64, 64, 4) and again.foreground.dtype == np.uint8


def test_steps_are_the_adapters_own_unless_the_profile_says_otherwise_and_the_base_keeps_its_publishers(folders):
    for config, steps in ((EvaluationConfig(), 30), (EvaluationConfig(num_steps=4), 4)):
        base, adapter = standard_recipes(config, folders[1], folders[0])[-2:]
        assert adapter.settings["num_steps"] == steps and adapter.settings["guidance"] == 1.0
        assert base.settings["num_steps"] == find_base("small-fill").sampling.num_steps


def test_of_an_evaluations_models_one_at_most_is_in_memory(folders, tmp_path):
    """Base, adapter and a champion beside it: two of 24 GB do not fit one GPU together with what they compute."""
    networks = []

    def watched(recipe):
        def make():
            alive = [name for name, network in networks if network() is not None]
            assert not alive, f"{alive} still in memory when {recipe.name} is made"
            method = recipe.make()
            found = method._components["transformer"] if recipe.name == "base" else method._pipe.transformer
            networks.append((recipe.name, weakref.ref(found)))
            return method

        return replace(recipe, make=make)

    config = EvaluationConfig(num_steps=1)
    build_dataset(tmp_path / "held_out", FakeScenes(num_scenes=1, scenes_per_shard=1, size_px=64))
    test_set = HeldOut(str(tmp_path / "held_out"))
    models = standard_recipes(config, folders[1], folders[0])[-2:]
    champion = adapter_recipe(folders[1], folders[0], config, "champion", "champion")
    judge(test_set, [watched(recipe) for recipe in (*models, champion)], config, str(tmp_path / "report"))
    assert [name for name, _ in networks] == ["base", "adapter", "champion"]
    assert all(network() is None for _, network in networks)


def test_what_decides_an_answer_decides_the_fingerprint(folders, tmp_path):
    """Weights of the adapter and of its base, steps and seed; not where the files lie."""

    def fingerprints(config, adapter=folders[1], base=folders[0]):
        return [recipe.fingerprint for recipe in standard_recipes(config, str(adapter), str(base))[-2:]]

    ours = fingerprints(EvaluationConfig())
    moved = [shutil.copytree(folder, tmp_path / str(i)) for i, folder in enumerate(folders)]
    assert fingerprints(EvaluationConfig(), moved[1], moved[0]) == ours
    assert not set(fingerprints(EvaluationConfig(seed=1))) & set(ours)
    base, adapter = fingerprints(EvaluationConfig(num_steps=2))  # The steps of an adapter: a base has its publisher's.
    assert base == ours[0] and adapter != ours[1]
    other = SmallFill().new()
    save_base(other, str(tmp_path / "other"))
    assert not set(fingerprints(EvaluationConfig(), base=tmp_path / "other")) & set(ours)
    pipe = LayerDecompositionPipeline.from_base(AdapterConfig(base="small-fill", rank=2, maps=()), folders[0])
    pipe.save_pretrained(tmp_path / "smaller")
    _, adapter = fingerprints(EvaluationConfig(), tmp_path / "smaller")
    assert adapter != ours[1]


def test_the_adapter_is_given_the_stored_maps(folders):
    recipe = standard_recipes(EvaluationConfig(num_steps=1), folders[1], folders[0])[-1]
    method, case = recipe.make(), CASES[0]
    labels = np.arange(64 * 64).reshape(64, 64).astype(np.uint8)
    other = replace(case, maps={**case.maps, "segmentation": labels})
    a, b = (answer(method, one).background for one in (case, other))
    assert not np.array_equal(a, b) and recipe.maps == ("edges", "segmentation", "depth")


def test_its_controls_are_the_adapter_without_maps_and_with_those_of_others(folders, tmp_path):
    config = EvaluationConfig(num_steps=1)
    adapter = standard_recipes(config, folders[1], folders[0])[-1]
    bare, lent = adapter.controls
    assert (bare.name, bare.maps, lent.name, lent.maps) == ("no_maps", (), "other_maps", adapter.maps)
    assert replace(adapter, controls=()).fingerprint == adapter.fingerprint  # They decide none of its answers.
    case = CASES[0]
    with_maps, without, bared = (
        answer(recipe.make(), replace(case, maps=maps)).background
        for recipe, maps in ((adapter, case.maps), (lent, case.maps), (bare, {}))
    )
    assert np.array_equal(with_maps, without) and not np.array_equal(with_maps, bared)
    assert standard_recipes(EvaluationConfig(num_controls=0), folders[1], folders[0])[-1].controls == ()
    pipe = LayerDecompositionPipeline.from_base(AdapterConfig(base="small-fill", rank=2, maps=()), folders[0])
    pipe.save_pretrained(tmp_path / "mapless")
    assert standard_recipes(config, str(tmp_path / "mapless"), folders[0])[-1].controls == ()


def test_a_fault_counts_against_its_own_image():
    def work(case):
        if case.name.endswith("-1"):
            raise ValueError(f"cannot do {case.name}")
        return Layers(case.background, case.foreground)

    for case in CASES:
        found = answer(Known("some", work), case)
        assert isinstance(found, Failure) == (case.name.endswith("-1"))
        if case.name.endswith("-1"):
            assert found.reason == f"ValueError: cannot do {case.name}"


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (lambda case: Layers(case.background), "no foreground"),
        (lambda case: Layers(None, case.foreground), "no background"),
        (lambda case: Layers(case.background[:-1], case.foreground), "background is uint8 [63, 64, 3]"),
        (lambda case: Layers(case.background / 255, case.foreground), "background is float64"),
        (lambda case: Layers(case.background, case.background), "foreground is uint8 [64, 64, 3]"),
    ],
    ids=["no foreground", "no background", "size", "type", "channels"],
)
def test_an_output_that_is_not_as_promised_is_a_failure(layers, reason):
    found = answer(Known("some", layers), CASES[0])
    assert isinstance(found, Failure) and reason in found.reason


def test_a_missing_model_stops_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"adapter\.json is missing"):
        standard_recipes(EvaluationConfig(), str(tmp_path))
