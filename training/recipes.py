"""Complete runs, as functions: the paper's, and those that differ from it.

A recipe states what it changes and inherits the rest. Allowed ranges are in `config.py`; where data lies and where
results go is no part of a recipe.
"""

from collections.abc import Callable, Iterator
from typing import Any

from training.config import RunConfig, TrainingConfig, with_changes
from training.rgba_vae.config import demo_rgba_vae, rgba_vae
from training.tiny_base.config import tiny_base


def paper() -> TrainingConfig:
    """Rank 256, batches of 8, learning rate 5e-5, 7200 steps, 1024 px: for one GPU of 141 GB, or eight of 80 GB."""
    return TrainingConfig()


def rank_128() -> TrainingConfig:
    """The paper's recipe with half its rank."""
    return with_changes(paper(), {"adapter.rank": 128})


def rank_1024() -> TrainingConfig:
    """The paper's recipe with four times its rank."""
    return with_changes(paper(), {"adapter.rank": 1024})


def no_foreground_context() -> TrainingConfig:
    """The paper's recipe, both halves given the context of inpainting: what lies outside the mask."""
    return with_changes(paper(), {"adapter.foreground_context": "background"})


def no_fused_context() -> TrainingConfig:
    """The paper's recipe without maps, fusion module, and channels for it."""
    return with_changes(paper(), {"adapter.maps": ()})


def no_edges() -> TrainingConfig:
    """The paper's recipe without the map of edges."""
    return _without_map("edges")


def no_segmentation() -> TrainingConfig:
    """The paper's recipe without the segmentation map."""
    return _without_map("segmentation")


def no_depth() -> TrainingConfig:
    """The paper's recipe without the map of inverse depth."""
    return _without_map("depth")


def no_generated_foregrounds() -> TrainingConfig:
    """The paper's recipe, trained only on scenes whose layers are all cut from photographs."""
    return with_changes(paper(), {"data.foreground_kinds": ("real",)})


def kontext_base() -> TrainingConfig:
    """The paper's recipe on FLUX.1-Kontext instead of FLUX.1-Fill, with the same input channels."""
    return with_changes(paper(), {"adapter.base": "flux-kontext"})


def small_gpu() -> TrainingConfig:
    """For one GPU of 24 GB: 4-bit base, 8-bit moments, every block recomputed, half the rank."""
    changes = {
        "adapter.rank": 128,
        "optimiser.name": "adamw8bit",
        "compute.base_quantisation": "nf4",
        "compute.checkpoint_every_blocks": 1,
    }
    return with_changes(paper(), changes)


def demo() -> TrainingConfig:
    """The tiny base on a CPU, in minutes."""
    changes = {
        "adapter.base": "tiny-fill",
        "adapter.rank": 32,
        "adapter.num_latents": 16,
        "adapter.fusion_dim": 64,
        "adapter.num_inference_steps": 1,
        "optimiser.learning_rate": 2e-3,  # A small network from few steps: the paper's rate would hardly move it.
        "schedule.kind": "cosine",
        "schedule.num_steps": 1000,
        "schedule.warmup_steps": 30,
        "batch.micro_batch": 8,
        "batch.accumulation": 1,
        "objective.pure_noise_share": 0.7,  # As the base was trained: one step from noise is its best sampler.
        "objective.hole_weight": 6.0,
        "objective.pixels_weight": 1.0,
        "data.size_px": 64,
        "data.recolour_share": 0.8,  # Six photographs stand behind its scenes.
        "data.validation_share": 0.1,
        "compute.precision": "fp32",
        "compute.loader_workers": 1,
        "output.save_every_steps": 250,
        "output.sample_every_steps": 250,
    }
    return with_changes(paper(), changes)


RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        paper,
        rank_128,
        rank_1024,
        no_foreground_context,
        no_fused_context,
        no_edges,
        no_segmentation,
        no_depth,
        no_generated_foregrounds,
        kontext_base,
        small_gpu,
        demo,
    )
}


ALL: dict[str, Callable[[], RunConfig]] = {
    **RECIPES,
    **{recipe.__name__: recipe for recipe in (rgba_vae, demo_rgba_vae, tiny_base)},
}
"""All recipes by name: adapters, the RGBA VAE that they need, and the base that the product ships."""


def find_recipe(name: str) -> RunConfig:
    """The run of the recipe with a name.

    Raises:
        ValueError: no such recipe; the message lists the known ones.
    """
    if name not in ALL:
        raise ValueError(f"there is no recipe {name!r}; known: {', '.join(ALL)}")
    return ALL[name]()


def difference(ours: TrainingConfig, theirs: TrainingConfig) -> dict[str, tuple[Any, Any]]:
    """Values in which two runs differ, by dotted key: (in the first, in the second)."""
    first, second = dict(_flat(ours.model_dump())), dict(_flat(theirs.model_dump()))
    return {key: (value, second[key]) for key, value in first.items() if value != second[key]}


def _without_map(name: str) -> TrainingConfig:
    run = paper()
    return with_changes(run, {"adapter.maps": tuple(other for other in run.adapter.maps if other != name)})


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
