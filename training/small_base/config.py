"""The configuration of a run of the small base: geometry, photographs, holes, objective. Imports no torch."""

from pydantic import Field

from pipelines.config import Section, Share
from training.config import (
    BatchConfig,
    ComputeConfig,
    OptimiserConfig,
    OutputConfig,
    RunConfig,
    ScheduleConfig,
)

HELD_OUT = (
    *("bulb", "china", "haze", "hubble_deep_field", "mies", "nyc", "prudential", "rocket", "sand", "sumac", "sunset"),
    *("waves", "astronaut", "chelsea", "coffee", "flower", "motorcycle"),
)
"""Packaged photographs that the demo holds out, and `small_fill`."""


class GeometrySection(Section):
    """Geometry of the network; chosen by measurement, within 20 MB in half precision."""

    dim_heads: int = Field(32, ge=12, le=128, multiple_of=4)
    num_heads: int = Field(8, ge=1, le=64)
    num_double: int = Field(1, ge=1, le=19)
    num_single: int = Field(4, ge=0, le=38)


class PhotographsSection(Section):
    """Which crops are taken from the photographs, and how they are varied."""

    size_px: int = Field(128, ge=16, le=512, multiple_of=8, description="side of a sample")
    min_crop_share: Share = Field(0.25, description="smallest crop, as a share of a photograph's short side")
    recolour_share: Share = Field(0.5, description="share of samples with swapped channels, and with other tones")
    max_hole_share: Share = Field(0.5, description="largest hole, as a share of a sample's area")
    held_out: tuple[str, ...] = HELD_OUT
    num_validation: int = Field(96, ge=1, le=10_000, description="crops of held-out photographs")


class InpaintingSection(Section):
    """The objective: flow matching, most of all in holes: in one step from a filling, and from noise.

    One step from a filling is all that the base is asked for; samples from noise train features that it lacks else.
    """

    shift: float = Field(3.0, ge=0.0, le=10.0, description="shift of the noise levels (mu), kept in the scheduler")
    filling_share: Share = Field(0.25, description="share of samples in one step from a filling; the others from noise")
    hole_weight: float = Field(8.0, ge=1.0, le=1000.0, description="weight of tokens that a hole touches, against 1")


class SmallBaseConfig(RunConfig):
    """A run that trains the base that is small enough for a CPU, `small-fill`."""

    geometry: GeometrySection = GeometrySection()
    photographs: PhotographsSection = PhotographsSection()
    objective: InpaintingSection = InpaintingSection()


def small_base() -> SmallBaseConfig:
    """The base that the product ships: 128 px, from a smooth filling, in an hour on two cores of a CPU."""
    return SmallBaseConfig(
        optimiser=OptimiserConfig(learning_rate=1e-3, betas=(0.9, 0.99)),
        schedule=ScheduleConfig(kind="cosine", warmup_steps=100, num_steps=1_600),
        batch=BatchConfig(micro_batch=16, accumulation=1),
        compute=ComputeConfig(precision="fp32", loader_workers=0),
        output=OutputConfig(save_every_steps=500, keep_last=2, sample_every_steps=500),
    )
