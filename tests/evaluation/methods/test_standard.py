"""Methods: what each gives, that faults count against their own image, and that batches change nothing."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.tiny import TinyFill, save_base
from evaluation.config import EvaluationConfig
from evaluation.methods.classical import classical_methods
from evaluation.methods.models import PipelineMethod, base_method
from evaluation.methods.spec import Failure, Layers, answers
from evaluation.methods.standard import standard_methods
from evaluation.regions import distance_px
from tests.evaluation.scenes import Known, cases

CASES = cases(4)
CLASSICAL = {method.name: method for method in classical_methods()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(base, adapter) with random weights; the adapter is not at step 0."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    save_base(TinyFill().new(), str(root / "base"))
    config = AdapterConfig(base="tiny-fill", rank=4, num_latents=4, fusion_dim=32)
    pipe = LayerDecompositionPipeline.from_base(config, str(root / "base"))
    for name, parameter in pipe.transformer.named_parameters():
        if "lora_B" in name or "x_embedder" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    pipe.save_pretrained(root / "adapter")
    return str(root / "base"), str(root / "adapter")


@pytest.mark.parametrize("method", CLASSICAL.values(), ids=CLASSICAL)
def test_classical_methods_give_what_they_promise_and_change_only_the_mask(method):
    for case, answer in zip(CASES, answers(method, CASES), strict=True):
        assert isinstance(answer, Layers)
        assert ({"background"} if answer.foreground is None else {"foreground"}) == method.gives
        if answer.background is not None:
            outside = distance_px(case.mask) > (2 if method.name == "telea_grown" else 0)
            assert np.array_equal(answer.background[outside], case.composite[outside])


def test_classical_methods_are_opencvs():
    case = CASES[1]
    mask = case.mask.astype(np.uint8)
    for name, flag in (("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)):
        (answer,) = answers(CLASSICAL[name], [case])
        assert np.array_equal(answer.background, cv2.inpaint(case.composite, mask, 3, flag))
    (grown,) = answers(CLASSICAL["telea_grown"], [case])
    disc = np.array([[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]], np.uint8)
    expected = cv2.inpaint(case.composite, cv2.dilate(mask, disc), 3, cv2.INPAINT_TELEA)
    assert np.array_equal(grown.background, expected)
    (given,) = answers(CLASSICAL["given_mask"], [case])
    assert np.array_equal(given.foreground[..., 3] > 0, case.mask)
    assert np.array_equal(given.foreground[..., :3], case.composite)


def test_the_base_is_the_pipeline_of_its_own(folders):
    """What the base is judged by is its own inpainting: no maps, no adapter, nothing of the foreground."""
    case = CASES[2]
    config = AdapterConfig(base="tiny-fill", rank=2, mode="batch", maps=("edges",), num_latents=4, fusion_dim=32)
    other = LayerDecompositionPipeline.from_base(config, folders[0])
    base = base_method("tiny-fill", folders[0], num_steps=2, seed=0)
    (answer,) = answers(base, [case])
    same_noise = PipelineMethod("base", other, ["background"], num_steps=2, seed=0)
    (expected,) = answers(same_noise, [case])
    assert answer.foreground is None
    assert np.abs(answer.background.astype(int) - expected.background).max() <= 1


def test_models_do_not_depend_on_the_batch_and_do_on_the_seed(folders):
    config = EvaluationConfig(num_steps=2)
    methods, facts = standard_methods(config, folders[1], folders[0])
    names = [method.name for method in methods]
    assert names == ["input", "given_mask", "telea", "telea_grown", "navier_stokes", "base", "adapter"]
    assert facts["adapter"]["base"] == "tiny-fill" and facts["adapter"]["files"]
    for method in methods[-2:]:
        together = answers(method, CASES)
        alone = [answers(method, [case])[0] for case in reversed(CASES)][::-1]
        for a, b in zip(together, alone, strict=True):
            # Another batch is another order of additions: the last bit may round the other way.
            assert np.abs(a.background.astype(int) - b.background).max() <= 1
    adapter = methods[-1]
    (again,) = answers(adapter, [CASES[0]])
    other, _ = standard_methods(config.model_copy(update={"seed": 1}), folders[1], folders[0])
    (different,) = answers(other[-1], [CASES[0]])
    assert not np.array_equal(again.background, different.background)
    assert again.foreground.shape == (64, 64, 4) and again.foreground.dtype == np.uint8


def test_the_adapter_is_given_the_stored_maps(folders):
    method = standard_methods(EvaluationConfig(num_steps=1), folders[1], folders[0])[0][-1]
    case = CASES[0]
    labels = np.arange(64 * 64).reshape(64, 64).astype(np.uint8)
    other = replace(case, maps=replace(case.maps, segmentation=labels))
    a, b = (answers(method, [one])[0].background for one in (case, other))
    assert not np.array_equal(a, b)


def test_a_fault_counts_against_its_own_image():
    def work(case):
        if case.name.endswith("-1"):
            raise ValueError(f"cannot do {case.name}")
        return Layers(case.background, case.foreground)

    for case, answer in zip(CASES, answers(Known("some", work), CASES), strict=True):
        assert isinstance(answer, Failure) == (case.name.endswith("-1"))
        if case.name.endswith("-1"):
            assert answer.reason == f"ValueError: cannot do {case.name}"


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
    (answer,) = answers(Known("some", layers), CASES[:1])
    assert isinstance(answer, Failure) and reason in answer.reason


def test_too_few_answers_are_failures():
    method = Known("some", lambda case: Layers(case.background, case.foreground))
    method.__class__ = type("Short", (Known,), {"__call__": lambda self, cases: []})
    found = answers(method, CASES)
    assert all(isinstance(answer, Failure) and "0 answers for 1" in answer.reason for answer in found)


def test_a_missing_model_stops_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"adapter\.json is missing"):
        standard_methods(EvaluationConfig(), str(tmp_path))
