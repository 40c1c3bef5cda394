"""Foregrounds generated from prompts."""

from typing import Literal

from pydantic import Field, model_validator

from decoupage.settings import Section

CELL_PX = 64
"""LayerDiffuse's decoder halves a picture six times: both sides are multiples of this."""


class GeneratedConfig(Section):
    """Foregrounds generated from prompts, with complete shapes.

    What stands after `seed` is of the two LayerDiffuse generators; a value left out is the publisher's own
    (`pipelines/foregrounds/layerdiffuse/settings.py`).
    """

    generator: Literal["procedural", "layerdiffuse", "layerdiffuse_flux"] = "procedural"
    """`procedural`: drawn shapes, the stand-in for LayerDiffuse. `layerdiffuse`: on SDXL. `layerdiffuse_flux`: on
    FLUX.1 [dev], whose licence forbids commercial use."""
    prompts_per_category: int = Field(6, ge=1, le=10_000)
    images_per_prompt: int = Field(1, ge=1, le=1000)
    num_shards: int = Field(2, ge=1, le=2000)
    size_px: int = Field(512, ge=64, le=2048, description="side of the square canvas")
    seed: int = Field(0, ge=0)

    height_px: int | None = Field(None, ge=64, le=2048, multiple_of=CELL_PX, description="instead of size_px")
    width_px: int | None = Field(None, ge=64, le=2048, multiple_of=CELL_PX, description="instead of size_px")
    base: str = Field("", description="Hub repository or folder of SDXL or FLUX.1, in diffusers' layout")
    weights: str = Field("", description="Hub repository or folder that holds LayerDiffuse's own files")
    variant: Literal["deltas", "lora"] | None = None
    """On SDXL `deltas`, differences added to the attention matrices, or a `lora` of rank 256 on the same; on FLUX.1 a
    LoRA is all there is."""
    num_steps: int | None = Field(None, ge=1, le=1000, description="25 on SDXL, 50 on FLUX.1")
    guidance: float | None = Field(None, ge=0.0, le=30.0, description="7.0 on SDXL, 3.5 on FLUX.1")
    negative_prompt: str = Field("bad, ugly", description="on SDXL; FLUX.1 [dev] takes none")
    batch_size: int = Field(0, ge=0, le=256, description="pictures at once; 0 = as many as the free GPU memory holds")
    device: str = Field("cuda", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu takes minutes a picture")
    dtype: Literal["float16", "bfloat16", "float32"] | None = None
    """Of the weights: float16 on SDXL (its VAE then takes bfloat16, for it overflows), bfloat16 on FLUX.1."""

    @model_validator(mode="after")
    def _possible(self) -> "GeneratedConfig":
        if self.generator == "procedural":
            if self.height_px or self.width_px:
                raise ValueError("height_px and width_px are LayerDiffuse's; the procedural canvas is size_px")
            return self
        if self.size_px % CELL_PX:
            raise ValueError(f"size_px must be a multiple of {CELL_PX} for {self.generator}, got {self.size_px}")
        if self.generator == "layerdiffuse_flux" and self.variant == "deltas":
            raise ValueError("variant must be lora for layerdiffuse_flux, which is published as nothing else")
        return self
