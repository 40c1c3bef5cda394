"""The network is the published one: same tensors, same numbers; anything else is refused by name."""

import pytest
import torch

from decoupage.faults import BadSetup
from pipelines.foregrounds.layerdiffuse.decoder import TransparentDecoder, build_decoder
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import CHANNELS, tiny_decoder
from tests.pipelines.foregrounds.layerdiffuse.upstream import decoder_forward


@pytest.mark.parametrize(("latent_channels", "num_parameters"), [(4, 104_104_804), (16, 104_105_572)])
def test_the_real_decoder_has_the_published_tensors(latent_channels, num_parameters):
    with torch.device("meta"):
        decoder = TransparentDecoder(latent_channels)
    state = decoder.state_dict()
    assert len(state) == 538
    assert sum(tensor.numel() for tensor in state.values()) == num_parameters
    shapes = {
        "conv_in.weight": (32, 3, 3, 3),
        "latent_conv_in.weight": (64, latent_channels, 1, 1),
        "down_blocks.4.attentions.0.to_q.weight": (256, 256),
        "down_blocks.4.attentions.0.to_out.0.weight": (256, 256),
        "down_blocks.4.attentions.0.group_norm.weight": (256,),
        "mid_block.attentions.0.to_k.bias": (512,),
        "up_blocks.0.resnets.2.conv1.weight": (512, 1024, 3, 3),
        "up_blocks.5.upsamplers.0.conv.weight": (32, 32, 3, 3),
        "conv_norm_out.weight": (32,),
        "conv_out.weight": (4, 32, 3, 3),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


@pytest.mark.parametrize(("height_px", "width_px"), [(64, 64), (128, 64), (64, 192)])
@pytest.mark.parametrize("latent_channels", [4, 16])
def test_it_gives_the_numbers_of_the_published_architecture(latent_channels, height_px, width_px):
    # Wide enough for several heads and several groups.
    torch.manual_seed(1)
    decoder = TransparentDecoder(latent_channels, (8, 8, 16, 16, 16, 24, 24)).eval()
    pixels = torch.rand(2, 3, height_px, width_px)
    latents = torch.randn(2, latent_channels, height_px // 8, width_px // 8)
    with torch.inference_mode():
        ours = decoder(pixels, latents)
        theirs = decoder_forward(decoder.state_dict(), pixels, latents)
    assert ours.shape == (2, 4, height_px, width_px)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_latents_matter():
    decoder, pixels = tiny_decoder(4), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(decoder(pixels, torch.zeros(1, 4, 8, 8)), decoder(pixels, torch.ones(1, 4, 8, 8)))


def test_a_file_is_loaded_whole():
    state = tiny_decoder(4).state_dict()
    built = build_decoder(state, "decoder.safetensors").state_dict()
    assert built.keys() == state.keys()
    assert all(torch.equal(built[key], state[key]) for key in state)


def _without(state):
    del state["mid_block.resnets.0.conv1.bias"]


def _with_another(state):
    state["encoder.weight"] = torch.zeros(1)


def _misshapen(state):
    state["conv_out.weight"] = torch.zeros(3, CHANNELS[0], 3, 3)


def _something_else(state):
    state.clear()
    state["unet.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without, r"1 tensors missing.*mid_block\.resnets\.0\.conv1\.bias"),
        (_with_another, r"1 unknown.*encoder\.weight"),
        (_misshapen, r"1 of another shape \(conv_out\.weight\)"),
        (_something_else, r"lacks down_blocks\.0\.resnets\.0\.conv1\.weight"),
    ],
)
def test_a_file_that_is_no_decoder_is_refused(damage, message):
    state = dict(tiny_decoder(4).state_dict())
    damage(state)
    with pytest.raises(BadSetup, match=f"decoder.safetensors is not a transparent decoder.*{message}"):
        build_decoder(state, "decoder.safetensors")
