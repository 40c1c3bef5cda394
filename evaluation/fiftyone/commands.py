"""`decoupage inspect`: the FiftyOne App on a profile's data, and applying the tags that were set there.

Thin: reads its options, calls one function, prints the result.
"""

import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evaluation.fiftyone.inspect import Inspected
    from evaluation.fiftyone.tags import Applied


def inspect(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Port of the App; default: the profile's.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Exclude what is tagged reject or relabel; do not start the App.")
    ] = False,
    app: Annotated[bool, typer.Option(help="Serve the App until Ctrl-C; --no-app only fills the dataset.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Look at composites, layers, masks, maps and predictions in FiftyOne; apply tags to the library.

    Fills the dataset (only what is new), then serves the App. With --apply, pictures tagged `reject` or `relabel`
    become exclusions that the next run obeys, and the shards that it will make again are listed.
    """
    from evaluation.fiftyone.app import app_url, serving
    from evaluation.fiftyone.database import MEDIA, database, dataset_name, folder_for
    from evaluation.fiftyone.inspect import build_dataset
    from pipelines.factory import Factory
    from pipelines.stages.store import Store

    loaded = context.obj(profile, root)
    store = Store(loaded.root)
    factory, config = Factory(loaded, store), loaded.evaluation
    folder = folder_for(config, store)
    with database(folder):
        if apply:
            from evaluation.fiftyone.tags import apply_tags

            applied = apply_tags(factory, loaded.name)
            print(json.dumps(applied.to_dict()) if as_json else _applied(applied))
            return
        settings = config.inspection
        # The server takes as long to start as a small dataset takes to fill: both at once.
        shown = (settings.address, port or settings.port, dataset_name(loaded.name), folder / MEDIA)
        with serving(*shown) if app else nullcontext() as server:
            found = build_dataset(factory, config, loaded.name)
            print(json.dumps(asdict(found)) if as_json else _inspected(found), flush=True)
            if server is not None:
                server.await_answer()
                print(f"FiftyOne is on {app_url(server.address, server.port, found.name)}; Ctrl-C ends it", flush=True)
                server.await_end()


def _inspected(found: "Inspected") -> str:
    changes = found.changes
    lines = [
        f"{found.name}: {found.num_scenes} scenes, {found.num_cases} evaluated cases, {found.num_samples} pictures",
        f"  now      {changes.added} added, {changes.removed} removed, {changes.kept} unchanged",
        f"  views    {', '.join(found.views)}",
    ]
    if found.near_duplicates is not None:
        lines.append(f"  repeats  {found.near_duplicates} composites repeat another")
    if found.tags:
        counts = ", ".join(f"{tag} {number}" for tag, number in sorted(found.tags.items()))
        lines.append(f"  tags     {counts}; decoupage inspect --apply applies them")
    return "\n".join(lines)


def _applied(applied: "Applied") -> str:
    lines = [f"{exclusion.id}: {exclusion.reason}, seen in {exclusion.seen_in}" for exclusion in applied.new]
    lines += [f"note: {place} is tagged but belongs to no asset" for place in applied.without_asset]
    lines += [f"note: no source holds {name}" for name in applied.effect.unmatched]
    for shard in applied.effect.shards:
        what = f"shows {', '.join(shard.shown)}" if shard.shown else "drew an excluded asset and refused it"
        then = "the next run makes it again" if shard.planned else "no run makes it again: remove it"
        lines.append(f"{shard.folder}/{shard.shard} {what}; {then}")
    copies = len(applied.effect.excluded) - applied.num_listed + len(applied.effect.unmatched)
    counts = f"{len(applied.new)} assets newly excluded, {applied.num_listed} in the list"
    counts += f", {copies} copies go with them" if copies else ""
    return "\n".join([*lines, f"{counts}; {len(applied.effect.shards)} shards to be made again"])
