"""Multi-modal latent fusion: one context token for each image token, from the tokens of edges, segmentation and depth.

Perceiver IO (Jaegle et al. 2021): a fixed number of learned latents attends to all modality tokens and to itself, and
is read by one query for each image token, so the cost grows linearly with the tokens. A query also holds the modality
tokens at its own position: latents summarise a picture, and do not say where an outline runs. Here tokens become fused
context; how maps become pictures is defined in `decoupage/maps`, how pictures become tokens and where the context
enters, in the bases and the adapter.

Letters of layouts: B pictures, N tokens of a picture, M modalities, K tokens that are attended to, D channels.
"""

from collections.abc import Mapping, Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_2d_sincos_pos_embed_from_grid
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

from decoupage.maps.table import MAPS


class MultiModalLatentFusion(ModelMixin, ConfigMixin):
    """Fused context c_MM of a picture, from any subset of its modalities.

    The output is not zero at the start: the zero columns of the base's widened input projection keep it out at first,
    and with two zeros in a row neither would ever get a gradient. Each output token has a root mean square of 1, like
    latents.

    A modality that is left out of `modality_tokens` and one that is dropped by `present_BM` give the same result. With
    none at all the first attention adds nothing, and the context still depends on the image: modality dropout may drop
    all of them. To leave fusion out (the ablation without fused context), do not call it, and give the adapter None.

    Both halves of a sequence get the same context; what says which half a token belongs to is in `sequences`.

    Args:
        token_dim: channels of a token, in and out.
        dim: channels within.
        num_latents: number of learned latents that summarise the modalities.
        num_heads: number of heads of each attention.
        num_self_blocks: blocks in which the latents attend to each other.
        num_decode_blocks: blocks in which the image tokens read the latents.
        decode_mlp_ratio: hidden size of the decoding MLPs, as a multiple of `dim`; they run on every image token,
            and cost most. In the other blocks it is 4.
        modalities: names of the modalities, in an order that is fixed by training.
        direct_queries: variant without latents: the image tokens attend to all modality tokens themselves, which
            costs the square of the tokens.
        modality_dropout: share of modalities that are dropped in training, each independently for each picture.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(  # noqa: PLR0913, PLR0917 (the configuration of a diffusers model is flat)
        self,
        token_dim: int = 64,
        dim: int = 512,
        num_latents: int = 256,
        num_heads: int = 8,
        num_self_blocks: int = 4,
        num_decode_blocks: int = 1,
        decode_mlp_ratio: int = 2,
        modalities: Sequence[str] = tuple(MAPS),
        direct_queries: bool = False,
        modality_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check_sizes(dim, num_heads, num_decode_blocks, modality_dropout)
        # JSON gives a list back.
        self.modalities = tuple(modalities)
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities must be different names, at least one, got {list(modalities)}")
        self.gradient_checkpointing = False
        self.modality_proj = nn.Linear(token_dim, dim)
        self.modality_embedding = nn.Parameter(torch.randn(len(self.modalities), dim) * 0.02)
        self.image_proj = nn.Linear(token_dim, dim)
        self.place_proj = nn.Linear(len(self.modalities) * token_dim, dim, bias=False)
        if not direct_queries:
            self.latents = nn.Parameter(torch.randn(num_latents, dim) * 0.02)
            self.read = FusionBlock(dim, num_heads, mlp_ratio=4)
            self.think = nn.ModuleList(FusionBlock(dim, num_heads, mlp_ratio=4) for _ in range(num_self_blocks))
        self.decode = nn.ModuleList(FusionBlock(dim, num_heads, decode_mlp_ratio) for _ in range(num_decode_blocks))
        self.out_proj = nn.Linear(dim, token_dim)
        self.out_norm = nn.RMSNorm(token_dim, eps=1e-6, elementwise_affine=False)

    def forward(
        self,
        image_tokens_BND: Tensor,
        modality_tokens: Mapping[str, Tensor],
        grid: tuple[int, int],
        present_BM: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Fused context [B, N, token_dim], in the model's type; independent of the time step, so one call per picture.

        Args:
            image_tokens_BND: packed latents of the whole picture; cast to the model's type, like the others.
            modality_tokens: by name, any of `modalities`, packed latents of the map's picture, of the same shape.
            grid: (rows, columns) of the tokens, row by row.
            present_BM: bool, which modalities each picture has, in the order of `modalities`; those that
                `modality_tokens` lacks are missing anyway, and the tokens of dropped ones may be any finite numbers.
                If given, none is dropped at random; None = drawn by `draw_present` in training.
            generator: random generator of the modality dropout; None = torch's own.

        Raises:
            ValueError: unknown modality, or shapes that do not fit.
        """
        self._check_tokens(image_tokens_BND, modality_tokens, grid)
        num_pictures, num_tokens, _ = image_tokens_BND.shape
        if present_BM is None and self.training and self.config.modality_dropout > 0.0:
            present_BM = self.draw_present(num_pictures, generator)
        if present_BM is not None and present_BM.shape != (num_pictures, len(self.modalities)):
            expected = [num_pictures, len(self.modalities)]
            raise ValueError(f"present_BM must be {expected}, got {list(present_BM.shape)}")

        position_ND = positions(grid, self.config.dim, image_tokens_BND.device).to(self.dtype)
        query_BND = self.image_proj(image_tokens_BND.to(self.dtype)) + position_ND
        query_BND = query_BND + self._in_place(image_tokens_BND, modality_tokens, present_BM)
        given = [index for index, name in enumerate(self.modalities) if name in modality_tokens]
        source_BKD = self._modality_source(modality_tokens, given, position_ND)
        mask_BK = None
        if present_BM is not None and given:
            mask_BK = present_BM[:, given].to(query_BND.device, torch.bool).repeat_interleave(num_tokens, dim=1)

        if not self.config.direct_queries:
            latents_BLD = self.latents.expand(num_pictures, -1, -1)
            source_BKD = self._run(self.read, latents_BLD, source_BKD, mask_BK)
            mask_BK = None
            for block in self.think:
                source_BKD = self._run(block, source_BKD, source_BKD)
        for block in self.decode:
            query_BND = self._run(block, query_BND, source_BKD, mask_BK)
        return self.out_norm(self.out_proj(query_BND))

    def draw_present(self, num_pictures: int, generator: torch.Generator | None = None) -> Tensor:
        """Which modalities each picture keeps, [B, M] bool on the generator's device.

        Each is True with probability 1 - `modality_dropout`, independently. The same number of values is drawn
        whichever modalities are given, so that leaving one out changes no other draw.
        """
        device = self.device if generator is None else generator.device
        draw_BM = torch.rand(num_pictures, len(self.modalities), generator=generator, device=device)
        return draw_BM >= self.config.modality_dropout

    def _in_place(
        self, image_tokens_BND: Tensor, modality_tokens: Mapping[str, Tensor], present_BM: Tensor | None
    ) -> Tensor:
        """Projection [B, N, D] of the modality tokens at each image token's own position; missing ones are zero."""
        nothing_BND = torch.zeros_like(image_tokens_BND, dtype=self.dtype)
        tokens = [modality_tokens.get(name, nothing_BND).to(self.dtype) for name in self.modalities]
        if present_BM is not None:
            here_BM11 = present_BM.to(nothing_BND.device, torch.bool)[..., None, None]
            tokens = [modality.where(here_BM11[:, i], 0.0) for i, modality in enumerate(tokens)]
        return self.place_proj(torch.cat(tokens, dim=-1))

    def _modality_source(
        self, modality_tokens: Mapping[str, Tensor], given: Sequence[int], position_ND: Tensor
    ) -> Tensor | None:
        """Tokens [B, K, D] of the given modalities, one after another; None when none is given."""
        if not given:
            return None
        sources = [
            self.modality_proj(modality_tokens[self.modalities[index]].to(self.dtype))
            + (position_ND + self.modality_embedding[index])
            for index in given
        ]
        return torch.cat(sources, dim=1)

    def _run(
        self, block: nn.Module, queries_BQD: Tensor, source_BKD: Tensor | None, mask_BK: Tensor | None = None
    ) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, queries_BQD, source_BKD, mask_BK)
        return block(queries_BQD, source_BKD, mask_BK)

    def _check_tokens(self, image_BND: Tensor, modality_tokens: Mapping[str, Tensor], grid: tuple[int, int]) -> None:
        unknown = sorted(set(modality_tokens) - set(self.modalities))
        if unknown:
            raise ValueError(f"modalities must be among {', '.join(self.modalities)}, got {', '.join(unknown)}")
        num_tokens, token_dim = grid[0] * grid[1], self.config.token_dim
        if image_BND.ndim != 3 or image_BND.shape[1:] != (num_tokens, token_dim):
            raise ValueError(f"image tokens must be [B, {num_tokens}, {token_dim}], got {list(image_BND.shape)}")
        for name, tokens_BND in modality_tokens.items():
            if tokens_BND.shape != image_BND.shape:
                raise ValueError(f"{name} tokens must be {list(image_BND.shape)}, got {list(tokens_BND.shape)}")


class FusionBlock(nn.Module):
    """Pre-norm attention to a source, then an MLP, each added to the queries."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_queries = nn.LayerNorm(dim)
        self.norm_source = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim))

    def forward(self, queries_BQD: Tensor, source_BKD: Tensor | None, mask_BK: Tensor | None = None) -> Tensor:
        """Updated queries [B, Q, D]; where the mask (True = attended to) leaves nothing, no attention is added."""
        if source_BKD is not None:
            queries_BQD = queries_BQD + self._attend(queries_BQD, source_BKD, mask_BK)
        return queries_BQD + self.mlp(self.norm_mlp(queries_BQD))

    def _attend(self, queries_BQD: Tensor, source_BKD: Tensor, mask_BK: Tensor | None) -> Tensor:
        query = self._heads(self.to_q(self.norm_queries(queries_BQD)))
        key, value = (self._heads(part) for part in self.to_kv(self.norm_source(source_BKD)).chunk(2, dim=-1))
        if mask_BK is None:
            return self.to_out(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        # A softmax over nothing is NaN: such a picture attends to all its tokens, and the result is set to zero.
        any_B1 = mask_BK.any(dim=1, keepdim=True)
        mask_B11K = (mask_BK | ~any_B1)[:, None, None]
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask_B11K)
        return self.to_out(read.transpose(1, 2).flatten(2)).where(any_B1[:, None], 0.0)

    def _heads(self, x_BND: Tensor) -> Tensor:
        """The channels split into heads: [B, heads, N, D / heads]."""
        return x_BND.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def positions(grid: tuple[int, int], dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Position embedding [rows * columns, dim], float32: sines and cosines of row (first half) and column.

    They are counted in tokens, not scaled to the picture: a step means the same at every size, as in the base's own
    positions.
    """
    rows, columns = (torch.arange(length, dtype=torch.float32, device=device) for length in grid)
    return get_2d_sincos_pos_embed_from_grid(dim, torch.meshgrid(rows, columns, indexing="ij")).float()


def _check_sizes(dim: int, num_heads: int, num_decode_blocks: int, modality_dropout: float) -> None:
    if dim % num_heads or dim % 4:
        raise ValueError(f"dim must be a multiple of 4 and of num_heads = {num_heads}, got {dim}")
    if num_decode_blocks < 1:
        raise ValueError(f"num_decode_blocks must be at least 1, got {num_decode_blocks}")
    if not 0.0 <= modality_dropout < 1.0:
        raise ValueError(f"modality_dropout must be in [0, 1), got {modality_dropout}")
