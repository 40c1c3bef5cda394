"""Forms of weights: found at a revision, judged by header or hash, one precision at a time, without heavy libraries."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement, require
from decoupage.weights.files import PinnedFile, file_fault, read_sha256, sha256
from decoupage.weights.hub import HubFiles, is_folder, split_revision
from decoupage.weights.models import INDEX, DiffusersModel
from profiles.profile import load_profile

REPOSITORY = "owner/name"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub" / "models--owner--name"


def save(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.zeros(2, np.float32) for name in names}, path)
    return path


def put(cache: Path, revision: str, name: str, data: bytes) -> Path:
    """As the Hub's client does: a blob under its hash, a link of the file's name in the revision's snapshot."""
    blob = cache / "blobs" / hashlib.sha256(data).hexdigest()
    link = cache / "snapshots" / f"commit-of-{revision}" / name
    for folder in (blob.parent, link.parent, cache / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link.symlink_to(blob)
    (cache / "refs" / revision).write_text(f"commit-of-{revision}")
    return link


def network(folder: Path, *files: str) -> DiffusersModel:
    """A model whose network holds these files, each of one tensor."""
    folder.mkdir(exist_ok=True)
    (folder / INDEX).write_text(json.dumps({"unet": ["diffusers", "UNet2DConditionModel"], "none": [None, None]}))
    for name in files:
        save(folder / "unet" / name, name)
    (folder / "unet" / "config.json").write_text("{}")
    return DiffusersModel(REPOSITORY, "unet", folder=str(folder))


# --- one file ---------------------------------------------------------------------------------------------------


def test_a_file_is_judged_by_its_hash(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"one")
    pinned = PinnedFile(str(path), hashlib.sha256(b"one").hexdigest())
    assert pinned.find() == path and pinned.fault() == ""
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 0))
    assert pinned.fault() == f"{path} has the sha256 {hashlib.sha256(b'two').hexdigest()}, not {pinned.sha256}"
    path.unlink()
    assert pinned.find() is None and pinned.fault() == f"there is no file {path}"


def test_a_file_is_read_once_for_each_of_its_states(tmp_path, monkeypatch):
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"one")
    assert read_sha256(path) == read_sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"other")
    assert sha256(path) == hashlib.sha256(b"other").hexdigest()
    assert len(read) == 2


def test_the_hubs_cache_names_files_by_their_hash_but_a_pinned_file_is_read(cache):
    link = put(cache, "main", "a.safetensors", b"whole")
    named = sha256(link)
    link.resolve().write_bytes(b"spoilt")
    assert sha256(link) == named == hashlib.sha256(b"whole").hexdigest()
    assert "has the sha256" in PinnedFile(str(link), named).fault()


def test_a_file_without_tensors_is_damaged(tmp_path):
    assert file_fault(save(tmp_path / "a.safetensors", "weight")) == ""
    assert file_fault(save(tmp_path / "b.safetensors")) == "b.safetensors is damaged (no tensors)"
    assert file_fault(tmp_path / "c.safetensors").startswith("c.safetensors is damaged (")


# --- files of a repository --------------------------------------------------------------------------------------


def test_a_revision_has_its_own_files(cache, tmp_path):
    whole = save(tmp_path / "a.safetensors", "weight").read_bytes()
    put(cache, "main", "a.safetensors", whole)
    put(cache, "v2", "a.safetensors", whole[:-1])
    main, second, third = (HubFiles(REPOSITORY, ("a.safetensors",), revision) for revision in ("main", "v2", "v3"))
    assert main.fault() == "" and main.find() == cache / "snapshots" / "commit-of-main"
    assert "a.safetensors is damaged" in second.fault()
    assert third.find() is None
    assert third.fault() == "owner/name at v3 is not in the Hub's cache (a.safetensors, size not known)"
    assert (main.fix(), third.fix()) == (
        "hf download owner/name a.safetensors",
        "hf download owner/name a.safetensors --revision v3",
    )
    with pytest.raises(FileNotFoundError, match="owner/name"):
        third.sha256()


def test_a_folder_stands_in_for_the_cache_and_has_the_same_hash(cache, tmp_path):
    data = save(tmp_path / "folder" / "deep" / "a.safetensors", "weight").read_bytes()
    put(cache, "main", "deep/a.safetensors", data)
    cached, here = (HubFiles(REPOSITORY, ("deep/a.safetensors",), folder=f) for f in ("", str(tmp_path / "folder")))
    assert cached.find() == cache / "snapshots" / "commit-of-main" and here.find() == tmp_path / "folder"
    assert cached.sha256() == here.sha256()
    save(tmp_path / "folder" / "deep" / "a.safetensors", "other")
    assert cached.sha256() != here.sha256()


def test_what_names_a_folder_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert all(map(is_folder, ("/weights", "./a/b", "~/weights", "weights", "owner/name")))
    assert not is_folder("owner/other")


def test_a_setting_names_a_repository_with_its_revision_or_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert split_revision("owner/name") == ("owner/name", "main")
    assert split_revision("owner/name@0a1b") == ("owner/name", "0a1b")
    assert split_revision("owner/name@refs/pr/3") == ("owner/name", "refs/pr/3")
    assert split_revision("/weights@home/sdxl") == ("/weights@home/sdxl", "main")
    with pytest.raises(ValueError, match=r"maps.*weights"):
        load_profile("demo", str(tmp_path), {"maps.depth.weights": "owner/name@"})
    with pytest.raises(ValueError, match=r"maps.*weights"):
        load_profile("demo", str(tmp_path), {"maps.depth.weights": "owner/name@../../x y"})


# --- a model in diffusers' layout -------------------------------------------------------------------------------


def test_a_model_is_found_at_its_revision(cache):
    put(cache, "v2", INDEX, b"{}")
    assert DiffusersModel(REPOSITORY, "unet", revision="v2").find() == cache / "snapshots" / "commit-of-v2"
    elsewhere = DiffusersModel(REPOSITORY, "unet", consent="a licence")
    assert elsewhere.find() is None and elsewhere.components() == [] and elsewhere.files() == []
    assert elsewhere.fix().startswith("accept the licence (a licence) at ")
    assert [requirement.name for requirement in elsewhere.requirements("it")] == ["weights", "HF_TOKEN"]


def test_a_copy_without_a_list_of_components_is_none_unless_they_are_known(tmp_path):
    network(tmp_path, "model.safetensors")
    (tmp_path / INDEX).unlink()
    listed, known = (DiffusersModel(REPOSITORY, "unet", folder=str(tmp_path), unlisted=u) for u in ((), ("unet",)))
    assert listed.find() is None and listed.fault() == f"no weights at {tmp_path}"
    assert "diffusers' layout" in listed.fix()
    assert known.fault() == "" and [path.name for path in known.files()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("files", "variant", "read"),
    [
        (("m.safetensors", "m.fp16.safetensors"), "", {"m.safetensors"}),
        (("m.safetensors", "m.fp16.safetensors"), "fp16", {"m.fp16.safetensors"}),
        (("m.safetensors",), "fp16", {"m.safetensors"}),
        (("m-00001-of-00001.safetensors", "m.fp16-00001-of-00001.safetensors"), "", {"m-00001-of-00001.safetensors"}),
        (("m.fp16-00001-of-00001.safetensors",), "fp16", {"m.fp16-00001-of-00001.safetensors"}),
    ],
)
def test_one_precision_is_read(tmp_path, files, variant, read):
    network(tmp_path, *files)
    model = DiffusersModel(REPOSITORY, "unet", folder=str(tmp_path), variant=variant)
    assert model.fault() == "" and {path.name for path in model.files()} == read


def test_weights_in_half_precision_alone_are_not_taken_for_whole_ones(tmp_path):
    model = network(tmp_path, "m.fp16.safetensors")
    assert model.fault() == f"{tmp_path} lacks unet"
    assert model.components()[0].fault == "has no .safetensors file"


def test_each_precision_has_its_list_of_shards(tmp_path):
    shard = "m.fp16-00001-of-00002.safetensors"
    network(tmp_path, "m.safetensors", shard)
    index = tmp_path / "unet" / "m.safetensors.index.fp16.json"
    index.write_text(json.dumps({"weight_map": {shard: shard, "b": "m.fp16-00002-of-00002.safetensors"}}))
    full, half = (DiffusersModel(REPOSITORY, "unet", folder=str(tmp_path), variant=v) for v in ("", "fp16"))
    assert full.fault() == ""
    assert half.components()[0].fault == "m.fp16-00002-of-00002.safetensors (2 of 2) is missing"


# --- what is said of them ---------------------------------------------------------------------------------------


def test_all_that_is_missing_is_named_with_its_fix():
    here, gone, lost = Requirement("a", True, "here", ""), *(Requirement(n, False, "gone", f"get {n}") for n in "bc")
    require([here])
    with pytest.raises(BadSetup, match=r"^b: gone\. Fix: get b; c: gone\. Fix: get c$"):
        require([gone, here, lost])


def test_looking_for_weights_loads_no_heavy_library():
    program = (
        "import sys, decoupage.weights.models\n"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'huggingface_hub', 'pipelines') if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
