"""Weights are looked at without loading them: missing, cut-off and incomplete files are named, and how to get them."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from tests.decoupage.tiny import flux_fill

BASE = find_base("flux-fill")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A whole FLUX.1-Fill in diffusers' layout, its network in several shards."""
    folder = tmp_path_factory.mktemp("published")
    pipe = flux_fill()
    pipe.save_pretrained(folder)
    shutil.rmtree(folder / "transformer")
    pipe.transformer.save_pretrained(folder / "transformer", max_shard_size="100KB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 2
    return folder


@pytest.fixture
def folder(published, tmp_path):
    return Path(shutil.copytree(published, tmp_path / "copy"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Hub cache, and no key."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "hub"


def put_in_cache(cache, folder, names=None, revision="main"):
    """As the Hub's client lays a download out: refs, blobs, and a snapshot of links."""
    repository = cache / f"models--{BASE.repo_id.replace('/', '--')}"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(commit)
    for i, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        name = path.relative_to(folder)
        if names is None or str(name).split("/", 1)[0] in names:
            blob = repository / "blobs" / f"{i:064x}"
            link = repository / "snapshots" / commit / name
            blob.parent.mkdir(exist_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, blob)
            link.symlink_to(blob)


def check_weights(base, source=None):
    return base.weights(source).requirements(base.name)


def faults(source, base=BASE):
    return {finding.name: finding for finding in check_weights(base, source) if not finding.present}


def test_whole_weights_are_found_component_by_component(folder):
    findings = {finding.name: finding for finding in check_weights(BASE, str(folder))}
    assert all((finding.present and not finding.fix) or "here" in finding.found for finding in findings.values())
    assert set(findings) == {
        f"flux-fill/{name}"
        for name in ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
    }
    expected = len(BASE.load(str(folder))["transformer"].state_dict())
    assert findings["flux-fill/transformer"].found.startswith(f"{expected} tensors, ")


def test_weights_in_the_hubs_cache_are_found_as_those_of_a_folder(folder, cache):
    put_in_cache(cache, folder)
    assert faults(None) == {} and len(check_weights(BASE)) == 7


def test_a_download_that_stopped_between_components_names_the_missing_ones(folder, cache):
    put_in_cache(cache, folder, {"model_index.json", "vae", "scheduler", "tokenizer", "tokenizer_2"})
    missing = faults(None)
    assert set(missing) == {"flux-fill/transformer", "flux-fill/text_encoder", "flux-fill/text_encoder_2"}
    assert missing["flux-fill/transformer"].fix == (
        "hf download black-forest-labs/FLUX.1-Fill-dev --include model_index.json --include '*/*'"
    )


def test_without_text_its_encoders_are_neither_looked_for_nor_downloaded(folder, cache):
    for name in BASE.text_parts:
        shutil.rmtree(folder / name)
    put_in_cache(cache, folder)
    wanted = BASE.weights(text=False)
    assert not wanted.fault() and BASE.weights().fault().endswith(
        "lacks text_encoder, text_encoder_2, tokenizer, tokenizer_2"
    )
    assert [part.name for part in wanted.components()] == ["scheduler", "transformer", "vae"]
    excluded = " ".join(f"--exclude '{name}/*'" for name in BASE.text_parts)
    assert wanted.fix() == (
        f"hf download black-forest-labs/FLUX.1-Fill-dev --include model_index.json --include '*/*' {excluded}"
    )
    # T5 in two shards and CLIP.
    assert BASE.weights().num_bytes - wanted.num_bytes == 4_994_582_224 + 4_530_066_360 + 246_144_352
    components = BASE.load(str(folder), **dict.fromkeys(BASE.text_parts))
    assert {name for name, part in components.items() if part is not None} >= {"transformer", "vae", "scheduler"}
    assert find_base("small-fill").weights(text=False) == find_base("small-fill").weights()


def test_what_is_not_here_comes_with_licence_page_command_and_whether_a_key_is_set(cache, monkeypatch):
    weights, token = check_weights(BASE)
    assert (weights.present, token.present, token.found) == (False, False, "not set")
    assert "FLUX.1 [dev] Non-Commercial License" in weights.fix
    assert f"{constants.ENDPOINT}/black-forest-labs/FLUX.1-Fill-dev, then: hf download" in weights.fix
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    _, token = check_weights(BASE)
    assert token.present and token.found == "set"
    assert "hf_secret" not in str(check_weights(BASE))
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).write_text("hf_secret")
    assert check_weights(BASE)[1].found == "stored by hf auth login"
    assert not cache.exists()


def test_a_missing_shard_is_named_with_its_place(folder):
    shard = sorted((folder / "transformer").glob("*.safetensors"))[1]
    shard.unlink()
    finding = faults(str(folder))["flux-fill/transformer"]
    assert finding.found.startswith(f"{shard.name} (2 of ") and finding.found.endswith("is missing")
    assert "copy it again to" in finding.fix


@pytest.mark.parametrize("component", ["transformer", "vae"])
def test_a_file_that_was_cut_off_is_named(folder, component):
    path = min((folder / component).glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    assert faults(str(folder))[f"flux-fill/{component}"].found.startswith(f"{path.name} is damaged")


def test_a_file_with_a_damaged_header_is_named(folder):
    path = next((folder / "vae").glob("*.safetensors"))
    path.write_bytes(b"<html>404</html>" * 100)
    assert "is damaged" in faults(str(folder))["flux-fill/vae"].found


def test_a_shard_without_all_its_tensors_is_named_with_one_of_them(folder):
    index = next((folder / "transformer").glob("*.index.json"))
    content = json.loads(index.read_text())
    shard = next(iter(content["weight_map"].values()))
    content["weight_map"]["a.tensor.elsewhere"] = shard
    index.write_text(json.dumps(content))
    found = faults(str(folder))["flux-fill/transformer"].found
    assert f"{shard} lacks 1 of " in found and "a.tensor.elsewhere" in found


def test_an_index_that_cannot_be_read_is_named(folder):
    index = next((folder / "transformer").glob("*.index.json"))
    index.write_text("{")
    assert faults(str(folder))["flux-fill/transformer"].found == f"{index.name} cannot be read"


def test_a_folder_without_weights_or_configuration_is_said(folder):
    (folder / "vae" / "config.json").unlink()
    for path in (folder / "text_encoder").glob("*.safetensors"):
        path.unlink()
    found = faults(str(folder))
    assert found["flux-fill/vae"].found == "has no config.json"
    assert found["flux-fill/text_encoder"].found == "has no .safetensors file"


def test_a_small_base_needs_no_list_of_components(tmp_path, cache):
    base = SmallFill()
    save_base(base.new(), str(tmp_path / "tiny"))
    assert faults(str(tmp_path / "tiny"), base) == {}
    shutil.rmtree(tmp_path / "tiny" / "vae")
    assert set(faults(str(tmp_path / "tiny"), base)) == {"small-fill/vae"}


def test_the_small_base_comes_with_the_package():
    findings = check_weights(SmallFill())
    assert {finding.name for finding in findings} == {
        f"small-fill/{part}" for part in ("transformer", "vae", "scheduler")
    }
    assert all(finding.present for finding in findings)


@pytest.mark.usefixtures("cache")
def test_a_path_that_is_not_there_is_no_repository():
    (finding,) = check_weights(BASE, "/not/here")
    assert not finding.present and finding.found == "flux-fill: no weights at /not/here"


@pytest.mark.weights
@pytest.mark.parametrize("name", ["flux-fill", "flux-kontext"])
def test_published_weights_are_whole_where_they_are(name):
    findings = check_weights(find_base(name))
    if findings[0].name == "weights":
        pytest.skip(f"no weights of {name}")
    assert [finding for finding in findings if not finding.present] == []


def test_a_base_is_found_and_loaded_at_its_revision(cache, folder):
    put_in_cache(cache, folder, revision="v2")
    source = f"{BASE.repo_id}@v2"
    assert check_weights(BASE)[0].found.startswith(f"{BASE.name}: {BASE.repo_id} is not in the Hub's cache")
    assert faults(source) == {}
    loaded = BASE.load(source, cache_dir=str(cache), local_files_only=True)
    assert set(loaded) >= {"transformer", "vae", "scheduler"}
    with pytest.raises(OSError, match=r"v3|cached"):
        BASE.load(f"{BASE.repo_id}@v3", cache_dir=str(cache), local_files_only=True)
