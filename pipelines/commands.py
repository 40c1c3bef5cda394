"""The data commands: `mulan extract`, `prompts write`, `scenes make`, `shards verify` and `export`, `takedowns list`.

Thin: each reads its options, calls one function, and prints what came of it. `commands.main` mounts them and gives them
the profile loader as the context's object, because profiles stand above this package.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from decoupage.faults import BadSetup
from decoupage.requirements import require
from decoupage.text_files import printable

if TYPE_CHECKING:
    from pipelines.stages.run import Report

mulan = typer.Typer(no_args_is_help=True, help="MULAN annotations.")
prompts = typer.Typer(no_args_is_help=True, help="Prompts of generated foregrounds.")
scenes = typer.Typer(no_args_is_help=True, help="Layered scenes.")
shards = typer.Typer(no_args_is_help=True, help="Finished shards.")
takedowns = typer.Typer(no_args_is_help=True, help="Assets that must not be used any more.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@mulan.callback()
@prompts.callback()
@scenes.callback()
@shards.callback()
@takedowns.callback()
def _group() -> None:
    """Keep each group a group, even while it holds one command."""


@mulan.command("extract")
def mulan_extract(
    annotations: Annotated[Path, typer.Argument(help="Folder with *.p.zl files, searched recursively.")],
    images: Annotated[Path, typer.Argument(help="Folder with train2017/ and val2017/.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of annotations to read.")] = None,
    as_json: Json = False,
) -> None:
    """Write every layer as <id>-layer_<k>.png (0 = background), with catalogue.parquet and quarantine.jsonl."""
    from pipelines.foregrounds.mulan.extract import extract

    summary = extract(annotations, images, out, limit)
    if as_json:
        print(json.dumps(asdict(summary)))
    else:
        print(f"{summary.num_files} annotations, {summary.num_layers} layers in {out}, {summary.seconds:.1f} s")
        for reason, count in summary.drops_by_reason.items():
            print(f"  {count} in quarantine: {reason}")
    raise typer.Exit(1 if summary.num_dropped else 0)


@prompts.command("write")
def prompts_write(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files go.")] = None,
    as_json: Json = False,
) -> None:
    """Have a language model write the profile's prompts; continues an earlier run, and pays for nothing twice.

    Exits with status 1 when fewer came than wanted; those that came are kept.
    """
    from pipelines.foregrounds.prompts.write import UnfinishedList, show, write_prompts
    from pipelines.stages.store import Store

    loaded = context.obj(profile, root)
    try:
        report, unfinished = write_prompts(loaded, Store(loaded.root)), ""
    except UnfinishedList as fault:
        report, unfinished = fault.report, str(fault)
    if as_json:
        print(json.dumps(asdict(report) | {"unfinished": unfinished}))
    else:
        show(report)
    if unfinished:
        typer.echo(f"decoupage: {unfinished}", err=True)
        raise typer.Exit(1)


@scenes.command("make")
def scenes_make(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files go.")] = None,
    num_scenes: Annotated[int | None, typer.Option("--scenes", min=1, help="Number of scenes.")] = None,
    engine: Annotated[str | None, typer.Option(help="serial | process | ray")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes, or shards at once on Ray; 0 = one for each core.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make library, scenes, masks, maps and shards without Dagster: the same bytes as the assets make.

    Exits with status 1 when one of the assets' checks fails; everything is made anyway.
    """
    from pipelines.checklists import WARNINGS, check_reports
    from pipelines.factory import Factory
    from pipelines.named_paths import named_paths
    from pipelines.stages.plan import named
    from pipelines.stages.store import Store

    given = {"scenes.num_scenes": num_scenes, "engine.kind": engine, "engine.workers": workers}
    overrides = {key: str(value) for key, value in given.items() if value is not None}
    loaded = context.obj(profile, root, overrides)
    require(named_paths(loaded))
    store = Store(loaded.root)
    factory = Factory(loaded, store)
    reports = factory.make_shards()
    failed = {name: result for name, result in check_reports(factory, reports).items() if not result.passed}
    if as_json:
        print(json.dumps([_summary(report) for report in reports]))
    else:
        table = Table("stage", "items", "shards", "made now", "dropped", "MB", "s")
        for report in reports:
            numbers = (report.num_items, len(report.shards), report.num_made, len(report.drops))
            table.add_row(report.stage, *map(str, numbers), f"{report.num_bytes / 1e6:.1f}", f"{report.seconds:.1f}")
        Console().print(table)
        print(f"shards in {store.url('shards')}")
    if more := {report.stage: list(report.beyond) for report in reports if report.beyond}:
        told = "; ".join(f"{stage}/ {named(shards)}" for stage, shards in more.items())
        typer.echo(
            f"warning: shards beyond the plan, which nothing reads: {told}; `decoupage prune` removes them", err=True
        )
    warnings = {name for name in failed if name.rpartition(": ")[2] in WARNINGS}
    for name, result in failed.items():
        typer.echo(f"{'warning' if name in warnings else 'check failed'}: {name}: {result.sentence}", err=True)
    raise typer.Exit(1 if failed.keys() - warnings else 0)


@shards.command("verify")
def shards_verify(
    paths: Annotated[list[str], typer.Argument(help="Shard folders, dataset roots or single .tar files.")],
    as_json: Json = False,
) -> None:
    """Check every invariant of the shards; list each fault, and exit with status 1 if there is one."""
    from pipelines.shards.verify import verify

    report = verify(paths)
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        for fault in report.faults:
            print(fault)
        for note in report.notes:
            print(f"note: {printable(note)}")
        more = f" ({len(report.beyond)} shards beyond the plan are not counted)" if report.beyond else ""
        print(f"{report.num_shards} shards, {report.num_scenes} scenes, {len(report.faults)} faults{more}")
    raise typer.Exit(1 if report.faults else 0)


@shards.command("export")
def shards_export(
    path: Annotated[str, typer.Argument(help="Shard folder or dataset root.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    layout: Annotated[str, typer.Option(help="folder: <key>-<i>/composite.png and so on.")] = "folder",
) -> None:
    """Write explicit triplets as files, the layout that other trainers read."""
    from pipelines.shards.export import export_folder
    from pipelines.shards.faults import Fault

    if layout != "folder":
        raise BadSetup(f"--layout must be folder, got {layout}")
    faults: list[Fault] = []
    num_samples = export_folder(path, str(out), faults)
    for fault in faults:
        typer.echo(str(fault), err=True)
    print(f"{num_samples} triplets in {out}" + (f", {len(faults)} faults" if faults else ""))
    raise typer.Exit(1 if faults else 0)


@takedowns.command("list")
def takedowns_list(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    as_json: Json = False,
) -> None:
    """List the shards that a takedown reaches, and lines that match nothing.

    Exits with status 1 while a shard still shows a listed asset, or if no line of the list matches anything.
    """
    from pipelines.factory import Factory
    from pipelines.stages.store import Store
    from pipelines.takedowns import find_takedowns

    loaded = context.obj(profile, root, {})
    report = find_takedowns(Factory(loaded, Store(loaded.root)))
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        for shard in report.shards:
            unseen = "drew one and refused it" if shard.drawn else "would be drawn differently without it"
            what = f"shows {', '.join(shard.shown)}" if shard.shown else unseen
            then = "the next run makes it again" if shard.planned else "no run makes it again: remove it"
            print(f"{shard.folder}/{shard.shard} {what}; {then}")
        if report.note:
            print(f"note: {report.note}")
        print(f"{len(report.removed)} assets taken down, {len(report.holding)} shards still show one")
    raise typer.Exit(1 if report.holding or report.matches_nothing else 0)


def _summary(report: "Report") -> dict[str, Any]:
    return {
        "stage": report.stage,
        "num_items": report.num_items,
        "num_shards": len(report.shards),
        "num_made": report.num_made,
        "beyond_the_plan": list(report.beyond),
        "num_bytes": report.num_bytes,
        "drops": report.drops_by_reason,
        "counts": report.counts,
        "seconds": round(report.seconds, 3),
    }
