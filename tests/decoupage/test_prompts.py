"""The empty prompt's embedding in a published folder: the same layers, and no text encoder until a prompt is given."""

import json
import shutil

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from decoupage import LayerDecompositionPipeline
from decoupage.bases import find_base
from decoupage.placing import place
from decoupage.publishing.folder import TEXT, listed_files
from tests.decoupage.test_pipeline import folders, load, mask, picture, run

assert folders  # The fixture of bases.
ENCODERS = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")


@pytest.fixture(scope="module")
def adapter(folders, tmp_path_factory):
    pipe = load(folders / "fill")
    torch.nn.init.normal_(pipe.transformer.x_embedder.added.weight, std=0.1)
    folder = tmp_path_factory.mktemp("published") / "adapter"
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def older(adapter, tmp_path_factory):
    """The same adapter as a version before wrote it: without the embedding."""
    folder = tmp_path_factory.mktemp("older") / "adapter"
    shutil.copytree(adapter, folder)
    (folder / TEXT).unlink()
    said = json.loads((folder / "adapter.json").read_text())
    del said["files"][TEXT]
    (folder / "adapter.json").write_text(json.dumps(said))
    return folder


def opened(folder, folders, **options):
    pipe = LayerDecompositionPipeline.from_pretrained(folder, base=str(folders / "fill"), maps="none", **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def layers(pipe, **options):
    out = run(pipe, picture(), mask=mask(), output_type="np", **options)
    return np.concatenate([out.background[0].ravel(), out.foreground[0].ravel()])


def encoders(pipe):
    return {name for name in ENCODERS if pipe.components[name] is not None}


def test_a_folder_with_the_embedding_gives_the_same_layers_without_encoders(adapter, older, folders):
    with_embedding, without = opened(adapter, folders), opened(older, folders)
    assert encoders(with_embedding) == set() and encoders(without) == set(ENCODERS)
    assert np.array_equal(layers(with_embedding), layers(without))
    assert encoders(with_embedding) == set()


@pytest.mark.parametrize("prompt", ["a cat", ["a cat"]])
def test_a_prompt_loads_the_encoders_and_counts_as_ever(adapter, older, folders, prompt):
    pipe = opened(adapter, folders)
    empty = layers(pipe)
    assert np.array_equal(layers(pipe, prompt=prompt), layers(opened(older, folders), prompt=prompt))
    assert encoders(pipe) == set(ENCODERS)
    assert not np.array_equal(layers(pipe, prompt=prompt), empty)
    assert np.array_equal(layers(pipe), empty)


def test_text_true_loads_them_at_once(adapter, folders):
    assert encoders(opened(adapter, folders, text=True)) == set(ENCODERS)


def test_half_precision_takes_the_embedding_in_its_own_format(adapter, folders):
    pipe, seen = opened(adapter, folders, dtype=torch.bfloat16), []
    pipe.transformer.register_forward_pre_hook(
        lambda module, inputs, named: seen.append(named["encoder_hidden_states"].dtype), with_kwargs=True
    )
    layers(pipe)
    assert set(seen) == {torch.bfloat16}


def test_the_file_is_listed_and_kept_when_the_adapter_is_saved_again(adapter, folders, tmp_path):
    found = load_file(adapter / TEXT)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "tokens": (1, 512, 32), "pooled": (1, 32), "ids": (512, 3)
    }  # fmt: skip
    assert TEXT in listed_files(adapter)
    opened(adapter, folders, dtype=torch.bfloat16).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / TEXT).read_bytes() == (adapter / TEXT).read_bytes()


def test_a_folder_without_it_gets_it_when_it_is_saved_again(adapter, older, folders, tmp_path):
    opened(older, folders).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / TEXT).read_bytes() == (adapter / TEXT).read_bytes()


def test_a_base_that_knows_no_text_has_no_such_file(tmp_path):
    load(find_base("small-fill").packaged, base="small-fill").save_pretrained(tmp_path / "small")
    assert TEXT not in listed_files(tmp_path / "small")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"tokens": torch.zeros(1, 512, 32)}, "prompt.safetensors is damaged"),
        ({"tokens": torch.full((1, 512, 32), torch.nan)}, "not finite"),
    ],
)
def test_a_damaged_file_is_named(adapter, folders, tmp_path, tensors, words):
    shutil.copytree(adapter, tmp_path / "adapter")
    save_file(tensors, tmp_path / "adapter" / TEXT)
    with pytest.raises(ValueError, match=words):
        opened(tmp_path / "adapter", folders, check_sums=False)
    with pytest.raises(ValueError, match="sha256 differs"):
        opened(tmp_path / "adapter", folders)


def test_diffusers_own_loader_needs_no_encoders_either(adapter, folders, tmp_path, monkeypatch):
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    pipe = DiffusionPipeline.from_pretrained(
        folders / "fill", custom_pipeline=str(adapter), trust_remote_code=True, **dict.fromkeys(ENCODERS)
    )
    pipe.make_maps = None
    pipe.set_progress_bar_config(disable=True)
    assert np.array_equal(layers(pipe), layers(opened(adapter, folders)))


def by_layers(pipe):
    """As `enable_sequential_cpu_offload`, which takes no CPU."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)


@pytest.mark.parametrize(
    "offload",
    [
        lambda pipe: place(pipe, "group", torch.device("cpu")),
        lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
        by_layers,
    ],
    ids=["group", "model", "sequential"],
)
def test_encoders_that_come_later_are_placed_as_the_rest(adapter, folders, offload):
    plain, pipe = opened(adapter, folders), opened(adapter, folders)
    offload(pipe)
    assert np.array_equal(layers(pipe), layers(plain))
    assert np.array_equal(layers(pipe, prompt="a cat"), layers(plain, prompt="a cat"))
    modules = list(pipe.text_encoder_2.modules())
    assert any(hasattr(module, hook) for module in modules for hook in ("_hf_hook", "_diffusers_hook"))
