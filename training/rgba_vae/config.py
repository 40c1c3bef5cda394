"""The configuration of a run of the RGBA VAE, and its two recipes. This module imports no torch."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipelines.config import Section, Share
from training.config import RunConfig, SamplesConfig, Steps, with_changes


class RgbaLossWeights(Section):
    """Weights of the parts of the total (`losses.py`).

    `tie_kind`: squared distance of means, or divergence of whole posteriors.
    """

    reconstruction: Literal["l2", "l1"] = "l2"
    perceptual: float = Field(0.5, ge=0.0, le=1000.0, description="of LPIPS; 0 = without it, and its weights")
    kl: float = Field(1e-6, ge=0.0, le=1000.0)
    tie: float = Field(1.0, ge=0.0, le=1000.0)
    tie_kind: Literal["mse", "kl"] = "mse"
    adversarial: float = Field(1.0, ge=0.0, le=1000.0, description="0 = no adversary")
    adversarial_from_step: Steps = 4000


class RgbaVaeConfig(RunConfig):
    """A run that trains a base's VAE to code alpha."""

    base: str = Field("flux-fill", description="base whose VAE is widened")
    # A VAE sees no masks, so none are drawn for it.
    data: SamplesConfig = SamplesConfig(redraw_masks=False)
    weights: RgbaLossWeights = RgbaLossWeights()
    opaque_share: Share = Field(
        0.5, description="share of samples that are a complete, opaque scene instead of a foreground"
    )
    freeze_trunk_steps: Steps = Field(1000, description="steps in which only the widened layers are trained")

    @model_validator(mode="after")
    def _possible(self) -> "RgbaVaeConfig":
        if self.compute.base_quantisation != "none":
            raise ValueError("compute.base_quantisation must be none: all of the VAE is trained, no base is frozen")
        if self.compute.compile:
            raise ValueError("compute.compile must be false: a VAE has no repeated blocks to compile")
        if not self.data.num_validation or not self.data.validation_share:
            raise ValueError("data.num_validation and data.validation_share must be above 0: they judge the VAE")
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


def rgba_vae() -> RgbaVaeConfig:
    """The AlphaVAE recipe for FLUX.1's VAE: 160,000 samples of 1024 px, about 13 hours of one H200."""
    changes = {
        "optimiser.learning_rate": 1e-5,
        "optimiser.betas": (0.5, 0.9),
        # Decay would draw the VAE towards zero, away from the one that the base knows.
        "optimiser.weight_decay": 0.0,
        "schedule.kind": "cosine",
        "schedule.num_steps": 20_000,
        "schedule.warmup_steps": 500,
        "output.save_every_steps": 1000,
        "output.sample_every_steps": 1000,
    }
    return with_changes(RgbaVaeConfig(), changes)


def small_rgba_vae() -> RgbaVaeConfig:
    """The RGBA VAE of the small base, on a CPU in two minutes: its codes are closed forms, its refiner is trained."""
    changes = {
        "base": "small-fill",
        "optimiser.learning_rate": 2e-3,
        "schedule.num_steps": 300,  # Alpha errs by 0.0013 on average.
        "schedule.warmup_steps": 20,
        "batch.micro_batch": 8,
        "batch.accumulation": 1,
        "data.size_px": 128,
        "data.validation_share": 0.1,
        "opaque_share": 0.4,
        "weights.tie": 0.1,
        "weights.perceptual": 0.0,  # Its network is not part of the demo, which needs nothing that is not packaged.
        "weights.adversarial": 0.0,
        "freeze_trunk_steps": 0,
        "ema_decay": 0.98,
        "compute.precision": "fp32",
        "compute.loader_workers": 1,
        "output.save_every_steps": 300,
        "output.sample_every_steps": 300,
    }
    return with_changes(rgba_vae(), changes)


def how_to_train(base: str, data: str = "DATA") -> str:
    """The command that trains the RGBA VAE of a base on shards."""
    recipes = {config().base: config.__name__ for config in (rgba_vae, small_rgba_vae)}
    recipe = recipes.get(base, "rgba_vae")
    other = "" if base in recipes else f" --set base={base}"
    return f"decoupage train {recipe} --data {data} --out runs/rgba_vae{other}"
