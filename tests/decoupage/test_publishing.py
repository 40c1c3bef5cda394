"""Published folders: diffusers' own loaders take them, nothing is lost, nothing broken passes unnoticed."""

import copy
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FluxFillPipeline, FluxKontextPipeline
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from decoupage.adapter import ADAPTER, AdapterConfig, adapt, trainable
from decoupage.bases import find_base
from decoupage.bases.spec import Text
from decoupage.fusion import MultiModalLatentFusion
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.publishing import CardFacts, attach_adapter, export_remove_only, load_adapter, save_adapter
from decoupage.publishing.finding import find_folder
from decoupage.publishing.folder import read_manifest
from decoupage.publishing.lora import projection_names
from decoupage.rgba_vae import widen_vae
from tests.decoupage.tiny import flux_fill, flux_kontext, flux_transformer, flux_vae
from tests.stores import put_up

TOLERANCE = 1e-5
WEIGHTS = "pytorch_lora_weights.safetensors"
CARD = CardFacts(
    repo_id="someone/layers",
    data_fingerprint="0123abcd",
    data_licences=("CC-BY-NC-SA-4.0", "CC-BY-2.0"),
    training={"steps": 7200},
    figures={"psnr_mask": 27.304, "fid": None},
    limits=("Trained on one photograph.",),
)


def trained(config):
    """A network that training has moved: every LoRA factor, and the projection in known and new channels."""
    base = find_base(config.base)
    network = flux_transformer(base.projection_dim)
    adapt(network, base, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainable(network):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def belongings(config):
    torch.manual_seed(4)
    fusion = MultiModalLatentFusion(dim=32, num_latents=4, num_self_blocks=1) if config.maps else None
    vae = widen_vae(flux_vae())
    with torch.no_grad():
        vae.encoder.conv_in.weight += 0.1 * torch.randn_like(vae.encoder.conv_in.weight)
    return fusion, vae


def publish(folder, config, card=CARD, network=None, dtype=None):
    """Published as trained, in fp32, unless a test says otherwise: what is read is what was written, exactly."""
    save_adapter(folder, find_base(config.base), network or trained(config), config, *belongings(config), card, dtype)
    return folder


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    flux_fill().save_pretrained(root / "flux-fill")
    flux_kontext().save_pretrained(root / "flux-kontext")
    return root


CONFIG = AdapterConfig(rank=4, num_latents=4, fusion_dim=32, size_px=64)


@pytest.fixture(scope="module")
def network():
    return trained(CONFIG)


@pytest.fixture(scope="module")
def published(tmp_path_factory, network):
    return publish(tmp_path_factory.mktemp("published") / "adapter", CONFIG, network=network)


@pytest.fixture
def code_cache(tmp_path, monkeypatch):
    """Diffusers copies custom pipelines into a cache; tests leave the user's alone."""
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "modules"


@pytest.fixture
def damaged(published, tmp_path):
    return Path(shutil.copytree(published, tmp_path / "damaged"))


@torch.no_grad()
def predict(network, channels, base=None):
    base, generator = base or find_base("flux-fill"), torch.Generator().manual_seed(5)
    draw = {"generator": generator, "dtype": torch.float32}
    text = Text(torch.randn(1, 6, 32, **draw), torch.randn(1, 32, **draw), torch.zeros(6, 3))
    tokens, ids = torch.randn(1, 12, channels, **draw), torch.cat([base.ids("background", 2, 3)] * 2)
    return base.predict(network, tokens, ids, text, torch.tensor([0.7]), 1.0)


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(before, after):
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def difference(a, b):
    return (a - b).abs().max().item()


# ---- plain diffusers


def test_plain_diffusers_widens_the_projection_and_computes_the_same(published, network, recwarn):
    pipe = flux_fill()
    before, plain = state(pipe.transformer), predict(pipe.transformer, 384)
    pipe.load_lora_weights(published)
    assert pipe.transformer.x_embedder.in_features == pipe.transformer.config.in_channels == 450
    loaded = predict(pipe.transformer, 450)
    assert difference(loaded, predict(network, 450)) < TOLERANCE
    pipe.unload_lora_weights(reset_to_overwritten_params=True)
    assert same(before, state(pipe.transformer))
    assert torch.equal(predict(pipe.transformer, 384), plain)
    assert not [str(w.message) for w in recwarn if "lora" in str(w.message).lower()]


def test_without_the_adapter_the_outputs_would_differ(network):
    """Lest the comparisons above hold for any weights."""
    untrained = flux_transformer(384)
    adapt(untrained, find_base("flux-fill"), CONFIG)
    assert difference(predict(untrained, 450), predict(network, 450)) > 0.1


def test_fusing_and_scaling_by_diffusers_work(published, network):
    pipe = flux_fill()
    pipe.load_lora_weights(published, adapter_name="layers")
    pipe.fuse_lora()
    assert difference(predict(pipe.transformer, 450), predict(network, 450)) < TOLERANCE


def test_a_bfloat16_base_takes_it(published):
    pipe = flux_fill()
    pipe.transformer.to(torch.bfloat16)
    pipe.load_lora_weights(published)
    assert {p.dtype for p in pipe.transformer.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("name", "maps", "rank", "alpha"),
    [
        ("flux-kontext", ("depth",), 4, None),
        ("flux-kontext-native", ("edges", "depth"), 4, None),
        ("flux-fill", (), 4, None),
        ("flux-fill", ("depth",), 4, 10.0),
        ("flux-fill", ("depth",), 450, None),
    ],
)
def test_every_base_and_every_ratio_of_ranks_is_exact(tmp_path, name, maps, rank, alpha):
    config, base = AdapterConfig(base=name, rank=rank, alpha=alpha, maps=maps), find_base(name)
    network = trained(config)
    publish(tmp_path / "adapter", config, network=network)
    pipe = flux_kontext() if "kontext" in name else flux_fill()
    pipe.load_lora_weights(tmp_path / "adapter")
    channels = config.input_dim(base)
    assert difference(predict(pipe.transformer, channels, base), predict(network, channels, base)) < TOLERANCE


def test_metadata_tell_the_mixed_ranks_in_words_that_every_peft_knows(published):
    with safe_open(published / WEIGHTS, "pt") as file:
        metadata = json.loads(file.metadata()["lora_adapter_metadata"])
        names = set(file.keys())
    assert metadata["transformer.rank_pattern"] == metadata["transformer.alpha_pattern"] == {"x_embedder": 450}
    assert metadata["transformer.r"] == metadata["transformer.lora_alpha"] == 4
    old = {"r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern"}
    assert {name.removeprefix("transformer.") for name in metadata} == old <= set(peft.LoraConfig.__dataclass_fields__)
    assert names == {f"transformer.{m}.lora_{x}.weight" for m in modules(published) for x in "AB"}


def modules(folder):
    network = trained(CONFIG)
    lora = {name.split(".lora_A")[0] for name, _ in network.named_modules() if name.endswith("lora_A")}
    assert len(load_file(folder / WEIGHTS)) == 2 * (len(lora) + 1)
    return {*lora, "x_embedder"}


# ---- remove-only


def picture_and_mask():
    picture = Image.effect_noise((64, 48), 60).convert("RGB")
    mask = Image.new("L", (64, 48))
    mask.paste(255, (16, 8, 40, 32))
    return picture, mask


def fill(pipe, picture, mask):
    return torch.from_numpy(
        pipe(
            prompt="a cat", image=picture, mask_image=mask, height=48, width=64, num_inference_steps=2,
            guidance_scale=1.0, generator=torch.Generator().manual_seed(7), output_type="np",
        ).images[0]
    )  # fmt: skip


def test_the_remove_only_export_runs_in_plain_fill(published, network, tmp_path):
    export_remove_only(published, tmp_path / "removal")
    picture, mask = picture_and_mask()
    ours = flux_fill()
    ours.transformer = copy.deepcopy(network)
    # Zeros as indicators and fused context leave the known channels only; the stock pipeline gives just these.
    ours.transformer.x_embedder = ours.transformer.x_embedder.published
    ours.transformer.register_to_config(in_channels=384)
    theirs = flux_fill()
    before, plain = state(theirs.transformer), fill(theirs, picture, mask)
    theirs.load_lora_weights(tmp_path / "removal")
    assert theirs.transformer.config.in_channels == 384
    removed = fill(theirs, picture, mask)
    assert difference(removed, fill(ours, picture, mask)) < TOLERANCE
    assert difference(removed, plain) > 1e-3
    fused = torch.cat([torch.ones(1, 12, 384), torch.zeros(1, 12, 66)], dim=-1)
    assert torch.equal(network.x_embedder(fused), ours.transformer.x_embedder(fused[..., :384].contiguous()))
    theirs.unload_lora_weights()
    assert same(before, state(theirs.transformer))
    assert torch.equal(fill(theirs, picture, mask), plain)


def test_the_remove_only_card_says_what_it_is(published, tmp_path):
    export_remove_only(published, tmp_path / "removal")
    card = (tmp_path / "removal" / "README.md").read_text()
    assert "one joint sequence" in card and "Not measured." in card and "load_lora_weights" in card
    assert "0123abcd" in card and "CC-BY-NC-SA-4.0" in card and "27.3" not in card
    assert {path.name for path in (tmp_path / "removal").iterdir()} == {WEIGHTS, "README.md", "adapter.json"}
    with pytest.raises(ValueError, match="remove-only export: load it with load_lora_weights"):
        load_adapter(tmp_path / "removal")
    with pytest.raises(ValueError, match="is a remove-only export already"):
        export_remove_only(tmp_path / "removal", tmp_path / "again")


@pytest.mark.parametrize("name", ["flux-kontext", "flux-kontext-native"])
def test_bases_without_channel_context_have_no_remove_only_export(tmp_path, name):
    publish(tmp_path / "adapter", AdapterConfig(base=name, rank=4))
    with pytest.raises(ValueError, match=f"{name} has no remove-only export"):
        export_remove_only(tmp_path / "adapter", tmp_path / "removal")


# ---- loading back


def test_load_adapter_gives_back_what_was_saved(published, network, bases):
    loaded = load_adapter(published, bases / "flux-fill")
    assert loaded.config == CONFIG
    assert difference(predict(loaded.components["transformer"], 450), predict(network, 450)) < TOLERANCE
    fusion, vae = belongings(CONFIG)
    assert same(state(fusion), state(loaded.fusion)) and same(state(vae), state(loaded.vae_rgba))
    assert isinstance(loaded.vae_rgba, AutoencoderKL) and not loaded.fusion.training
    assert not any(p.requires_grad for p in loaded.components["transformer"].parameters())


def test_everything_loads_in_the_type_of_the_base(published, bases):
    loaded = load_adapter(published, bases / "flux-fill", dtype=torch.bfloat16)
    for model in (loaded.components["transformer"], loaded.fusion, loaded.vae_rgba):
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_an_adapter_without_maps_has_no_fusion(tmp_path, bases):
    publish(tmp_path / "adapter", replace(CONFIG, maps=()))
    assert not (tmp_path / "adapter" / "fusion").exists()
    assert load_adapter(tmp_path / "adapter", bases / "flux-fill").fusion is None


def test_saving_again_gives_the_same_bytes_from_a_trained_and_from_a_loaded_network(published, bases, tmp_path):
    loaded = load_adapter(published, bases / "flux-fill")
    network = loaded.components["transformer"]
    save_adapter(tmp_path / "a", find_base("flux-fill"), network, CONFIG, loaded.fusion, loaded.vae_rgba, CARD, None)
    publish(tmp_path / "b", CONFIG)
    for name in json.loads((published / "adapter.json").read_text())["files"]:
        contents = {(folder / name).read_bytes() for folder in (published, tmp_path / "a", tmp_path / "b")}
        assert len(contents) == 1, name
        assert str(published).encode() not in contents.pop()


def test_the_factors_are_published_in_half_and_loaded_in_the_type_of_the_base(tmp_path, network, bases, published):
    fusion, vae = belongings(CONFIG)
    folder = tmp_path / "half"
    save_adapter(folder, find_base("flux-fill"), network, CONFIG, fusion, vae)
    found, full = (load_file(place / WEIGHTS) for place in (folder, published))
    projection = {f"transformer.{name}" for name in projection_names(find_base("flux-fill"))}
    assert {found[name].dtype for name in projection} == {torch.float32} and projection < found.keys()
    assert {tensor.dtype for name, tensor in found.items() if name not in projection} == {torch.bfloat16}
    assert all(torch.equal(tensor, full[name].to(tensor.dtype)) for name, tensor in found.items())
    pipe = flux_fill()
    pipe.load_lora_weights(folder)
    assert difference(predict(pipe.transformer, 450), predict(network, 450)) < 0.01
    loaded = load_adapter(folder, bases / "flux-fill")
    assert {parameter.dtype for parameter in loaded.components["transformer"].parameters()} == {torch.float32}
    # What was rounded once is rounded to the same values again.
    save_adapter(tmp_path / "again", find_base("flux-fill"), loaded.components["transformer"], CONFIG, fusion, vae)
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_a_published_folder_is_as_readable_as_it_was_made(tmp_path, network):
    before = os.umask(0o027)
    try:
        publish(tmp_path / "adapter", CONFIG, network=network)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "adapter").rglob("*") if path.is_file()}
    assert modes == {0o640}


def test_what_is_saved_again_names_the_same_licences(published, bases, tmp_path):
    pipe = LayerDecompositionPipeline.from_pretrained(published, base=bases / "flux-fill", maps="none")
    pipe.save_pretrained(tmp_path / "again")
    export_remove_only(published, tmp_path / "remove", CardFacts(figures={"psnr_mask": 20.0}))
    for folder in ("again", "remove"):
        manifest = json.loads((tmp_path / folder / "adapter.json").read_text())
        assert (manifest["data_licences"], manifest["data_fingerprint"]) == (list(CARD.data_licences), "0123abcd")
        assert "CC-BY-NC-SA-4.0" in (tmp_path / folder / "README.md").read_text()
    assert manifest["figures"] == {"psnr_mask": 20.0}


@pytest.mark.parametrize("kind", ["folder", "file", "argument"])
def test_custom_pipeline_of_diffusers_gives_our_pipeline(published, network, bases, kind, code_cache):
    pipelines = pytest.importorskip("decoupage.pipeline")
    given = {
        "folder": {"custom_pipeline": str(published)},
        "file": {"custom_pipeline": str(published / "pipeline.py")},
        "argument": {"custom_pipeline": str(published), "published": str(published)},
    }[kind]
    pipe = DiffusionPipeline.from_pretrained(str(bases / "flux-fill"), trust_remote_code=True, **given)
    assert type(pipe) is pipelines.LayerDecompositionPipeline
    assert pipe.adapter == CONFIG and pipe.fusion is not None and pipe.vae_rgba.config.out_channels == 4
    assert difference(predict(pipe.transformer, 450), predict(network, 450)) < TOLERANCE
    assert set(pipe.components) >= {"transformer", "vae", "vae_rgba", "fusion"}
    assert list(code_cache.rglob("pipeline.py"))


def test_custom_pipeline_on_the_other_base(bases, tmp_path, code_cache):
    pipelines = pytest.importorskip("decoupage.pipeline")
    publish(tmp_path / "adapter", AdapterConfig(base="flux-kontext", rank=4, maps=()))
    pipe = DiffusionPipeline.from_pretrained(
        str(bases / "flux-kontext"), custom_pipeline=str(tmp_path / "adapter"), trust_remote_code=True
    )
    assert type(pipe) is pipelines.LayerDecompositionPipeline and pipe.fusion is None


def test_custom_pipeline_refuses_another_base(published, bases, code_cache):
    with pytest.raises(ValueError, match="not the flux-fill that this adapter was trained on"):
        DiffusionPipeline.from_pretrained(
            str(bases / "flux-kontext"), custom_pipeline=str(published), trust_remote_code=True
        )


def test_custom_pipeline_takes_the_revision_from_the_call(published, bases, monkeypatch, code_cache):
    pytest.importorskip("decoupage.pipeline")
    asked = []
    monkeypatch.setattr("decoupage.publishing.loading.find_folder", lambda *given: asked.append(given) or published)
    DiffusionPipeline.from_pretrained(
        str(bases / "flux-fill"), custom_pipeline=str(published), custom_revision="v2", trust_remote_code=True
    )
    assert asked == [(str(published), "v2")]


def test_the_pipeline_saves_and_loads_itself(published, bases, tmp_path):
    pipelines = pytest.importorskip("decoupage.pipeline")
    pipe = pipelines.LayerDecompositionPipeline.from_pretrained(published, base=str(bases / "flux-fill"))
    pipe.save_pretrained(tmp_path / "again")
    again = pipelines.LayerDecompositionPipeline.from_pretrained(tmp_path / "again", base=str(bases / "flux-fill"))
    projection = find_base("flux-fill").input_projection
    rounded = {
        name: tensor.bfloat16().float() if "lora_" in name and not name.startswith(projection) else tensor
        for name, tensor in state(pipe.transformer).items()
    }
    assert same(rounded, state(again.transformer))


def test_hub_repositories_are_downloaded(published, monkeypatch):
    asked = {}

    def snapshot_download(name, **options):
        asked.update(options, name=name)
        return str(published)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert find_folder("someone/layers", "v1", token="t") == published
    assert (asked["name"], asked["revision"], asked["token"]) == ("someone/layers", "v1", "t")


def test_an_adapter_at_an_address_is_copied_once(published, remote):
    put_up(published, remote, "export")
    address = remote.url("export")
    copy = find_folder(address)
    names = {path.relative_to(published) for path in published.rglob("*") if path.is_file()}
    assert {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()} == names
    assert read_manifest(copy) == read_manifest(published)
    # It is known by what it says that it holds, so its weights are not asked for again.
    weights = remote.read(f"export/{WEIGHTS}")
    remote.write(f"export/{WEIGHTS}", b"damaged")
    assert find_folder(address) == copy
    shutil.rmtree(copy)
    with pytest.raises(ValueError, match=r"sha256 differs"):
        find_folder(address)
    remote.remove(f"export/{WEIGHTS}")
    with pytest.raises(ValueError, match="there is no published adapter at"):
        find_folder(address)
    remote.write(f"export/{WEIGHTS}", weights)
    assert find_folder(f"{address}/") == copy
    with pytest.raises(ValueError, match="there is no published adapter at"):
        find_folder(remote.url("elsewhere"))
    with pytest.raises(ValueError, match="cannot be opened"):
        find_folder("nonsense://bucket/export")


# ---- faults


def changed(path, name, value):
    tensors = load_file(path)
    name = next(key for key in sorted(tensors) if name in key)
    tensors[name].view(-1)[0] = value
    with safe_open(path, framework="pt") as file:
        save_file(tensors, path, metadata=file.metadata())
    return name


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        (WEIGHTS, "attn.to_q.lora_B"),
        (WEIGHTS, "x_embedder.lora_B"),
        ("fusion/diffusion_pytorch_model.safetensors", "latents"),
        ("vae_rgba/diffusion_pytorch_model.safetensors", "conv_out.bias"),
    ],
)
def test_weights_that_are_not_finite_are_refused_by_name(damaged, bases, file, tensor, value):
    name = changed(damaged / file, tensor, value)
    with pytest.raises(ValueError, match=re.escape(f"{file}: {name} holds values that are not finite")):
        load_adapter(damaged, bases / "flux-fill", check_sums=False)


def test_weights_beyond_half_precision_are_refused_in_half_precision_only(damaged, bases):
    name = changed(damaged / WEIGHTS, "attn.to_q.lora_B", 70_000.0)
    with pytest.raises(ValueError, match=re.escape(f"{name} holds 7e+04, and float16 ends at 65504: use bfloat16")):
        load_adapter(damaged, bases / "flux-fill", check_sums=False, dtype=torch.float16)
    load_adapter(damaged, bases / "flux-fill", check_sums=False, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("fusion/config.json", lambda data: b"{", "fusion is damaged or of another model"),
        (
            "vae_rgba/config.json",
            lambda data: data.replace(b'"in_channels": 4', b'"in_channels": 3'),
            "vae_rgba is dama",
        ),
        ("vae_rgba/config.json", lambda data: b"[]", "vae_rgba is damaged or of another model"),
        ("adapter.json", lambda data: data.replace(b'"size_px": 64', b'"size_px": "x"'), r"adapter\.json is damaged"),
        ("adapter.json", lambda data: data.replace(b'"rank": 4', b'"rank": -4'), "rank must be at least 1, got -4"),
        ("adapter.json", lambda data: data.decode().encode("utf-16"), r"adapter\.json is damaged: Invalid JSON"),
        ("adapter.json", lambda data: b"[" * 100_000, r"adapter\.json is damaged: Invalid JSON"),
        ("adapter.json", lambda data: b"\xef\xbb\xbf" + data, None),
    ],
)
def test_damaged_descriptions_are_named(damaged, bases, file, change, message):
    manifest = json.loads((damaged / "adapter.json").read_text())
    manifest["files"].pop(file, None)
    (damaged / "adapter.json").write_text(json.dumps(manifest))
    before = (damaged / file).read_bytes()
    (damaged / file).write_bytes(change(before))
    manifest["files"][file] = hashlib.sha256((damaged / file).read_bytes()).hexdigest()
    if file != "adapter.json":
        (damaged / "adapter.json").write_text(json.dumps(manifest))
    assert (damaged / file).read_bytes() != before or message is None
    if message is None:
        load_adapter(damaged, bases / "flux-fill")
    else:
        with pytest.raises(ValueError, match=message):
            load_adapter(damaged, bases / "flux-fill")


@pytest.mark.parametrize("file", [WEIGHTS, "fusion/diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_weights_that_are_cut_off_are_named(damaged, bases, file, share):
    data = (damaged / file).read_bytes()
    (damaged / file).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=re.escape(f"{file} is damaged")):
        load_adapter(damaged, bases / "flux-fill", check_sums=False)
    with pytest.raises(ValueError, match="sha256 differs"):
        load_adapter(damaged, bases / "flux-fill")


@pytest.mark.parametrize(
    "name",
    ["adapter.json", WEIGHTS, "fusion/config.json", "vae_rgba/diffusion_pytorch_model.safetensors", "pipeline.py"],
)
def test_a_missing_file_is_named(damaged, bases, name):
    (damaged / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        load_adapter(damaged, bases / "flux-fill")


def test_a_part_that_was_never_listed_is_named(damaged, bases):
    manifest = json.loads((damaged / "adapter.json").read_text())
    del manifest["files"]["fusion/config.json"]
    (damaged / "adapter.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"fusion/config\.json is missing, and adapter\.json does not list it"):
        load_adapter(damaged, bases / "flux-fill")


def test_weights_of_another_version_are_refused_by_name(damaged, bases):
    """Loaded anyway, the part that is missing would be without values."""
    file = damaged / "fusion" / "diffusion_pytorch_model.safetensors"
    values = load_file(file)
    gone = next(iter(values))
    save_file({name: value for name, value in values.items() if name != gone}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=rf"another version of decoupage \(missing {re.escape(gone)}\)"):
        load_adapter(damaged, bases / "flux-fill", check_sums=False)


def test_changed_bytes_are_noticed_but_a_changed_card_is_not(damaged, bases):
    (damaged / "README.md").write_text("edited")
    load_adapter(damaged, bases / "flux-fill")
    tensors = load_file(damaged / WEIGHTS)
    next(iter(tensors.values())).add_(1)
    save_file(tensors, damaged / WEIGHTS)
    with pytest.raises(ValueError, match=f"{WEIGHTS} is not the published file"):
        load_adapter(damaged, bases / "flux-fill")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, "layout 4, written by decoupage"),
        ({"format": 2}, "layout 2, .* which half a token belongs to: train the adapter again"),
        ({"format": 1}, "layout 1, .* prepared pictures by other rules: train the adapter again"),
        ({"files": {"../secret": "0"}}, "outside of its folder"),
        ({"kind": "other"}, r"adapter\.json is damaged"),
        ({"adapter": {"base": "sd3"}}, "there is no base 'sd3'"),
        ({"adapter": {"colour": 1}}, "unknown keys: colour"),
    ],
)
def test_a_foreign_manifest_is_refused(damaged, bases, change, message):
    manifest = json.loads((damaged / "adapter.json").read_text()) | change
    (damaged / "adapter.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=message):
        load_adapter(damaged, bases / "flux-fill")


def test_a_base_of_another_geometry_is_refused(published):
    def components(transformer):
        return {**flux_fill().components, "transformer": transformer}

    with pytest.raises(ValueError, match="x_embedder takes 64 channels instead of 384"):
        attach_adapter(published, components(flux_transformer(64)))
    deeper = type(flux_transformer()).from_config({**flux_transformer().config, "num_single_layers": 2})
    with pytest.raises(ValueError, match=r"single_transformer_blocks\.1.* there, absent in"):
        attach_adapter(published, components(deeper))
    wider = type(flux_transformer()).from_config({**flux_transformer().config, "num_attention_heads": 4})
    with pytest.raises(ValueError, match=r"64 channels there, .* 32 channels in"):
        attach_adapter(published, components(wider))
    with pytest.raises(ValueError, match="adapted already"):
        attach_adapter(published, components(trained(CONFIG)))


def test_neither_folder_nor_repository(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        load_adapter(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no folder"):
        load_adapter("./nowhere")


def test_what_disagrees_is_refused_before_anything_is_written(tmp_path, network):
    fusion, vae = belongings(CONFIG)
    base = find_base("flux-fill")
    with pytest.raises(ValueError, match="takes edges, segmentation, depth, but fusion is None"):
        save_adapter(tmp_path / "a", base, network, CONFIG, None, vae)
    with pytest.raises(ValueError, match="takes no maps, but fusion is given"):
        save_adapter(tmp_path / "a", base, network, replace(CONFIG, maps=()), fusion, vae)
    with pytest.raises(ValueError, match=f"carries no LoRA named '{ADAPTER}'"):
        save_adapter(tmp_path / "a", base, flux_transformer(384), CONFIG, fusion, vae)
    assert not list(tmp_path.iterdir())


# ---- writing


def test_only_our_own_folder_is_replaced(published, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    publish(target, CONFIG)  # An empty folder may be filled,
    publish(target, replace(CONFIG, mode="batch"))  # and one of ours replaced.
    manifest = json.loads((target / "adapter.json").read_text())
    assert manifest["adapter"]["mode"] == "batch"
    (target / "adapter.json").write_text(json.dumps(manifest | {"format": 1}))
    publish(target, CONFIG)  # Also one of an earlier layout, which could not be read.
    assert json.loads((target / "adapter.json").read_text())["adapter"]["mode"] == "joint"
    (target / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds more than a published adapter \(notes\.txt\)"):
        publish(target, CONFIG)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files but no adapter\.json"):
        publish(other, CONFIG)
    assert (target / "notes.txt").exists() and {path.name for path in tmp_path.iterdir()} == {"target", "other"}


def test_a_fault_while_writing_leaves_the_old_folder(damaged, monkeypatch):
    before = (damaged / "adapter.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("decoupage.publishing.saving.write_card", full)
    with pytest.raises(OSError, match="No space left"):
        publish(damaged, replace(CONFIG, mode="batch"))
    assert (damaged / "adapter.json").read_bytes() == before
    assert [path.name for path in damaged.parent.iterdir()] == [damaged.name]


def test_the_card_names_licences_figures_and_data(published):
    card = (published / "README.md").read_text()
    for words in ("FLUX.1 [dev] Non-Commercial License", "CC-BY-NC-SA-4.0", "CC-BY-2.0", "0123abcd", "7200"):
        assert words in card
    assert "| psnr_mask | 27.3 |" in card and "| fid | not measured |" in card
    assert "Trained on one photograph." in card and "450 channels" in card


def test_the_front_matter_is_what_the_hub_reads(published):
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(published / "README.md").data
    assert (data.base_model, data.library_name, data.license) == (
        "black-forest-labs/FLUX.1-Fill-dev", "diffusers", "other",
    )  # fmt: skip
    assert data.license_name == "flux.1-dev-non-commercial-license-and-cc-by-nc-sa-4.0-and-cc-by-2.0"
    assert "layer-decomposition" in data.tags


def test_a_card_about_which_nothing_is_known_says_so(tmp_path):
    publish(tmp_path / "adapter", CONFIG, card=None)
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "Not measured." in card and "| data fingerprint | not given |" in card
    assert "| training data | not given |" in card
    manifest = json.loads((tmp_path / "adapter" / "adapter.json").read_text())
    assert manifest["figures"] == {} and manifest["data_fingerprint"] is None
    assert manifest["base"]["repo_id"] == "black-forest-labs/FLUX.1-Fill-dev"


def test_the_bases_use_the_pipelines_whose_loaders_are_tested():
    assert find_base("flux-fill").pipeline_class is FluxFillPipeline
    assert find_base("flux-kontext").pipeline_class is FluxKontextPipeline
