"""Weights are found in folders and in the Hub's cache; what is missing is told with the command that gets it."""

import hashlib
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from decoupage.faults import BadSetup
from pipelines.config import GeneratedConfig
from pipelines.foregrounds.generated_stage import make_generator
from pipelines.foregrounds.layerdiffuse.settings import SDXL_BASE, SDXL_DECODER, SDXL_DELTAS, settings
from pipelines.foregrounds.layerdiffuse.weights import digests, find_weights, requirements
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import config


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the Hub."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def _put(cache: Path, repository: str, name: str, source: Path) -> None:
    """As the Hub's client does: a blob under its hash, and a link of the file's name in a snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    data = source.read_bytes()
    blob = folder / "blobs" / hashlib.sha256(data).hexdigest()
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("abc")
    link = folder / "snapshots" / "abc" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)


PUBLISHED = GeneratedConfig(generator="layerdiffuse", size_px=64, device="cpu")


def _missing(wanted: GeneratedConfig) -> dict[str, str]:
    return {
        requirement.name: f"{requirement.found} | {requirement.fix}"
        for requirement in requirements(wanted)
        if not requirement.present
    }


def test_drawn_shapes_need_nothing():
    assert requirements(GeneratedConfig()) == []


def test_an_empty_machine_is_told_each_command(cache):
    missing = _missing(PUBLISHED)
    assert set(missing) == {"layerdiffuse.base", "layerdiffuse.adapter", "layerdiffuse.decoder"}
    assert f"hf download {SDXL_BASE} --include model_index.json" in missing["layerdiffuse.base"]
    assert f"hf download {' '.join(SDXL_DELTAS)}" in missing["layerdiffuse.adapter"]
    with pytest.raises(BadSetup, match=f"layerdiffuse.base: {SDXL_BASE} is not in .*7.11 GB.*hf download.*decoder"):
        find_weights(settings(PUBLISHED))


def test_base_and_files_can_be_had_at_a_revision(cache, weights):
    at = {"base": f"{SDXL_BASE}@v2", "weights": f"{SDXL_DELTAS[0]}@refs/pr/1"}
    wanted = PUBLISHED.model_copy(update=at)
    missing = _missing(wanted)
    assert f"{SDXL_BASE} at v2 is not in" in missing["layerdiffuse.base"]
    assert missing["layerdiffuse.base"].endswith(" --revision v2")
    assert missing["layerdiffuse.adapter"].endswith(f"hf download {' '.join(SDXL_DELTAS)} --revision refs/pr/1")
    assert settings(wanted).recipe == settings(PUBLISHED).recipe


def test_what_the_hub_has_brought_is_found(cache, weights):
    for path in (weights / "sdxl").rglob("*.*"):
        _put(cache, SDXL_BASE, str(path.relative_to(weights / "sdxl")), path)
    for repository, name in (SDXL_DELTAS, SDXL_DECODER):
        _put(cache, repository, name, weights / "layerdiffuse" / name)
    assert _missing(PUBLISHED) == {}
    found = find_weights(settings(PUBLISHED))
    assert found.base.name == "abc" and found.variant is None
    # The names of blobs are taken for hashes; those of files in folders are computed: both are the same.
    plain = find_weights(settings(config(weights)))
    assert digests(found) == digests(plain)
    assert set(digests(plain)) == {
        "ld_diffusers_sdxl_attn.safetensors",
        "ld_diffusers_sdxl_vae_transparent_decoder.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }


def test_the_place_of_weights_is_no_part_of_the_recipe(weights, tmp_path):
    shutil.copytree(weights, tmp_path / "copy")
    here, there = (make_generator(config(folder)).recipe for folder in (weights, tmp_path / "copy"))
    assert here == there
    assert str(weights) not in str(here)
    other = [{"dtype": "float16"}, {"num_steps": 4}, {"variant": "lora"}, {"negative_prompt": "x"}, {"width_px": 128}]
    assert all(make_generator(config(weights, **change)).recipe != here for change in other)
    same = [{"batch_size": 1}, {"device": "cuda:1"}]
    assert all(make_generator(config(weights, **change)).recipe == here for change in same)


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "lacks unet"),
        ("vae/config.json", "lacks vae"),
        ("tokenizer_2", "lacks tokenizer_2"),
    ],
)
def test_a_base_with_something_missing_is_told(weights, tmp_path, lost, told):
    shutil.copytree(weights, tmp_path / "copy")
    path = tmp_path / "copy" / "sdxl" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BadSetup, match=told):
        make_generator(config(tmp_path / "copy")).check()


def test_weights_as_pickles_are_not_taken(weights, tmp_path):
    shutil.copytree(weights, tmp_path / "copy")
    folder = tmp_path / "copy" / "sdxl" / "unet"
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(BadSetup, match="lacks unet"):
        make_generator(config(tmp_path / "copy")).check()


def test_a_base_in_half_precision_too_is_read_in_it_where_it_is_wanted(weights, tmp_path):
    shutil.copytree(weights, tmp_path / "copy")
    for path in list((tmp_path / "copy" / "sdxl").rglob("*.safetensors")):
        shutil.copy(path, path.with_suffix(".fp16.safetensors"))
    half, full = (settings(config(tmp_path / "copy", dtype=dtype)) for dtype in ("float16", "float32"))
    assert (find_weights(half).variant, find_weights(full).variant) == ("fp16", None)
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in digests(find_weights(half))
    assert make_generator(config(tmp_path / "copy", dtype="float16")).digests().keys() != digests(find_weights(full))


def test_a_missing_file_says_where_to_put_it(weights, tmp_path):
    fix = _missing(config(weights, weights=str(tmp_path)))["layerdiffuse.decoder"]
    assert f"put {SDXL_DECODER[1]} there" in fix and str(tmp_path) in fix


def test_a_missing_gpu_stops_the_run_before_work(weights):
    wanted = config(weights, device="cuda:99")
    assert "DECOUPAGE__GENERATED__DEVICE=cpu" in _missing(wanted)["layerdiffuse.device"]
    with pytest.raises(BadSetup, match=r"generated\.device is cuda:99, which is not here"):
        make_generator(wanted).check()


def test_flux_names_its_licence(cache):
    wanted = GeneratedConfig(generator="layerdiffuse_flux", size_px=64)
    assert "accept the licence (flux-1-dev-non-commercial)" in _missing(wanted)["layerdiffuse.base"]
    assert make_generator(wanted).licence == "flux-1-dev-non-commercial"
    assert make_generator(PUBLISHED).licence == "creativeml-openrail-m"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generator": "layerdiffuse", "size_px": 96}, "size_px must be a multiple of 64"),
        ({"generator": "layerdiffuse", "height_px": 100}, "multiple of 64"),
        ({"generator": "layerdiffuse_flux", "variant": "deltas"}, "variant must be lora"),
        ({"generator": "rendered", "width_px": 128}, "rendered objects have their own size"),
        ({"device": "tpu"}, "pattern"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        GeneratedConfig(**values)


def test_values_left_out_are_the_publishers():
    sdxl, flux = (settings(GeneratedConfig(generator=g)) for g in ("layerdiffuse", "layerdiffuse_flux"))
    assert (sdxl.num_steps, sdxl.guidance, sdxl.dtype, sdxl.variant) == (25, 7.0, "float16", "deltas")
    assert (flux.num_steps, flux.guidance, flux.dtype, flux.variant) == (50, 3.5, "bfloat16", "lora")
    assert settings(GeneratedConfig(generator="layerdiffuse", guidance=0.0)).guidance == 0.0
