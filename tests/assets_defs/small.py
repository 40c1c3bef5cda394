"""A demo profile of a few scenes that trains a few steps, on a small base with random weights."""

from pathlib import Path

import dagster as dg
import torch

from assets_defs.definitions import build_defs
from decoupage.bases.small import SmallFill, save_base
from profiles.profile import Profile, load_profile

SMALL = {
    "scenes.num_scenes": "4",
    "scenes.scenes_per_shard": "2",
    "scenes.size_px": "96",
    "maps.segmentation.size_px": "96",
    "maps.depth.size_px": "96",
    "generated.prompts_per_category": "1",
    "generated.size_px": "160",
    "engine.kind": "serial",
}
STEPS = (
    '"schedule.num_steps" = {steps}, "schedule.warmup_steps" = 1, "batch.micro_batch" = 2, "data.num_validation" = 2, '
    '"data.validation_share" = 0.3, "data.size_px" = 32, "compute.loader_workers" = 0'
)
FEW = {
    "generated.prompts_per_category": "6",  # The held-out prompts are among them.
    "training.start": "",  # The packaged adapter has another form.
    "training.changes": "{" + STEPS.format(steps=3) + ', "adapter.rank" = 2, "adapter.fusion_dim" = 16}',
    # So slowly that opaque pictures stay as they were: three steps teach a VAE nothing better.
    "training.rgba_vae_changes": "{" + STEPS.format(steps=3) + ', "optimiser.learning_rate" = 1e-6}',
    "held_out.num_scenes": "3",
    "evaluation.bootstrap_draws": "100",
}


def make_base(folder: Path) -> Path:
    """Random weights, always the same, and the packaged VAE: what spoils pictures is seen on one that does not."""
    torch.manual_seed(0)
    components = SmallFill().new(dim_heads=16, num_heads=2, num_double=1, num_single=1)
    save_base({**components, "vae": SmallFill().load()["vae"]}, str(folder))
    return folder


def small_profile(root: Path, base: Path, **overrides: str) -> Profile:
    changed = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_profile("demo", str(root), {**SMALL, **FEW, "training.base": str(base), **changed})


def run_job(profile: Profile, instance: dg.DagsterInstance, name: str = "dataset", **options):
    """A job over all its shards, in this process."""
    job = build_defs(profile, dg.in_process_executor).resolve_job_def(name)
    keys = job.partitions_def.get_partition_keys() if job.partitions_def else []
    tags = (
        {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]} if keys else {}
    )
    return job.execute_in_process(instance=instance, tags=tags, **options)


def materializations(result) -> dict[str, dg.AssetMaterialization]:
    """By asset; the last one of a partitioned asset."""
    return {e.asset_key.to_user_string(): e.materialization for e in result.all_events if e.is_step_materialization}
