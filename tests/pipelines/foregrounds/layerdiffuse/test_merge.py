"""A base is taught once, from files that fit it; in fp32, so that nothing is lost on the way."""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file

from decoupage.faults import BadSetup
from pipelines.foregrounds.layerdiffuse import settings as names
from pipelines.foregrounds.layerdiffuse.merge import attention_keys, fuse_lora, merge_deltas
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import ATTENTION, SDXL_UNET, deltas, lora, tiny_unet


def test_sdxl_has_560_attention_matrices():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL_UNET)
    assert sum(parameter.numel() for parameter in unet.parameters()) == 2_567_463_684
    keys = attention_keys(unet)
    assert len(keys) == 560
    assert "mid_block.attentions.0.transformer_blocks.9.attn2.to_out.0.weight" in keys
    # The published file holds them as fp16 in 1.91 GB.
    state = unet.state_dict()
    assert round(sum(2 * state[key].numel() for key in keys) / 1e9, 2) == 1.91


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_deltas_are_added_in_fp32(tmp_path, dtype):
    given = deltas()
    save_file(given, tmp_path / "deltas.safetensors")
    before = {key: tensor.clone() for key, tensor in tiny_unet().to(dtype).state_dict().items()}
    unet = tiny_unet().to(dtype)
    merge_deltas(unet, tmp_path / "deltas.safetensors")
    for key, tensor in unet.state_dict().items():
        wanted = (before[key].float() + given[key].float()).to(dtype) if key in given else before[key]
        assert tensor.dtype == dtype
        assert torch.equal(tensor, wanted), key


def test_a_second_merge_is_refused_also_after_saving(tmp_path):
    path = tmp_path / "deltas.safetensors"
    save_file(deltas(), path)
    unet = tiny_unet()
    merge_deltas(unet, path)
    taught = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    unet.save_pretrained(tmp_path / "unet")
    for again in (unet, UNet2DConditionModel.from_pretrained(tmp_path / "unet")):
        with pytest.raises(BadSetup, match=r"already holds deltas\.safetensors"):
            merge_deltas(again, path)
        assert all(torch.equal(tensor, taught[key]) for key, tensor in again.state_dict().items())


def _without_one(given):
    del given[min(given)]


def _with_another(given):
    given["conv_in.weight"] = torch.zeros(8, 4, 3, 3)


def _misshapen(given):
    given[max(given)] = torch.zeros(3, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_one, r"lacks 1 of its 32 attention matrices and has 0 others \(down_blocks"),
        (_with_another, r"lacks 0 .* has 1 others \(conv_in\.weight\)"),
        (_misshapen, r"up_blocks\S+ has shape \(3, 3\), the base's has"),
    ],
)
def test_deltas_that_do_not_fit_change_nothing(tmp_path, damage, message):
    given = deltas()
    damage(given)
    save_file(given, tmp_path / "deltas.safetensors")
    unet = tiny_unet()
    with pytest.raises(BadSetup, match=message):
        merge_deltas(unet, tmp_path / "deltas.safetensors")
    assert all(torch.equal(tensor, unet.state_dict()[key]) for key, tensor in tiny_unet().state_dict().items())
    assert unet.config.get("layerdiffuse") is None


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "deltas.safetensors"
    save_file(deltas(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadSetup, match=r"deltas\.safetensors cannot be read"):
        merge_deltas(tiny_unet(), path)


def _pipe(weights):
    return StableDiffusionXLPipeline.from_pretrained(weights / "sdxl", add_watermarker=False)


def test_a_lora_becomes_part_of_the_weights(weights):
    pipe, path = _pipe(weights), weights / "layerdiffuse" / names.SDXL_LORA[1]
    before = {key: tensor.clone() for key, tensor in pipe.unet.state_dict().items()}
    fuse_lora(pipe, pipe.unet, path, 32)
    given = lora(tiny_unet(), ATTENTION, "unet")
    after = pipe.unet.state_dict()
    assert after.keys() == before.keys()
    for key, tensor in before.items():
        if key in attention_keys(pipe.unet):
            layer = f"unet.{key.removesuffix('.weight')}"
            wanted = tensor + given[f"{layer}.lora_B.weight"] @ given[f"{layer}.lora_A.weight"]
            torch.testing.assert_close(after[key], wanted)
            assert not torch.allclose(after[key], tensor)
        else:
            assert torch.equal(after[key], tensor)
    with pytest.raises(BadSetup, match="already holds"):
        fuse_lora(pipe, pipe.unet, path, 32)


def test_a_lora_of_fewer_layers_is_refused(weights, tmp_path):
    save_file(lora(tiny_unet(), ["to_q"], "unet"), tmp_path / "lora.safetensors")
    pipe = _pipe(weights)
    with pytest.raises(BadSetup, match="reaches 8 layers, wanted 32"):
        fuse_lora(pipe, pipe.unet, tmp_path / "lora.safetensors", 32)
