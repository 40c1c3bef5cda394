"""Weights that are absent, damaged, foreign or pickled stop a run before it starts, with the step that mends it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from decoupage.faults import BadSetup
from decoupage.maps.depth_anything import DepthAnything
from decoupage.maps.published import FILES
from decoupage.maps.segformer import Segformer
from pipelines.config import MapsConfig, SegmentationConfig
from pipelines.maps.requirements import requirements
from tests.decoupage.maps.nets import both, depth, save_depth_anything, save_segformer, segmentation, set_config


@pytest.fixture
def folder(tmp_path):
    return save_segformer(tmp_path / "net")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_in_cache(cache, folder, revision="main"):
    """As a download leaves it."""
    repository = cache / "models--nvidia--segformer-b5-finetuned-ade-640-640"
    shutil.copytree(folder, repository / "snapshots" / "abc123")
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text("abc123")


def test_absent_weights_are_named_with_revision_files_size_and_download(cache):
    with pytest.raises(BadSetup) as fault:
        Segformer(segmentation("")).inputs()
    commit = "f4c8e8f5b581b6bc8ed5208e4bd139d95f65610f"
    assert str(fault.value) == (
        f"maps.segmentation: nvidia/segformer-b5-finetuned-ade-640-640 at {commit} is not in the Hub's cache "
        "(config.json, preprocessor_config.json, model.safetensors, 0.34 GB); "
        "hf download nvidia/segformer-b5-finetuned-ade-640-640 config.json preprocessor_config.json model.safetensors "
        f"--revision {commit}, or name a folder with them in maps.segmentation.folder"
    )


def test_the_commit_is_found_as_a_download_leaves_it(cache, folder):
    """A download of a commit writes no reference: the snapshot's own name is the revision."""
    repo_id, commit = SegmentationConfig().weights.split("@")
    shutil.copytree(folder, cache / f"models--{repo_id.replace('/', '--')}" / "snapshots" / commit)
    assert Segformer(segmentation("")).inputs() == Segformer(segmentation(folder)).inputs()


@pytest.mark.parametrize("revision", ["main", "v1"])
def test_weights_come_from_the_hubs_cache(cache, folder, revision):
    put_in_cache(cache, folder, revision)
    repo_id = "nvidia/segformer-b5-finetuned-ade-640-640"
    cached = Segformer(segmentation("", weights=repo_id if revision == "main" else f"{repo_id}@{revision}"))
    assert cached.inputs() == Segformer(segmentation(folder)).inputs()
    other = Segformer(segmentation("", weights=f"{repo_id}@other"))
    with pytest.raises(BadSetup, match="--revision other"):
        other.inputs()
    # What the files hold is hashed; where they were taken from changes no recipe, and no licence.
    assert other.recipe == cached.recipe == Segformer(segmentation(folder)).recipe
    assert (other.recipe["weights"], other.weights) == (repo_id, repo_id)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_lacks_a_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(BadSetup, match=f"has no {name}; hf download"):
        Segformer(segmentation(folder)).inputs()


def test_pickled_weights_are_not_read(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weight": Trap()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadSetup, match=r"no model\.safetensors \(pytorch_model\.bin is a pickle, which is not read\)"):
        Segformer(segmentation(folder)).labels([])
    assert not (tmp_path / "sprung").exists()


def test_a_folder_with_code_of_its_own_does_not_run_it(folder, tmp_path):
    (folder / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Trap: pass\n")
    set_config(folder, auto_map={"AutoModel": "trap.Trap", "AutoConfig": "trap.Trap"})
    Segformer(segmentation(folder)).labels([])
    assert not (tmp_path / "sprung").exists()


def test_another_kind_of_net_is_refused(folder):
    with pytest.raises(BadSetup, match=r"maps\.depth: .*model_type must be depth_anything, got segformer"):
        DepthAnything(depth(folder)).inputs()


def test_metric_depth_is_refused_for_it_grows_with_distance(tmp_path):
    folder = save_depth_anything(tmp_path, depth_estimation_type="metric", max_depth=20)
    with pytest.raises(BadSetup, match="depth_estimation_type must be relative, got metric"):
        DepthAnything(depth(folder)).inputs()


@pytest.mark.parametrize("names", [None, {}, {i: str(i) for i in range(256)}])
def test_classes_must_fit_eight_bits(folder, names):
    set_config(folder, id2label=names)
    with pytest.raises(BadSetup, match="id2label must name 1 to 255 classes"):
        Segformer(segmentation(folder)).inputs()


@pytest.mark.parametrize("text", ["", "[]", "{", '"segformer"'])
def test_a_damaged_configuration_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(BadSetup, match=r"maps\.segmentation: .*config\.json"):
        Segformer(segmentation(folder)).inputs()


def test_weights_that_lack_a_tensor_are_not_filled_with_chance(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("decode_head.classifier.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadSetup, match=r"lacks 1 tensors of segformer, such as .*classifier\.weight"):
        Segformer(segmentation(folder)).labels([])


@pytest.mark.parametrize("num_bytes", [0, 100, 10_000])
def test_weights_that_end_early_are_refused(folder, num_bytes):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:num_bytes])
    with pytest.raises(BadSetup, match=r"model\.safetensors is damaged .*; hf download"):
        Segformer(segmentation(folder)).inputs()


def test_weights_of_another_size_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    set_config(folder, decoder_hidden_size=2 * config["decoder_hidden_size"])
    with pytest.raises(BadSetup, match="segformer"):
        Segformer(segmentation(folder)).labels([])


def test_other_weights_have_another_hash(folder):
    before = Segformer(segmentation(folder)).inputs()
    tensors = load_file(folder / "model.safetensors")
    tensors["decode_head.classifier.bias"] += 1.0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert Segformer(segmentation(folder)).inputs() != before


def test_classical_makers_need_nothing():
    assert requirements(MapsConfig()) == []


def test_needs_are_told_without_a_download(cache, tmp_path):
    config = MapsConfig(segmentation=segmentation("", device="auto"), depth=depth("/nowhere"))
    found = {requirement.name: requirement for requirement in requirements(config)}
    assert set(found) == {"maps.segmentation", "maps.segmentation.device", "maps.depth"}
    weights = found["maps.segmentation"]
    assert not weights.present
    assert "hf download nvidia/segformer-b5" in weights.fix
    assert "nvidia-non-commercial" in weights.found
    assert not found["maps.depth"].present
    assert found["maps.segmentation.device"].present == torch.cuda.is_available()


def test_needs_that_are_met(tmp_path):
    found = requirements(both(tmp_path))
    assert [(requirement.name, requirement.present) for requirement in found] == [
        ("maps.segmentation", True),
        ("maps.depth", True),
    ]
    assert "apache-2.0" in found[1].found
