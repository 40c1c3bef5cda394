"""Assets of training: the base's weights, the RGBA VAE, the adapter.

The two that are trained run in a process of their own, one at a time (pool `gpu`); its loss lines appear in the run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from assets_defs.asset import asset
from assets_defs.metadata import Metadata, check, check_spec, nothing_to_do, picture, readable, shrunk, table
from assets_defs.plan import Plan
from assets_defs.processes import run_process
from assets_defs.sources.pairs import NAME as PAIRS
from assets_defs.training_unchanged import keep, question_of, unchanged
from pipelines.stages.working import WorkingFolder
from training.config import RunConfig, with_changes
from training.exports import IDENTITY, run_name
from training.facts import Facts, contents_digest
from training.journal import METRICS, loss_curve, read_metrics
from training.launcher import write_plan
from training.remote import fetch_if_there, local_name
from training.rgba_vae.card import opaque_pictures_kept
from training.run import RunPlan

GROUP = "training"
OWNERS = ["team:models"]
POOL = "gpu"
"""Limited to one step at a time (dagster.yaml): a base and its optimiser fill a GPU."""
CHECK = "opaque_pictures_kept"
"""Check of the RGBA VAE that stops what would be made with it."""
FIGURES = ("step", "loss", "validation_loss", "best_validation_loss")
PLAN = "plan.json"
"""File in an asset's folder: the newest plan."""
PATHS = ("folder", "tensorboard", "checkpoint", "export")
"""Facts that are shown as paths."""
STAND_IN = " Here the shipped `small-fill` stands in for FLUX.1-Fill: the same classes, small enough for a CPU."


class TrainingLaunch(dg.Config):
    """The launchpad's settings of one training run; everything else is the profile's, so that it can be repeated."""

    changes: dict[str, Any] = Field(
        default={},
        description="Example: `changes: {schedule.num_steps: 500, seed: 2}`. Values that differ from the profile's "
        "recipe in this run alone, by dotted key, as `decoupage train --set` takes them; an unknown key stops the run "
        "before its first step. The next run without them uses the recipe again.",
    )


def training_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The assets from the base over the RGBA VAE to the adapter."""
    return [_base_model(plan), _rgba_vae(plan), _adapter(plan)]


def training_copy(plan: Plan, name: str) -> WorkingFolder:
    """The folder of an asset's runs and its `export/`, as this machine has it."""
    return WorkingFolder(plan.factory.store, f"training/{name}")


def training_folder(plan: Plan, name: str) -> Path:
    """Path of `training_copy`. Of a root in an object store it holds what was fetched."""
    return training_copy(plan, name).path


def _base_model(plan: Plan) -> dg.AssetsDefinition:
    section = plan.profile.training
    name, source = section.adapter_config().adapter.base, section.base or None

    @asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"huggingface", "safetensors"},
        description="The published inpainting model that is adapted: its weights stay as they are. They are checked, "
        "never changed or downloaded: if a file is missing or damaged, the failure says which command gets it."
        + (STAND_IN if name == "small-fill" else ""),
    )
    def base_model() -> dg.MaterializeResult:
        """Checks the weights. Raises dg.Failure: a part is missing or damaged; the message names the fix."""
        # Importing the base's classes loads torch.
        from decoupage.bases import find_base

        base = find_base(name)
        weights = base.weights(local_name(source))
        folder, findings = weights.find(), weights.requirements(name)
        missing = [f"{finding.found}: {finding.fix}" for finding in findings if not finding.present]
        if missing or folder is None:
            raise dg.Failure("; ".join(missing) or f"there are no weights of {name}", allow_retries=False)
        files = [path for path in folder.rglob("*.safetensors") if path.is_file()]
        parts = ({"part": finding.name, "found": finding.found} for finding in findings)
        return dg.MaterializeResult(
            metadata={
                "base": name,
                "licence": base.licence,
                "folder": dg.MetadataValue.path(str(folder)),
                "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 2),
                "parts": table(parts),
            },
            data_version=dg.DataVersion(contents_digest(folder)),
        )

    return base_model


def _rgba_vae(plan: Plan) -> dg.AssetsDefinition:
    section = plan.profile.training
    recipe = section.rgba_vae_config()

    @asset(
        deps=["dataset", "base_model"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"pytorch", "diffusers"},
        pool=POOL,
        code_version=recipe.fingerprint(),
        tags={"recipe": section.rgba_vae},
        check_specs=[check_spec("rgba_vae", CHECK, opaque_pictures_kept)],
        description="The base's VAE, trained to encode transparency: four channels in and out, so that a foreground is "
        "one picture with its alpha. Opaque pictures keep the latents that the base knows: if they lose more than "
        "is allowed, no adapter is trained with it.",
    )
    def rgba_vae(context: dg.AssetExecutionContext, config: TrainingLaunch) -> dg.MaterializeResult:
        """Trains and exports the RGBA VAE, or continues. Raises dg.Failure: the training did not end well."""
        changes = {**section.rgba_vae_changes, **config.changes}
        launched = with_changes(recipe, config.changes)
        made = train_run(context, plan, "rgba_vae", section.rgba_vae, launched, changes)
        found = opaque_pictures_kept(training_folder(plan, "rgba_vae") / "export")
        return dg.MaterializeResult(
            metadata=made.metadata, data_version=made.data_version, check_results=[check(CHECK, found)]
        )

    return rgba_vae


def _adapter(plan: Plan) -> dg.AssetsDefinition:
    section = plan.profile.training
    recipe = section.adapter_config()

    @asset(
        deps=["dataset", "base_model", "rgba_vae", *([PAIRS] if plan.factory.pairs else [])],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"pytorch", "peft", "diffusers"},
        pool=POOL,
        code_version=recipe.fingerprint(),
        tags={"recipe": section.recipe},
        description="The adapter: LoRA layers, input columns and a fusion module with which the base takes a picture "
        "apart, into a complete foreground and the background behind it. A cancelled run leaves a "
        "checkpoint, and the next materialization continues from it; where nothing changed, nothing is done."
        + (STAND_IN if recipe.adapter.base == "small-fill" else ""),
    )
    def adapter(context: dg.AssetExecutionContext, config: TrainingLaunch) -> dg.MaterializeResult:
        """Trains and exports the adapter, or continues. Raises dg.Failure: the training did not end well."""
        vae = plan.factory.store.url("training/rgba_vae/export")
        changes = {**section.changes, **config.changes}
        launched = with_changes(recipe, config.changes)
        start = section.start or None
        return train_run(context, plan, "adapter", section.recipe, launched, changes, rgba_vae=vae, start=start)

    return adapter


def train_run(
    context: dg.AssetExecutionContext,
    plan: Plan,
    name: str,
    recipe: str,
    config: RunConfig,
    changes: Mapping[str, Any],
    **more: Any,
) -> dg.MaterializeResult:
    """Write the plan of a run, carry it out in its own process, and return its materialization.

    Args:
        name: name of the run's folder (`training_folder`).
        recipe: name of the recipe.
        config: the recipe with the changes.
        changes: values that differ from the recipe, by dotted key.
        more: other fields of `RunPlan`; `data` where it is not the profile's dataset.
    """
    profile = plan.profile
    section, copy = profile.training, training_copy(plan, name)
    data = (plan.factory.store.url(plan.factory.shards.name),)
    fields = {"base": section.base or None, "masks": profile.masks, "device": section.device, "data": data, **more}
    fields |= {"commercial": profile.licences.commercial, "num_processes": section.num_processes}
    home = copy if copy.is_copy else None
    run = RunPlan(recipe=recipe, out=copy.path, changes=changes, home=home, **fields)
    written = write_plan(run, copy.path / PLAN)
    copy.put(PLAN)
    question = question_of(run, config)
    facts = unchanged(run, question)
    if facts is None:
        where = run.shown(written) if section.launcher == "k8s" else str(written)
        facts = run_process(context, section, where, profile.engine.address)
        keep(run, question, facts)
    if home is not None:
        fetch_if_there(home, "export", IDENTITY)
    num_steps = {"num_steps": dg.MetadataValue.int(config.schedule.num_steps)}
    return dg.MaterializeResult(
        metadata=_facts_metadata(facts, copy) | num_steps | _pictures(facts, copy),
        data_version=dg.DataVersion(facts["version"]),
    )


def _facts_metadata(facts: Facts, copy: WorkingFolder) -> Metadata:
    """Metadata of what a run reported; where it found nothing to do, this first."""
    shown: Metadata = {}
    if facts["status"] == "unchanged":
        folder = copy.store.url(copy.folder)
        shown = nothing_to_do(f"remove {folder}, its runs and its export, and materialize again")
    shown |= {name: readable(value) for name, value in facts.items() if name not in ("version", *PATHS)}
    return shown | {name: dg.MetadataValue.path(facts[name]) for name in PATHS if name in facts}


def _pictures(facts: Facts, copy: WorkingFolder) -> Metadata:
    """Metadata of a run: loss curve, newest grid of samples, and a table of the key figures."""
    run = WorkingFolder(copy.store, f"{copy.folder}/runs/{run_name(facts['identity'])}")
    run.fetch(METRICS, "samples")
    figures = ({"figure": name, "value": facts[name]} for name in FIGURES if name in facts)
    shown: Metadata = {"figures": table(figures, {"figure": "string", "value": "float"})}
    metrics = read_metrics(run.path)
    if metrics:
        shown["loss_curve"] = picture(loss_curve(metrics))
    grids = sorted((run.path / "samples").glob("*.png"))
    if grids:
        shown["preview"] = picture(shrunk(grids[-1]))
        shown["samples"] = dg.MetadataValue.path(run.store.url(f"{run.folder}/samples/{grids[-1].name}"))
    return shown
