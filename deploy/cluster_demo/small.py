"""The demo in miniature: the same stages, sources and checks, in numbers that take minutes on two cores.

What it trains learns nothing; that the gate decides, and on what, is all that it shows of a model.
"""

_STEPS = (
    '"schedule.num_steps" = 3, "schedule.warmup_steps" = 1, "batch.micro_batch" = 2, "data.num_validation" = 2, '
    '"data.validation_share" = 0.3, "data.size_px" = 32, "compute.loader_workers" = 0'
)
SETTINGS = {
    "scenes.num_scenes": "12",
    "scenes.scenes_per_shard": "2",
    "scenes.size_px": "96",
    "maps.segmentation.size_px": "96",
    "maps.depth.size_px": "96",
    "generated.size_px": "160",
    "held_out.num_scenes": "3",
    "training.start": "",  # The packaged adapter has another form.
    "training.changes": "{" + _STEPS + ', "adapter.rank" = 2, "adapter.fusion_dim" = 16}',
    # So slowly that opaque pictures stay as they were.
    "training.rgba_vae_changes": "{" + _STEPS + ', "optimiser.learning_rate" = 1e-6}',
    "evaluation.bootstrap_draws": "100",
}
"""Settings by dotted key that differ from the profile `demo`."""


def variables() -> dict[str, str]:
    """The settings as variables of the environment."""
    return {f"DECOUPAGE__{key.upper().replace('.', '__')}": value for key, value in SETTINGS.items()}
