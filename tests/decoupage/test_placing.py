"""Ways to place a model: which are refused and why, and that diffusers is asked for what was said."""

import importlib.metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import BitsAndBytesConfig, DiffusionPipeline
from transformers import BitsAndBytesConfig as TransformersBitsAndBytesConfig

from decoupage import LayerDecompositionPipeline, placing
from decoupage.bases import find_base
from decoupage.placing import LIBRARIES, WAYS, Placing, load_options, place
from tests.decoupage.test_pipeline import folders, mask, picture, run
from tests.decoupage.test_prompts import adapter, opened

assert folders and adapter  # The fixtures of a base and an adapter on it.
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"offload": "some"}, "offload must be one of none, model, group, sequential, got some"),
        ({"quantise": "int4"}, "quantise must be one of none, int8, nf4, fp8, got int4"),
        ({"offload": "sequential", "quantise": "int8"}, "offload = sequential and quantise = int8 do not go together"),
        ({"offload": "group", "quantise": "nf4"}, "group offload moves bitsandbytes' weights without their scales"),
    ],
)
def test_ways_that_are_none_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Placing(**options)


def test_all_ways_are_those_that_go_together():
    assert len(WAYS) == len(set(WAYS)) == 12
    assert Placing().flags == ""
    assert Placing("group", "int8").flags == "--offload group --quantise int8"


@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
def test_nothing_is_kept_off_a_cpu(offload):
    Placing(offload).check(CUDA)
    with pytest.raises(ValueError, match=f"offload = {offload} needs a GPU"):
        Placing(offload).check(CPU)


@pytest.mark.parametrize("form", ["int8", "fp8", "nf4"])
def test_an_absent_library_is_named_with_the_extra_that_brings_it(form, monkeypatch):
    monkeypatch.setattr(placing, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"quantise = {form} needs {LIBRARIES[form]}, which .*\[gpu\]"):
        Placing(quantise=form).check(CUDA)


def test_nf4_without_a_gpu_is_refused_before_anything_is_loaded():
    with pytest.raises(ValueError, match="quantise = nf4 needs a GPU; set it to none, int8 or fp8"):
        LayerDecompositionPipeline.from_pretrained(quantise="nf4")
    with pytest.raises(ValueError, match="quantise must be one of"):
        LayerDecompositionPipeline.from_pretrained(quantise="int5")


def test_network_and_large_text_encoder_are_quantised_each_by_its_library(monkeypatch):
    monkeypatch.setattr(placing, "find_spec", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.48.0")  # Nothing of it is loaded yet.
    found = load_options(find_base("flux-fill"), "nf4", torch.bfloat16)["quantization_config"].quant_mapping
    assert set(found) == {"transformer", "text_encoder_2"}
    assert isinstance(found["transformer"], BitsAndBytesConfig)
    assert isinstance(found["text_encoder_2"], TransformersBitsAndBytesConfig)
    assert found["transformer"].llm_int8_skip_modules == ["x_embedder"]
    assert all(one.bnb_4bit_quant_type == "nf4" for one in found.values())
    assert all(one.bnb_4bit_compute_dtype == torch.bfloat16 for one in found.values())
    assert load_options(find_base("flux-fill"), "none", torch.bfloat16) == {}
    small = load_options(find_base("small-fill"), "nf4", None)["quantization_config"].quant_mapping
    assert set(small) == {"transformer"}


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_diffusers_own_offload_is_asked_for(offload, adapter, folders, monkeypatch):
    called = []
    monkeypatch.setattr(
        DiffusionPipeline, f"enable_{offload}_cpu_offload", lambda pipe, **options: called.append(options)
    )
    place(opened(adapter, folders), offload, CUDA)
    assert called == [{"device": CUDA}]


def layers(pipe):
    out = run(pipe, picture(), mask=mask(), output_type="np")
    return np.concatenate([out.background[0].ravel(), out.foreground[0].ravel()])


@pytest.mark.parametrize("offload", ["none", "group"])
@pytest.mark.parametrize("text", [False, True])
def test_group_offload_changes_no_picture(offload, text, adapter, folders):
    pipe = place(opened(adapter, folders, text=text), offload, CPU)
    assert np.array_equal(layers(pipe), layers(opened(adapter, folders)))


def test_group_offload_moves_blocks_and_their_adapter(adapter, folders):
    """Each block has a hook of its own, under which its LoRA lies; VAEs and fusion stay where they are."""
    pipe = place(opened(adapter, folders, text=True), "group", CPU)
    blocks = [*pipe.transformer.transformer_blocks, *pipe.transformer.single_transformer_blocks]
    assert all(hasattr(block, "_diffusers_hook") for block in blocks)
    assert all(any("lora_A" in name for name, _ in block.named_parameters()) for block in blocks)
    for part in (pipe.vae, pipe.vae_rgba, pipe.fusion):
        assert not any(hasattr(module, "_diffusers_hook") for module in part.modules())
    assert any(hasattr(module, "_diffusers_hook") for module in pipe.text_encoder_2.modules())


def test_streams_are_used_where_there_are_some(adapter, folders, monkeypatch):
    said = {}
    monkeypatch.setattr(
        "diffusers.hooks.apply_group_offloading", lambda part, **options: said.update({type(part).__name__: options})
    )
    moved = SimpleNamespace(to=lambda device: None)
    pipe = opened(adapter, folders, text=True)
    for name in ("vae", "vae_rgba", "fusion"):
        monkeypatch.setattr(type(getattr(pipe, name)), "to", lambda part, device: moved)
    place(pipe, "group", CUDA)
    assert {name: options["offload_type"] for name, options in said.items()} == {
        "FluxTransformer2DModel": "block_level", "CLIPTextModel": "leaf_level", "T5EncoderModel": "leaf_level"
    }  # fmt: skip
    assert all(options["use_stream"] and options["onload_device"] == CUDA for options in said.values())
