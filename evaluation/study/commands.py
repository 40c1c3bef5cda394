"""`decoupage study build | serve | bundle | import | report`: people compare methods.

Thin: each reads its options, calls one function, and prints the result. `commands.main` mounts them and gives them the
profile loader as the context's object, because profiles are above this package.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from decoupage.faults import BadSetup
from evaluation.terminal import from_markdown
from pipelines.stages.store import Store

if TYPE_CHECKING:
    from evaluation.records.room import Records
    from pipelines.stages.progress import Steps

study = typer.Typer(no_args_is_help=True, help="A preference study: raters compare methods' pictures blindly.")

STUDY = "study"
"""Of the root: where the study goes."""
REPORT = "report"
"""Folder of the report, in the study's folder."""

Profile = Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")]
Root = Annotated[str | None, typer.Option(help="Where the files are.")]
Folder = Annotated[Path | None, typer.Option(help="The study's folder; default: study/ in the root.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@study.command()
def build(
    context: typer.Context,
    profile: Profile = None,
    root: Root = None,
    methods: Annotated[str, typer.Option(help="Names, separated by commas.")] = "adapter,base,telea,given_mask",
    outputs: Annotated[
        str | None,
        typer.Option(help="Folder of methods' pictures; default: those of the held-out list, in records/ in the root."),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Published adapter; default: the one trained in the root.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Folder of its base; default: the published one.")] = None,
    out: Folder = None,
    as_json: Json = False,
) -> None:
    """Make a study's folder: the comparisons, their order, and the pictures under opaque names.

    Exits with status 1 when a method had no output for an image; that output loses without being shown.
    """
    from evaluation.records.room import read_records
    from evaluation.study.build import build_study
    from pipelines.stages.progress import Steps

    loaded = context.obj(profile, root)
    folder = out or _in_root(loaded.root, "--out")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    steps = Steps(1 if outputs is not None else 1 + len(names) + 1)
    given = read_records(outputs, names) if outputs is not None else _recorded(loaded, names, adapter, base, steps)
    made = build_study(given, loaded.evaluation.study, folder, steps)
    missing = sum(len(cases) for found in made.missing.values() for cases in found.values())
    asked = sum(comparison.can_be_asked for comparison in made.comparisons)
    if as_json:
        facts = {"study": str(folder), "study_id": made.study_id, "num_comparisons": asked, "num_missing": missing}
        print(json.dumps(facts))
    else:
        print(f"{asked} comparisons of {', '.join(made.methods)} in {folder}; {missing} outputs are missing")
    raise typer.Exit(1 if missing else 0)


@study.command()
def bundle(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="Number of raters, one file each.")],
    profile: Profile = None,
    root: Root = None,
    folder: Folder = None,
) -> None:
    """Write a study as files that need no server: one page for each rater, who sends back one file of answers."""
    from evaluation.study.bundle import write_bundles
    from evaluation.study.folder import load_study

    for path in write_bundles(load_study(_folder(context, profile, root, folder)), number):
        print(path)


@study.command()
def serve(
    context: typer.Context,
    profile: Profile = None,
    root: Root = None,
    folder: Folder = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any address but loopback is open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = 8765,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name under which raters reach the server, such as a proxy's; repeatable."),
    ] = None,
) -> None:
    """Serve a study to raters; each answer is on disk before the next question is shown."""
    from evaluation.study.folder import load_study
    from evaluation.study.server import serve_study

    serve_study(load_study(_folder(context, profile, root, folder)), host, port, name or ())


@study.command("import")
def import_(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files of answers, as bundles save them.")],
    profile: Profile = None,
    root: Root = None,
    folder: Folder = None,
) -> None:
    """Import the answers of raters who worked without the server; imported twice, they count once."""
    from evaluation.study.bundle import import_answers
    from evaluation.study.folder import load_study

    loaded = load_study(_folder(context, profile, root, folder))
    for path in files:
        print(f"{path}: {import_answers(loaded, path)} answers")


@study.command()
def report(
    context: typer.Context,
    profile: Profile = None,
    root: Root = None,
    folder: Folder = None,
    out: Annotated[str | None, typer.Option(help="Folder to write to; default: report/ in the study's folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
) -> None:
    """Write the report of a study: win rates, strengths, agreement, every raw vote."""
    from evaluation.study.folder import load_study
    from evaluation.study.report import write_report
    from evaluation.study.report_page import render_markdown

    place = _folder(context, profile, root, folder)
    loaded = load_study(place)
    draws = context.obj(profile, root).evaluation.bootstrap_draws
    values = write_report(loaded, draws, out or str(place / REPORT))
    print(json.dumps(values) if as_json else from_markdown(render_markdown(values)))


def _folder(context: typer.Context, profile: str | None, root: str | None, folder: Path | None) -> Path:
    return folder or _in_root(context.obj(profile, root).root, "--folder")


def _in_root(root: str, option: str) -> Path:
    """The study's folder in a root. Raises BadSetup: the root is in an object store, which holds no database."""
    store = Store(root)
    if not store.is_local:
        raise BadSetup(
            f"a study keeps its raters' answers in a database, which needs a local folder, and the root {root} is "
            f"none: name one with {option}"
        )
    return Path(store.url(STUDY))


def _recorded(loaded: Any, names: list[str], adapter: str | None, base: str | None, steps: "Steps") -> "Records":
    """Outputs of the named methods on the study's share of the held-out list; missing ones are made."""
    from evaluation.commands import HELD_OUT, trained_adapter
    from evaluation.methods.classical import classical_recipes
    from evaluation.methods.standard import standard_recipes
    from evaluation.records.ask import record
    from evaluation.records.room import room_of
    from evaluation.study.build import check_aspects
    from evaluation.study.plan import choose_cases
    from evaluation.test_sets.shards import HeldOut

    root, config = Store(loaded.root), loaded.evaluation
    known = classical_recipes()
    if {"adapter", "base"} & set(names):
        fix = "train one, name a published one with --adapter, or compare others with --methods"
        source = adapter or trained_adapter(root, fix)
        known = standard_recipes(config, source, base, root)
    found = {recipe.name: recipe for recipe in known}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise BadSetup(f"there is no method {unknown[0]!r}; known: {', '.join(found)}")
    check_aspects({name: found[name].gives for name in names}, config.study)
    held_out = HeldOut(root.url(HELD_OUT), config.max_images)
    cases = choose_cases([case.name for case in held_out.cases()], config.study)
    return record(held_out, [found[name] for name in names], room_of(root, held_out.name), set(cases), steps)
