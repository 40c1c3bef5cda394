"""Complete runs of the RGBA VAE, as functions."""

from collections.abc import Callable

from training.config import with_changes
from training.rgba_vae.config import RgbaVaeConfig


def rgba_vae() -> RgbaVaeConfig:
    """The AlphaVAE recipe for FLUX.1's codec: 160,000 samples of 1024 px, about 13 hours of one H200."""
    changes = {
        "optimiser.learning_rate": 1e-5,
        "optimiser.betas": (0.5, 0.9),
        # Decay would draw the codec towards zero, away from the one that the base knows.
        "optimiser.weight_decay": 0.0,
        "schedule.kind": "cosine",
        "schedule.num_steps": 20_000,
        "schedule.warmup_steps": 500,
        "output.save_every_steps": 1000,
        "output.sample_every_steps": 1000,
    }
    return with_changes(RgbaVaeConfig(), changes)


def demo_rgba_vae() -> RgbaVaeConfig:
    """The tiny base's codec on a CPU, in about a minute and a half."""
    changes = {
        "base": "tiny-fill",
        "optimiser.learning_rate": 5e-3,  # 0.002 ends 3 dB lower, and 0.01 is no better.
        "schedule.num_steps": 1200,  # Alpha errs by 0.007 on average.
        "schedule.warmup_steps": 20,
        "batch.micro_batch": 8,  # 600 steps of 8 beat 300 of 16 by 1 dB.
        "batch.accumulation": 1,
        "data.size_px": 64,
        "data.validation_share": 0.1,
        "opaque_share": 0.25,  # With a half, alpha and colour of foregrounds are a little worse.
        "weights.tie": 0.1,  # 1.0 costs 1 dB; so weak, opaque pictures still lose only 0.3 dB.
        "weights.perceptual": 0.0,
        "weights.adversarial": 0.0,
        "freeze_trunk_steps": 0,
        "ema_decay": 0.98,
        "compute.precision": "fp32",
        "compute.loader_workers": 1,
        "output.save_every_steps": 1200,
        "output.sample_every_steps": 1200,
    }
    return with_changes(rgba_vae(), changes)


RECIPES: dict[str, Callable[[], RgbaVaeConfig]] = {recipe.__name__: recipe for recipe in (rgba_vae, demo_rgba_vae)}
