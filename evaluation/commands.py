"""`decoupage evaluate`: methods judged on the held-out list, a report as files.

Thin: reads its options, calls one function, prints what came of it. `cli.py` mounts it and gives it the profile
loader as the context's object, for profiles stand above this package.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.faults import BadSetup

if TYPE_CHECKING:
    from evaluation.report import Report

HELD_OUT = "held_out"
"""Of the root: shards of the test split."""
ADAPTER = "training/adapter/export"
"""Of the root: the published form of the adapter that was trained there."""
REPORT = "report"
"""Of the root: where the report goes."""
_COLUMNS = (
    ("background", "psnr_mask"),
    ("background", "psnr_whole"),
    ("foreground", "soft_iou"),
    ("foreground", "soft_iou_hidden"),
    ("recomposition", "psnr_whole"),
)


def evaluate(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Published adapter; else the one trained in the root.")] = None,
    base: Annotated[str | None, typer.Option(help="Folder of its base; else the published one.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder to write to; else report/ in the root.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a summary.")] = False,
) -> None:
    """Judge adapter, base and classical methods on the held-out list; write report.html and report.json.

    Leaves with 1 when a method had no output for an image; such images count as the worst there is.
    """
    from evaluation.methods.standard import standard_methods
    from evaluation.report import About
    from evaluation.run import evaluate as run
    from evaluation.test_sets.shards import HeldOut
    from pipelines.dataset.stand_ins import stand_ins

    loaded = context.obj(profile, root)
    place = loaded.root.rstrip("/")
    folder = adapter or f"{place}/{ADAPTER}"
    if adapter is None and not Path(folder).is_dir():
        raise BadSetup(f"there is no trained adapter in {folder}; train one, or name a published one with --adapter")
    methods, facts = standard_methods(loaded.evaluation, folder, base)
    about = About(loaded.name, stand_ins(loaded), facts)
    target = out or f"{place}/{REPORT}"
    config = loaded.evaluation
    test_set = HeldOut(f"{place}/{HELD_OUT}", config.size_px, config.max_images)
    report = run(test_set, methods, config, target, about)
    if as_json:
        print(json.dumps(report.values))
    else:
        _print(report, target)
    raise typer.Exit(1 if report.num_failures else 0)


def _print(report: "Report", target: str) -> None:
    table = Table("method", *(f"{part}\n{metric}" for part, metric in _COLUMNS), "failures")
    for name, found in report.values["methods"].items():
        cells = [_cell(found[part][metric]) for part, metric in _COLUMNS]
        table.add_row(name, *cells, str(found["failures"]))
    Console().print(table)
    print(f"{report.values['num_images']} images of {report.values['num_scenes']} scenes; {target}/report.html")


def _cell(interval: dict[str, float | None] | None) -> str:
    if interval is None:
        return "-"
    mean = f"{interval['mean']:.3f}"
    return mean if interval["low"] is None else f"{mean} [{interval['low']:.3f}, {interval['high']:.3f}]"
