"""The configuration of a run of the tiny base: geometry, photographs, holes, objective. Imports no torch."""

from typing import Literal

from pydantic import Field

from pipelines.config import Section, Share
from training.config import (
    BatchConfig,
    ComputeConfig,
    OptimiserConfig,
    OutputConfig,
    RunConfig,
    ScheduleConfig,
    with_changes,
)

HELD_OUT = (
    # Packaged photographs that the demo holds out, or may.
    *("coffee", "camera", "chelsea", "flower", "hubble_deep_field", "nyc", "rocket", "sumac"),
    "motorcycle",  # Its package states no licence.
    # Real scenes on which the base is measured.
    *("street", "interior", "palace", "kodak/15", "kodak/16", "gb82/nyc", "gb82/sumac"),
)
SMALL_HELD_OUT = (
    *("bulb", "china", "haze", "hubble_deep_field", "mies", "nyc", "prudential", "rocket", "sand", "sumac", "sunset"),
    *("waves", "astronaut", "chelsea", "coffee", "flower", "motorcycle"),
)
"""Packaged photographs that the profile `small_fill` holds out."""


class GeometrySection(Section):
    """Geometry of the network; chosen by measurement, within 16 MB in half precision."""

    dim_heads: int = Field(32, ge=12, le=128, multiple_of=4)
    num_heads: int = Field(8, ge=1, le=64)
    num_double: int = Field(1, ge=1, le=19)
    num_single: int = Field(3, ge=0, le=38)


class PhotographsSection(Section):
    """Which crops are taken from the photographs, and how they are varied."""

    size_px: int = Field(64, ge=16, le=512, multiple_of=8, description="side of a sample")
    min_crop_share: Share = Field(0.25, description="smallest crop, as a share of a photograph's short side")
    recolour_share: Share = Field(0.5, description="share of samples with swapped channels, and with other tones")
    max_hole_share: Share = Field(0.5, description="largest hole, as a share of a sample's area")
    held_out: tuple[str, ...] = HELD_OUT
    num_validation: int = Field(96, ge=1, le=10_000, description="crops of held-out photographs")


class InpaintingSection(Section):
    """The objective: flow matching, most of all in holes and from pure noise.

    At this size one step from pure noise is the best sampler (it gives the conditional mean), so most samples are that.
    """

    shift: float = Field(3.0, ge=0.0, le=10.0, description="shift of the noise levels (mu), kept in the scheduler")
    pure_noise_share: Share = Field(0.7, description="share of samples at noise level 1")
    hole_weight: float = Field(8.0, ge=1.0, le=1000.0, description="weight of tokens that a hole touches, against 1")


class TinyBaseConfig(RunConfig):
    """A run that trains a base that is small enough for a CPU: `tiny-fill` or `small-fill`."""

    base: Literal["tiny-fill", "small-fill"] = "tiny-fill"

    geometry: GeometrySection = GeometrySection()
    photographs: PhotographsSection = PhotographsSection()
    objective: InpaintingSection = InpaintingSection()


def tiny_base() -> TinyBaseConfig:
    """The base that the product ships: 14,000 steps of 16 crops of 64 px, on a CPU."""
    return TinyBaseConfig(
        optimiser=OptimiserConfig(learning_rate=2e-3, betas=(0.9, 0.99)),
        schedule=ScheduleConfig(kind="cosine", warmup_steps=200, num_steps=14_000),
        batch=BatchConfig(micro_batch=16, accumulation=1),
        compute=ComputeConfig(precision="fp32", loader_workers=0),
        output=OutputConfig(save_every_steps=500, keep_last=2, sample_every_steps=500),
    )


def small_base() -> TinyBaseConfig:
    """The base of the packaged adapter: 128 px, from a smooth filling, in 20 minutes on two cores of a CPU."""
    changes = {
        "base": "small-fill",
        "photographs.held_out": SMALL_HELD_OUT,
        "geometry.num_single": 4,
        "photographs.size_px": 128,
        "objective.pure_noise_share": 0.25,  # It is asked for one step from the filling; noise trains more.
        "optimiser.learning_rate": 1e-3,
        "schedule.num_steps": 1600,
        "schedule.warmup_steps": 100,
    }
    return with_changes(tiny_base(), changes)
