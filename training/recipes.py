"""Complete runs, as functions: the paper's, and those that differ from it.

A recipe states what it changes and inherits the rest. Allowed ranges are in `config.py`; where data lies and where
results go is not part of a recipe. What an ablation changes is in `ablations.py`.
"""

from collections.abc import Callable
from typing import Any, get_args

from pipelines.library.records import Kind
from training.ablations import FULL, ROWS, ablation_changes
from training.config import RunConfig, TrainingConfig, dotted, with_changes
from training.rgba_vae.config import rgba_vae, small_rgba_vae
from training.small_base.config import small_base


def paper() -> TrainingConfig:
    """Rank 256, batches of 8, learning rate 5e-5, 7200 steps, 1024 px: for one GPU of 141 GB.

    Or for eight of 80 GB with compute.sharded, as estimated (`training/fitting.py`).
    """
    return with_changes(TrainingConfig(), {"compute.compile": True})


def paper_exact() -> TrainingConfig:
    """The paper's recipe without the learning rate that we give new modules: the paper names one rate."""
    return with_changes(paper(), {"optimiser.new_modules_factor": 1.0})


def _ablation(row: str, title: str) -> Callable[[], TrainingConfig]:
    """The recipe of one of the paper's ablations."""

    def recipe() -> TrainingConfig:
        run = paper()
        return with_changes(run, ablation_changes(row, run, get_args(Kind)))

    recipe.__name__, recipe.__doc__ = row, f"The paper's recipe {title}."
    return recipe


def small_gpu() -> TrainingConfig:
    """For one GPU of 24 GB, as estimated: 4-bit base, 8-bit moments, every block recomputed, half the rank."""
    changes = {
        "adapter.rank": 128,
        "optimiser.name": "adamw8bit",
        "compute.base_quantisation": "nf4",
        "compute.checkpoint_every_blocks": 1,
        "compute.compile": False,
    }
    return with_changes(paper(), changes)


def small() -> TrainingConfig:
    """The adapter of the small base that the product ships, on a CPU."""
    changes = {
        "adapter.base": "small-fill",
        "adapter.rank": 64,
        "adapter.refine_masks": True,
        "adapter.num_latents": 16,
        "adapter.fusion_dim": 64,
        "adapter.num_inference_steps": 1,
        "optimiser.learning_rate": 2e-3,  # A small network from few steps: the paper's rate would hardly move it.
        "optimiser.new_modules_factor": 1.0,  # That rate moves columns from zero as far as they need.
        "schedule.kind": "cosine",
        "schedule.num_steps": 1300,
        "schedule.warmup_steps": 100,
        "batch.micro_batch": 16,
        "batch.accumulation": 1,
        "objective.pure_noise_share": 1.0,  # One step from the filling is all that the base is asked for.
        "objective.hole_weight": 6.0,
        "objective.pixels_weight": 2.0,
        "data.size_px": 128,
        "data.recolour_share": 0.8,  # Its scenes are made from few photographs.
        "data.validation_share": 0.1,
        "compute.precision": "fp32",
        "compute.compile": False,
        "compute.loader_workers": 1,
        "output.save_every_steps": 250,
        "output.sample_every_steps": 250,
    }
    return with_changes(paper(), changes)


def demo() -> TrainingConfig:
    """The shipped adapter, trained further on a profile's own scenes, on a CPU in minutes."""
    changes = {
        "optimiser.learning_rate": 5e-4,
        "schedule.num_steps": 300,
        "schedule.warmup_steps": 30,
        "batch.micro_batch": 8,
        "output.save_every_steps": 100,
        "output.sample_every_steps": 100,
    }
    return with_changes(small(), changes)


def demo_from_scratch() -> TrainingConfig:
    """An adapter from nothing, on a CPU in minutes: what the controls judge by."""
    return with_changes(demo(), {"optimiser.learning_rate": 2e-3, "schedule.num_steps": 800})


RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        paper,
        paper_exact,
        *(
            _ablation(row, ablation.title)
            for row, ablation in ROWS.items()
            if row != FULL and not ablation.data_changes
        ),
        small_gpu,
        small,
        demo,
        demo_from_scratch,
    )
}


ALL: dict[str, Callable[[], RunConfig]] = {
    **RECIPES,
    **{recipe.__name__: recipe for recipe in (rgba_vae, small_rgba_vae, small_base)},
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
    first, second = dict(dotted(ours.model_dump())), dict(dotted(theirs.model_dump()))
    return {key: (value, second[key]) for key, value in first.items() if value != second[key]}
