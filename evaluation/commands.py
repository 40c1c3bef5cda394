"""`decoupage evaluate`: methods judged on the held-out list, a report as files.

Thin: reads its options, calls one function, prints the result. `commands.main` mounts it and gives it the profile
loader as the context's object, because profiles are above this package.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from decoupage.faults import BadSetup
from evaluation.terminal import paragraph, table
from pipelines.stages.store import Store

if TYPE_CHECKING:
    from evaluation.report import Report
    from evaluation.test_sets.spec import TestSet

HELD_OUT = "held_out"
"""Of the root: shards of the test split; and the test set that they are."""
ADAPTER = "training/adapter/export"
"""Of the root: the published form of the adapter that was trained there."""
REPORT = "report"
"""Of the root: where the report goes."""


def evaluate(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Published adapter: a folder, a Hub id, or an address; default: the root's.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Folder of its base; default: the published one.")] = None,
    test_set: Annotated[
        str, typer.Option(help="held_out, mulan, one of the profile's, or folder:LAYOUT:PATH (docs/test_sets.md).")
    ] = HELD_OUT,
    list_only: Annotated[
        bool, typer.Option("--list-only", help="Write the list with its hashes; judge nothing.")
    ] = False,
    out: Annotated[str | None, typer.Option(help="Folder to write to; default: report/ in the root.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a summary.")] = False,
) -> None:
    """Judge adapter, base and classical methods on a list; write report.html and report.json.

    The outputs of every method are kept in records/ in the root; a method runs again only where its output is missing
    or its input changed. Exits with status 1 when a method had no output for an image; such images get the worst score.
    What is judged on another list than the held-out scenes goes to report/NAME/ in the root. With --list-only it exits
    with status 1 when an image of the test set cannot be used.
    """
    from evaluation.methods.standard import standard_recipes
    from evaluation.report import About
    from evaluation.run import evaluate as run
    from evaluation.test_sets.choose import find_test_set
    from pipelines.dataset.stand_ins import stand_ins

    loaded = context.obj(profile, root)
    place, store = loaded.root.rstrip("/"), Store(loaded.root)
    if list_only:
        _write_list(find_test_set(test_set, loaded.evaluation, loaded, store), store, out, as_json)
    folder = adapter or trained_adapter(store, "train one, or name a published one with --adapter")
    chosen = find_test_set(test_set, loaded.evaluation, loaded, store)
    methods = standard_recipes(loaded.evaluation, folder, base, store, chosen.name)
    target = out or _target(chosen, place)
    report = run(chosen, methods, loaded.evaluation, target, About(loaded.name, stand_ins(loaded)), store)
    if as_json:
        print(json.dumps(report.values))
    else:
        _print(report, target)
    raise typer.Exit(1 if report.num_failures else 0)


def trained_adapter(store: Store, fix: str) -> str:
    """Folder or address of the adapter that was trained in a root. Raises BadSetup: there is none."""
    place = store.url(ADAPTER)
    if not store.names(ADAPTER):
        raise BadSetup(f"there is no trained adapter in {place}; {fix}")
    return place


def _write_list(test_set: "TestSet", store: Store, out: str | None, as_json: bool) -> NoReturn:
    """Write `list.json`, and for foreign sets the hashes that keep their pictures out of training; then exit."""
    from evaluation.test_sets.pictures import LIST, write_lists

    target = out or _target(test_set, store.root.rstrip("/"))
    listed = write_lists(test_set, Store(target), None if test_set.name == HELD_OUT else store)
    if as_json:
        print(json.dumps(listed))
    else:
        for found in listed.get("excluded", ()):
            print(f"not used: {found['name']} ({found['reason']}: {found['detail']})")
        print(f"{len(listed['images'])} images, {listed['list_sha256']}; {target}/{LIST}")
    raise typer.Exit(1 if listed.get("excluded") else 0)


def _target(test_set: "TestSet", root: str) -> str:
    return f"{root}/{REPORT}" if test_set.name == HELD_OUT else f"{root}/{REPORT}/{test_set.name}"


def _print(report: "Report", target: str) -> None:
    from evaluation.checks import MAIN_FIGURES
    from evaluation.page.answer import QUESTION, answer
    from evaluation.page.figures import COUNTS
    from evaluation.page.write import MARKDOWN, PAGE
    from evaluation.report import REPORT as FIGURES
    from evaluation.rivals import rivals_first
    from evaluation.run import LIST, SCORES

    if (answered := answer(report.values)) is not None:
        print(QUESTION, paragraph(answered.sentence.replace("`", ""), "  ", "  "), sep="\n", end="\n\n")
    methods = rivals_first(report.values["methods"])
    head = ["method", "failures", *(f"{part} {metric}" for part, metric in MAIN_FIGURES)]
    rows = [
        [name, str(found["failures"]), *(_cell(found[part][metric]) for part, metric in MAIN_FIGURES)]
        for name, found in methods.items()
    ]
    counted = [_counted(methods, part, metric) for part, metric in MAIN_FIGURES]
    print(table(head, [*rows, ["(counted)", "", *counted]]))
    print(f"(counted): {COUNTS}", end="\n\n")
    for name, failed in report.values["failures"].items():
        image, reason = next(iter(failed.items()))
        print(paragraph(f"{name} has no output for {len(failed)} images; {image}: {reason}", rest="  "))
    _print_controls(report.values)
    if num_excluded := report.values["test_set"].get("num_excluded"):
        print(f"{num_excluded} images of the test set cannot be used; {target}/list.json says why")
    print(
        paragraph(
            f"{report.values['num_images']} images of {report.values['num_scenes']} scenes, "
            f"{report.values['num_photographs']} photographs and {report.values['num_origins']} origins"
        )
    )
    for what, name in (("page", PAGE), ("text", MARKDOWN), ("figures", FIGURES), ("scores", SCORES), ("list", LIST)):
        print(f"  {what + ':':12}{target}/{name}")


def _print_controls(values: Mapping[str, Any]) -> None:
    """Whether the maps help: the adapter with its own maps minus without any, and minus with another scene's."""
    if (controls := values["controls"]) is None:
        return
    from evaluation.checks import MAPS_FIGURES

    print(f"do the maps help? On {controls['num_images']} images, the adapter with its own maps")
    for name, what in (("adapter-no_maps", "minus without any"), ("adapter-other_maps", "minus with another scene's")):
        if name in controls["differences"]:
            found = controls["differences"][name]
            cells = (f"{_cell(found[part][metric])} {unit}" for part, metric, unit in MAPS_FIGURES)
            print(paragraph(f"{what}: {', '.join(cells)}", "  ", "    "))


def _counted(methods: Mapping[str, Any], part: str, metric: str) -> str:
    """What a column's figures count; more than one where methods were measured on different images."""
    from evaluation.page.figures import counts

    return ", ".join(dict.fromkeys(counts(cell) for found in methods.values() if (cell := found[part][metric])))


def _cell(interval: dict[str, float | None] | None) -> str:
    if interval is None:
        return "-"
    mean = f"{interval['mean']:.3f}"
    return mean if interval["low"] is None else f"{mean} [{interval['low']:.3f}, {interval['high']:.3f}]"
