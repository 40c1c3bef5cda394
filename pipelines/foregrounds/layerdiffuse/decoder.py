"""The transparent decoder's network (published as `UNet1024`): pixels and latents -> alpha and colour.

Only the network and how it is built from a file's tensors; how a picture is decoded with it stands in `transparent.py`.
"""

from collections.abc import Mapping, Sequence

import torch
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from torch import Tensor, nn

from decoupage.faults import BadSetup

BLOCK_CHANNELS = (32, 32, 64, 128, 256, 512, 512)
"""Of the published decoders."""
NUM_PLAIN_BLOCKS = 4
"""Blocks from the picture inwards that have no attention; the three within have it."""
LATENT_BLOCK = 3
"""Latents are added before this block, where features have 1/8 of the picture's side, as latents do."""
_LAYERS, _GROUPS, _EPS = 2, 4, 1e-5
_SHARED = {
    "temb_channels": None,
    "resnet_eps": _EPS,
    "resnet_act_fn": "silu",
    "resnet_groups": _GROUPS,
    "attention_head_dim": 8,
    "resnet_time_scale_shift": "default",
}


class TransparentDecoder(nn.Module):
    """A UNet over pixels that sees the latents half-way down.

    The names of its tensors are those of the published files.

    Args:
        latent_channels: 4 of SDXL, 16 of FLUX.1.
        block_channels: features of the seven blocks, from the picture inwards; multiples of 8 from the fifth on.
    """

    def __init__(self, latent_channels: int, block_channels: Sequence[int] = BLOCK_CHANNELS) -> None:
        super().__init__()
        channels = list(block_channels)
        last = len(channels) - 1
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.latent_conv_in = nn.Conv2d(latent_channels, channels[LATENT_BLOCK - 1], 1)
        self.down_blocks = nn.ModuleList(
            get_down_block(
                "DownBlock2D" if i < NUM_PLAIN_BLOCKS else "AttnDownBlock2D",
                num_layers=_LAYERS,
                in_channels=channels[max(i - 1, 0)],
                out_channels=channels[i],
                add_downsample=i < last,
                downsample_padding=1,
                downsample_type="conv",
                **_SHARED,
            )
            for i in range(last + 1)
        )
        self.mid_block = UNetMidBlock2D(in_channels=channels[-1], **_SHARED)
        self.up_blocks = nn.ModuleList(
            get_up_block(
                "UpBlock2D" if i < NUM_PLAIN_BLOCKS else "AttnUpBlock2D",
                num_layers=_LAYERS + 1,
                in_channels=channels[max(i - 1, 0)],
                out_channels=channels[i],
                prev_output_channel=channels[min(i + 1, last)],
                add_upsample=i > 0,
                upsample_type="conv",
                **_SHARED,
            )
            for i in range(last, -1, -1)
        )
        self.conv_norm_out = nn.GroupNorm(_GROUPS, channels[0], eps=_EPS)
        self.conv_out = nn.Conv2d(channels[0], 4, 3, padding=1)

    def forward(self, pixels_B3HW: Tensor, latents_BCHW: Tensor) -> Tensor:
        """One pass.

        Args:
            pixels_B3HW: what the VAE decodes the latents to, in [0, 1]; H and W multiples of 64.
            latents_BCHW: the latents as the VAE's decoder takes them, [B, C, H/8, W/8].

        Returns:
            [B, 4, H, W], unclipped; which channel is alpha depends on the family.
        """
        x = self.conv_in(pixels_B3HW)
        skips = [x]
        for i, block in enumerate(self.down_blocks):
            if i == LATENT_BLOCK:
                x = x + self.latent_conv_in(latents_BCHW)
            x, passed = block(hidden_states=x, temb=None)
            skips += passed
        x = self.mid_block(x, None)
        for block in self.up_blocks:
            taken = len(block.resnets)
            x = block(x, tuple(skips[-taken:]), None)
            del skips[-taken:]
        return self.conv_out(nn.functional.silu(self.conv_norm_out(x)))


def build_decoder(tensors: Mapping[str, Tensor], name: str) -> TransparentDecoder:
    """A decoder that holds a published file's tensors; its widths are read from their shapes.

    Args:
        name: of the file, for errors.

    Raises:
        BadSetup: a tensor is missing, not of a decoder, or of another shape.
    """
    widths = [f"down_blocks.{i}.resnets.0.conv1.weight" for i in range(len(BLOCK_CHANNELS))]
    if lacking := [key for key in (*widths, "latent_conv_in.weight") if key not in tensors]:
        raise BadSetup(f"{name} is not a transparent decoder: it lacks {lacking[0]}; get the file again")
    channels = [tensors[key].shape[0] for key in widths]
    with torch.device("meta"):
        decoder = TransparentDecoder(tensors["latent_conv_in.weight"].shape[1], channels)
    wanted = decoder.state_dict()
    missing, foreign = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    wrong = [key for key in wanted.keys() & tensors.keys() if wanted[key].shape != tensors[key].shape]
    if missing or foreign or wrong:
        examples = ", ".join([*missing[:1], *foreign[:1], *sorted(wrong)[:1]])
        raise BadSetup(
            f"{name} is not a transparent decoder: {len(missing)} tensors missing, {len(foreign)} unknown, "
            f"{len(wrong)} of another shape ({examples}); get the file again"
        )
    decoder.load_state_dict(dict(tensors), strict=True, assign=True)
    return decoder.eval().requires_grad_(requires_grad=False)
