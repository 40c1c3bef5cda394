"""The publisher's decoder and sampler, stated again without the product's code, for comparison.

The decoder here is written with plain torch layers: no block of diffusers that the product builds on takes part.
"""

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    return functional.group_norm(x, 4, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)


def _conv(state: State, name: str, x: Tensor, **how: int) -> Tensor:
    return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)


def _resnet(state: State, name: str, x: Tensor) -> Tensor:
    h = _conv(state, f"{name}.conv1", functional.silu(_norm(state, f"{name}.norm1", x)), padding=1)
    h = _conv(state, f"{name}.conv2", functional.silu(_norm(state, f"{name}.norm2", h)), padding=1)
    return h + (_conv(state, f"{name}.conv_shortcut", x) if f"{name}.conv_shortcut.weight" in state else x)


def _attention(state: State, name: str, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    tokens = _norm(state, f"{name}.group_norm", x).flatten(2).transpose(1, 2)
    q, k, v = (functional.linear(tokens, state[f"{name}.to_{n}.weight"], state[f"{name}.to_{n}.bias"]) for n in "qkv")
    heads = channels // 8
    q, k, v = (part.view(batch, -1, heads, 8).transpose(1, 2) for part in (q, k, v))
    weights = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, dim=-1)
    mixed = (weights @ v).transpose(1, 2).reshape(batch, -1, channels)
    out = functional.linear(mixed, state[f"{name}.to_out.0.weight"], state[f"{name}.to_out.0.bias"])
    return out.transpose(1, 2).view(batch, channels, height, width) + x


def _layer(state: State, block: str, i: int, x: Tensor) -> Tensor:
    x = _resnet(state, f"{block}.resnets.{i}", x)
    return _attention(state, f"{block}.attentions.{i}", x) if f"{block}.attentions.{i}.to_q.weight" in state else x


def decoder_forward(state: State, pixels: Tensor, latents: Tensor) -> Tensor:
    """UNet1024: seven blocks of two layers down, a middle with attention, seven of three up."""
    x = _conv(state, "conv_in", pixels, padding=1)
    skips = [x]
    for block in range(7):
        if block == 3:
            x = x + _conv(state, "latent_conv_in", latents)
        for i in range(2):
            x = _layer(state, f"down_blocks.{block}", i, x)
            skips.append(x)
        if block < 6:
            x = _conv(state, f"down_blocks.{block}.downsamplers.0.conv", x, stride=2, padding=1)
            skips.append(x)
    x = _resnet(state, "mid_block.resnets.0", x)
    x = _attention(state, "mid_block.attentions.0", x)
    x = _resnet(state, "mid_block.resnets.1", x)
    for block in range(7):
        for i in range(3):
            x = _layer(state, f"up_blocks.{block}", i, torch.cat([x, skips.pop()], dim=1))
        if block < 6:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = _conv(state, f"up_blocks.{block}.upsamplers.0.conv", x, padding=1)
    assert not skips
    return _conv(state, "conv_out", functional.silu(_norm(state, "conv_norm_out", x)), padding=1)


def eight_passes(forward, pixels: Tensor, latents: Tensor) -> Tensor:
    """[8, B, 4, H, W]: one pass after another, each clipped and turned back."""
    results = []
    for flip in (False, True):
        for k in range(4):
            views = [torch.rot90(x.flip(3) if flip else x, k, (2, 3)) for x in (pixels, latents)]
            y = torch.rot90(forward(*views).clip(0, 1), -k, (2, 3))
            results.append(y.flip(3) if flip else y)
    return torch.stack(results)


def karras_sigmas(num_steps: int) -> tuple[Tensor, Tensor]:
    """(levels of the walk with 0 at its end, levels of all 1000 training steps)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)
    trained = ((1 - kept) / kept).sqrt()
    low, high = trained[0] ** (1 / 7), trained[-1] ** (1 / 7)
    walk = (high + torch.linspace(0, 1, num_steps, dtype=torch.float64) * (low - high)) ** 7
    return torch.cat([walk, walk.new_zeros(1)]), trained


def sample_dpmpp_2m(predict_noise, noise: Tensor, num_steps: int) -> Tensor:
    """DPM++ 2M in k-diffusion's scale, from zeros + noise * sigma_max, in float64 around the network."""
    sigmas, trained = karras_sigmas(num_steps)
    x = noise.double() * sigmas[0]
    before = None
    for i in range(num_steps):
        sigma, following = sigmas[i], sigmas[i + 1]
        t = (sigma.log() - trained.log()).abs().argmin()
        eps = predict_noise((x / (sigma**2 + 1).sqrt()).float(), t).double()
        clean = x - sigma * eps
        if following == 0:
            return clean
        if before is None:
            guess = clean
        else:
            r = (sigma.log() - sigmas[i - 1].log()) / (following.log() - sigma.log())
            guess = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * before
        x = following / sigma * x + (1 - following / sigma) * guess
        before = clean
    raise AssertionError("the walk ends at 0")
