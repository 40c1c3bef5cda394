"""`decoupage train`: a recipe, alone or under `accelerate launch`.

Thin: reads the options, runs, prints how it ended. `commands.main` mounts it; wrong input is a ValueError or BadSetup,
which it turns into exit status 2.
"""

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from training.loop import Outcome
    from training.run import RunPlan

_BY_SIGNAL = 128
"""A shell's exit status for a program that a signal ended is this plus the signal's number."""


def train(  # noqa: PLR0913, PLR0917 - one argument for each option
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; `decoupage train list` names them.")],
    out: Annotated[str | None, typer.Option(help="Folder of the run, also s3://bucket/folder.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Shards; for small_base folders of photographs.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Another base: a folder, owner/name, or owner/name@revision.")
    ] = None,
    rgba_vae: Annotated[str | None, typer.Option(help="Folder of a trained RGBA VAE; adapters need it.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of the data, for its mask errors and licences.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="section.field=value; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint in --out.")] = False,
    warm_start: Annotated[
        str | None, typer.Option(help="Checkpoint of which only the weights are used to start.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Published adapter to start from: a folder, owner/name, or shipped.")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Check, estimate, and make a small trial run; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Train a model: an adapter (paper, its ablations, small_gpu, demo), an RGBA VAE, or the small base.

    The result is written to OUT/export; metrics.jsonl, tensorboard/, samples/ and checkpoints/ are next to it. Ctrl-C
    saves a checkpoint and stops; --resume continues from it.

    --dry-run prints what is missing (then the exit status is 1), memory, disk, hours and shapes, and makes a small
    trial run from data to export, in less than a minute and without weights.

    First an RGBA VAE: decoupage train small_rgba_vae --data data/demo --out runs/rgba_vae

    Then an adapter: decoupage train demo --data data/demo --rgba-vae runs/rgba_vae/export --out runs/demo
    """
    from training.recipes import ALL
    from training.remote import fetched, is_address, working_folder
    from training.run import RunPlan
    from training.run import train as run

    if recipe == "list":
        print("\n".join(f"{name:26s} {(make.__doc__ or '').splitlines()[0]}" for name, make in ALL.items()))
        return
    if out is None and not dry:
        raise ValueError("--out is missing: the folder of the run")
    out = out or f"runs/{recipe}"
    home = working_folder(out) if is_address(out) else None
    loaded = context.obj(profile)
    plan = RunPlan(
        recipe=recipe,
        out=home.path if home else Path(out),
        home=home,
        data=tuple(data or ()),
        base=base,
        rgba_vae=rgba_vae,
        masks=loaded.masks,
        changes=dict(_change(text) for text in change or ()),
        resume=resume,
        warm_start=(fetched(warm_start) if is_address(warm_start) else Path(warm_start)) if warm_start else None,
        start=start,
        device=device,
        commercial=loaded.licences.commercial,
    )
    if dry:
        _dry_run(plan, as_json)
    else:
        _say(plan, run(plan), as_json)


def _dry_run(plan: "RunPlan", as_json: bool) -> None:
    from training.dry_run.report import dry_run
    from training.run import on_this_machine

    found = dry_run(on_this_machine(plan))
    print(found.to_json() if as_json else found.to_text())
    if not found.is_ready:
        raise typer.Exit(1)


def _say(plan: "RunPlan", outcome: "Outcome", as_json: bool) -> None:
    """Report how a run ended: one process prints it, and each gives its exit status."""
    from training.processes import is_first

    progress = outcome.progress
    facts = {
        "status": outcome.status,
        "step": progress.step,
        "validation_loss": progress.validation_loss,
        "checkpoint": plan.shown(outcome.checkpoint),
        "export": plan.shown(plan.out / "export") if outcome.status == "done" else None,
    }
    fault = _fault(plan, outcome)
    if fault is not None:
        facts["fault"] = fault
    if is_first():
        print(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))
    if outcome.status == "interrupted":
        raise typer.Exit(_BY_SIGNAL + signal.SIGINT)
    if fault is not None:
        raise typer.Exit(1)


def _fault(plan: "RunPlan", outcome: "Outcome") -> str | None:
    """Why the result of a finished run may not be used; None when it may."""
    from training.rgba_vae.card import opaque_pictures_kept
    from training.rgba_vae.config import RgbaVaeConfig

    if outcome.status != "done" or not isinstance(plan.config(), RgbaVaeConfig):
        return None
    found = opaque_pictures_kept(plan.out / "export")
    return None if found.passed else found.sentence


def _change(text: str) -> tuple[str, Any]:
    """`schedule.num_steps=10` as key and value; values are JSON, bare words strings."""
    key, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set takes section.field=value, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
