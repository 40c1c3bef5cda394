"""The small base: FLUX.1-Fill's classes at a size that trains on a CPU, for demos and tests. It knows no text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

from decoupage.bases.flux import FluxFill, Posterior
from decoupage.bases.reading import readable
from decoupage.bases.small_codec import PATCH_PX, SmallCodec
from decoupage.bases.spec import Components, Sampling, Start, Text
from decoupage.weights.hub import split_revision

WEIGHTS = Path(__file__).parent / "small_fill"
"""The packaged weights, with their model card."""
NO_TEXT = dict.fromkeys(FluxFill.text_parts)


class SmallFill(FluxFill):
    """The small inpainting model of FLUX.1-Fill's classes, with tokens of 16 x 16 pixels.

    Noisy token 256 | masked picture 256 | packed mask 256 = 768 channels. A network of this size learns no likely
    detail from noise. It starts from a smooth filling of the hole (`decoupage.starts`) and corrects that in one step,
    so what it gives is the likely mean, and does not depend on a seed.
    """

    name = "small-fill"
    repo_id = "small-fill"
    licence = "Apache-2.0"
    packaged: ClassVar[Path | None] = WEIGHTS
    stands_in_for = "FLUX.1-Fill"
    token_dim = 256
    vae_scale = PATCH_PX
    mask_dim = PATCH_PX**2 * 4
    projection_dim = 768
    text_tokens = 1
    text_parts: ClassVar[tuple[str, ...]] = ()
    large_text_parts: ClassVar[tuple[str, ...]] = ()
    pixel_multiple = PATCH_PX * 2
    posterior: ClassVar[Posterior] = "mode"
    starts_from: ClassVar[Start] = "filling"
    sampling = Sampling(1, 1.0, 128, "its model card: trained at 128 px and guidance 1, in one step from a filling")

    def load(self, source: str | None = None, **options: Any) -> Components:
        """See `Base.load`; the folder holds `transformer/`, `vae/` and `scheduler/`. None = the packaged weights."""
        source, revision = split_revision(source or str(self.packaged))
        options = {"dtype": torch.float32, "revision": revision} | options  # The files are in half precision.
        # A pipeline's option names which component is quantised, and how.
        quantised = options.pop("quantization_config", None)
        own = {"quantization_config": quantised.quant_mapping[self.network]} if quantised else {}
        with readable(source):
            return {
                "transformer": FluxTransformer2DModel.from_pretrained(
                    source, subfolder="transformer", **own, **options
                ),
                "vae": SmallCodec.from_pretrained(source, subfolder="vae", **options),
                "scheduler": FlowMatchEulerDiscreteScheduler.from_pretrained(
                    source, subfolder="scheduler", revision=revision
                ),
                **NO_TEXT,
            }

    def new(
        self,
        dim_heads: int = 24,
        num_heads: int = 4,
        num_double: int = 2,
        num_single: int = 2,
        shift: float | None = None,
    ) -> Components:
        """Components with random weights, by default in a geometry that trains in minutes on a CPU (1.1 M parameters).

        Args:
            dim_heads, num_heads: the width of the network is their product.
            num_double, num_single: number of blocks of both kinds.
            shift: shift of the noise levels (mu) at every size of picture; None = by the size, as in FLUX.1.
        """
        transformer = FluxTransformer2DModel(
            in_channels=self.projection_dim,
            out_channels=self.token_dim,
            num_layers=num_double,
            num_single_layers=num_single,
            attention_head_dim=dim_heads,
            num_attention_heads=num_heads,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=_rope(dim_heads),
        )
        shifts = {} if shift is None else {"base_shift": shift, "max_shift": shift}
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **shifts)
        return {"transformer": transformer.eval(), "vae": SmallCodec().eval(), "scheduler": scheduler, **NO_TEXT}

    def embed_text(self, components: Components, prompts: Sequence[str], device: torch.device) -> Text:
        """See `Base.embed_text`: zeros, whatever the prompt."""
        config, dtype = components["transformer"].config, components["transformer"].dtype
        tokens = torch.zeros(len(prompts), self.text_tokens, config.joint_attention_dim, device=device, dtype=dtype)
        pooled = torch.zeros(len(prompts), config.pooled_projection_dim, device=device, dtype=dtype)
        return Text(tokens, pooled, torch.zeros(self.text_tokens, 3, device=device))


def _rope(dim_heads: int) -> tuple[int, int, int]:
    """Channels of a head that rotate with layer, row and column: about a third each, all even."""
    place = dim_heads // 6 * 2
    place += (dim_heads - 3 * place) // 4 * 2
    return dim_heads - 2 * place, place, place


def save_base(components: Components, folder: str) -> None:
    """Write a small base as `SmallFill.load` reads it."""
    for name in ("transformer", "vae", "scheduler"):
        components[name].save_pretrained(f"{folder}/{name}")
