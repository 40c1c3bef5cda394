"""What a run of the RGBA VAE is. Complete runs are in `recipes.py`. This module imports no torch."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from pipelines.config import Section, Share
from training.config import RunConfig, SamplesConfig, Steps

if TYPE_CHECKING:
    from training.rgba_vae.losses import RgbaLossWeights


class RgbaLossSection(Section):
    """The fields of `losses.RgbaLossWeights`, which says what they mean; a test holds both together."""

    reconstruction: Literal["l2", "l1"] = "l2"
    perceptual: float = Field(0.5, ge=0.0, le=1000.0)
    kl: float = Field(1e-6, ge=0.0, le=1000.0)
    tie: float = Field(1.0, ge=0.0, le=1000.0)
    tie_kind: Literal["mse", "kl"] = "mse"
    adversarial: float = Field(1.0, ge=0.0, le=1000.0, description="0 = no adversary")
    adversarial_from_step: Steps = 4000

    def build(self) -> "RgbaLossWeights":
        """The losses' own weights. Imports torch."""
        from training.rgba_vae.losses import RgbaLossWeights

        return RgbaLossWeights(**self.model_dump())


class RgbaVaeConfig(RunConfig):
    """A run that teaches a base's codec alpha."""

    base: str = Field("flux-fill", description="base whose codec is widened")
    # A codec sees no masks, so none are drawn for it.
    data: SamplesConfig = SamplesConfig(redraw_masks=False)
    weights: RgbaLossSection = RgbaLossSection()
    opaque_share: Share = Field(0.5, description="share of samples that are a whole scene, opaque, not a foreground")
    freeze_trunk_steps: Steps = Field(1000, description="steps in which the widened layers alone learn")

    @model_validator(mode="after")
    def _possible(self) -> "RgbaVaeConfig":
        if self.compute.base_quantisation != "none":
            raise ValueError("compute.base_quantisation must be none: the codec is no frozen base, all of it learns")
        if self.compute.compile:
            raise ValueError("compute.compile must be false: a codec has no repeated blocks to compile")
        if not self.data.num_validation or not self.data.validation_share:
            raise ValueError("data.num_validation and data.validation_share must be above 0: they judge the codec")
        return self

    @property
    def has_adversary(self) -> bool:
        """Whether a discriminator takes part before the run ends."""
        return self.weights.adversarial > 0 and self.weights.adversarial_from_step < self.schedule.num_steps

    def recipe(self) -> dict[str, Any]:
        """See `RunConfig.recipe`."""
        values = super().recipe()
        for name in ("max_unreadable_share", "redraw_masks"):
            del values["data"][name]
        return values
