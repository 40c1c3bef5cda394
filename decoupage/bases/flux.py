"""FLUX.1's inpainting and editing models: their shared VAE, packing, ids, text and schedule, and one class for each.

Conventions are those of diffusers' Flux pipelines; tests compare with their own functions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from diffusers import DiffusionPipeline, FluxFillPipeline, FluxKontextPipeline
from torch import Tensor, nn

from decoupage.bases.reading import readable
from decoupage.bases.spec import Base, Components, ContextKind, Sampling, Text
from decoupage.weights.hub import split_revision

Posterior = Literal["sample", "mode"]
PATCH = 2
"""Number of latents along each side of a token."""
CLIP_TOKENS = 77


class Flux(Base):
    """FLUX.1: 16 latent channels at 1/8 resolution, tokens of 2 x 2 latents, three id axes (layer, row, column)."""

    input_projection = "x_embedder"
    token_dim = 64
    vae_scale: ClassVar[int] = 8
    """Number of pixels along each side of a latent."""
    mask_dim = 256
    text_tokens = 512
    text_parts: ClassVar[tuple[str, ...]] = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    large_text_parts: ClassVar[tuple[str, ...]] = ("text_encoder_2",)
    pixel_multiple = 16
    layers: ClassVar[Mapping[str, int]] = {"background": 0, "foreground": 1}
    posterior: ClassVar[Posterior]
    """How the base takes latents from its VAE's posterior."""

    # A bare `proj_out` would also match the network's own output layer, so that of the single blocks is anchored.
    lora_targets = (
        r"(transformer_blocks\.\d+\.attn\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out)"
        r"|transformer_blocks\.\d+\.ff(_context)?\.net\.(0\.proj|2)"
        r"|single_transformer_blocks\.\d+\.(attn\.(to_q|to_k|to_v)|proj_mlp|proj_out))"
    )

    def load(self, source: str | None = None, **options: Any) -> Components:
        """See `Base.load`."""
        place, revision = split_revision(source or self.repo_id)
        with readable(place):
            return self.pipeline_class.from_pretrained(place, revision=revision, **options).components

    def encode(self, vae: nn.Module, picture_BCHW: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Base.encode`."""
        if self.posterior == "mode":
            return self.encode_mode(vae, picture_BCHW)
        return self._normalise(vae, vae.encode(picture_BCHW.to(vae.dtype)).latent_dist.sample(generator))

    def encode_mode(self, vae: nn.Module, picture_BCHW: Tensor) -> Tensor:
        """See `Base.encode_mode`."""
        return self._normalise(vae, vae.encode(picture_BCHW.to(vae.dtype)).latent_dist.mode())

    @staticmethod
    def _normalise(vae: nn.Module, latents_BCHW: Tensor) -> Tensor:
        return (latents_BCHW - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor

    def decode(self, vae: nn.Module, latents_BCHW: Tensor) -> Tensor:
        """See `Base.decode`."""
        latents = latents_BCHW / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
        return vae.decode(latents.to(vae.dtype), return_dict=False)[0]

    def pack(self, latents_BCHW: Tensor) -> Tensor:
        """See `Base.pack`; channel c, row dy, column dx of a patch become token channel 4c + 2dy + dx."""
        batch, channels, height, width = latents_BCHW.shape
        patches = latents_BCHW.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
        return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * PATCH**2)

    def unpack(self, tokens_BND: Tensor, height_px: int, width_px: int) -> Tensor:
        """See `Base.unpack`."""
        rows, columns = self.grid(height_px, width_px)
        batch, _, channels = tokens_BND.shape
        patches = tokens_BND.reshape(batch, rows, columns, channels // PATCH**2, PATCH, PATCH)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, rows * PATCH, columns * PATCH)

    def pack_mask(self, mask_B1HW: Tensor) -> Tensor:
        """See `Base.pack_mask`: the 8 x 8 pixels under a latent become its channels, then 2 x 2 latents a token."""
        batch, _, height, width = mask_B1HW.shape
        side = self.vae_scale
        cells = mask_B1HW[:, 0].reshape(batch, height // side, side, width // side, side)
        return self.pack(cells.permute(0, 2, 4, 1, 3).reshape(batch, side**2, height // side, width // side))

    def ids(self, layer: str, rows: int, columns: int) -> Tensor:
        """See `Base.ids`."""
        ids = torch.zeros(rows, columns, 3)
        ids[..., 0] = self.layers[layer]
        ids[..., 1] = torch.arange(rows)[:, None]
        ids[..., 2] = torch.arange(columns)[None]
        return ids.reshape(rows * columns, 3)

    def embed_text(self, components: Components, prompts: Sequence[str], device: torch.device) -> Text:
        """See `Base.embed_text`: T5 tokens padded to 512 without an attention mask, CLIP's pooled vector."""

        def tokens(tokenizer: Any, length: int) -> Tensor:
            options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
            return tokenizer(list(prompts), max_length=length, **options).input_ids.to(device)

        clip, t5 = components["text_encoder"], components["text_encoder_2"]
        pooled = clip(tokens(components["tokenizer"], CLIP_TOKENS), output_hidden_states=False).pooler_output
        embedded = t5(tokens(components["tokenizer_2"], self.text_tokens), output_hidden_states=False)[0]
        return Text(embedded, pooled.to(embedded.dtype), torch.zeros(embedded.shape[1], 3, device=device))

    def shift(self, scheduler: Any, num_tokens: int) -> float:
        """See `Base.shift`: linear in the number of tokens, by default from 0.5 at 256 to 1.15 at 4096."""
        low, high = scheduler.config.base_image_seq_len, scheduler.config.max_image_seq_len
        slope = (scheduler.config.max_shift - scheduler.config.base_shift) / (high - low)
        return scheduler.config.base_shift + slope * (num_tokens - low)

    def set_timesteps(self, scheduler: Any, num_steps: int, num_tokens: int, device: torch.device) -> Tensor:
        """See `Base.set_timesteps`."""
        sigmas = np.linspace(1.0, 1 / num_steps, num_steps)
        scheduler.set_timesteps(sigmas=sigmas, mu=self.shift(scheduler, num_tokens), device=device)
        return scheduler.timesteps

    def predict(
        self,
        network: nn.Module,
        tokens_BSD: Tensor,
        ids_SA: Tensor,
        text: Text,
        sigma_B: Tensor,
        guidance: float,
    ) -> Tensor:
        """See `Base.predict`."""
        scales = None
        if getattr(network, "module", network).config.guidance_embeds:  # Several processes wrap the network.
            scales = torch.full_like(sigma_B, guidance, dtype=torch.float32)
        return network(
            hidden_states=tokens_BSD,
            timestep=sigma_B,
            guidance=scales,
            pooled_projections=text.pooled_BP,
            encoder_hidden_states=text.tokens_BLD,
            txt_ids=text.ids_LA,
            img_ids=ids_SA,
            return_dict=False,
        )[0]


def shifted(sigma: Tensor, mu: float) -> Tensor:
    """Noise levels in [0, 1] shifted towards 1, as the schedule does for large pictures (Esser et al. 2024)."""
    return math.exp(mu) * sigma / (1 + (math.exp(mu) - 1) * sigma)


class FluxFill(Flux):
    """FLUX.1-Fill [dev], the paper's base: its projection already takes the masked picture and the mask.

    Noisy token 64 | masked picture 64 | packed mask 256 = 384 channels.
    """

    name = "flux-fill"
    pipeline_class: ClassVar[type[DiffusionPipeline]] = FluxFillPipeline
    repo_id = "black-forest-labs/FLUX.1-Fill-dev"
    licence = "FLUX.1 [dev] Non-Commercial License"
    context: ClassVar[ContextKind] = "channel"
    projection_dim = 384
    posterior: ClassVar[Posterior] = "sample"
    sampling = Sampling(
        50, 30.0, 1024, "model card of black-forest-labs/FLUX.1-Fill-dev; size: FluxFillPipeline's default"
    )


class FluxKontext(Flux):
    """FLUX.1-Kontext [dev], the paper's other base, an editing model, with its context given by channels.

    FLUX.1-Fill takes it in the same way: only the weights differ, so the comparison is fair.
    """

    name = "flux-kontext"
    pipeline_class = FluxKontextPipeline
    repo_id = "black-forest-labs/FLUX.1-Kontext-dev"
    licence = "FLUX.1 [dev] Non-Commercial License"
    context: ClassVar[ContextKind] = "channel"
    projection_dim = 64
    posterior = "mode"
    sampling = Sampling(
        28,
        2.5,
        1024,
        "model card of black-forest-labs/FLUX.1-Kontext-dev; steps and size: FluxKontextPipeline's defaults",
    )

    @property
    def as_published(self) -> Base:
        """The published network takes its picture only in sequence, not by channels."""
        return FluxKontextNative()


class FluxKontextNative(FluxKontext):
    """FLUX.1-Kontext with its context in sequence, as published: the picture's tokens follow, at layer 1 of the ids."""

    name = "flux-kontext-native"
    context: ClassVar[ContextKind] = "sequence"
    layers: ClassVar[Mapping[str, int]] = {"background": 0, "picture": 1, "foreground": 2}
