"""Foregrounds generated from prompts."""

from typing import Literal

from pydantic import Field

from pipelines.config.section import Section


class GeneratedConfig(Section):
    """Foregrounds generated from prompts, with complete shapes."""

    generator: Literal["procedural"] = "procedural"
    """`procedural`: drawn shapes, the stand-in for LayerDiffuse."""
    prompts_per_category: int = Field(6, ge=1, le=10_000)
    images_per_prompt: int = Field(1, ge=1, le=1000)
    num_shards: int = Field(2, ge=1, le=2000)
    size_px: int = Field(512, ge=64, le=2048)
    seed: int = Field(0, ge=0)
