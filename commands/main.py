"""The `decoupage` command: mounts each package's own small app, and turns expected faults into exit codes.

0 = done, 1 = the work found faults (listed), 2 = wrong use or a set-up that cannot start.
"""

import logging
import os
import sys
from typing import Annotated

import typer

from commands.ablations import ablations
from commands.prune import command as prune
from decoupage.commands import decompose
from decoupage.faults import BadSetup
from evaluation.commands import evaluate
from evaluation.fiftyone.commands import inspect
from evaluation.gate.commands import champion
from evaluation.methods.commands import baselines
from evaluation.study.commands import study
from pipelines.commands import mulan, prompts, scenes, shards, takedowns
from profiles.commercial import load_permitted
from profiles.profile import load_profile
from training.commands import train

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Takes pictures apart into layers.")
app.add_typer(champion, name="champion")
app.add_typer(mulan, name="mulan")
app.add_typer(prompts, name="prompts")
app.add_typer(scenes, name="scenes")
app.add_typer(shards, name="shards")
app.add_typer(takedowns, name="takedowns")
app.add_typer(study, name="study")
app.command("decompose")(decompose)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.command("ablations")(ablations)
app.command("baselines")(baselines)
app.command("inspect")(inspect)
app.command("prune")(prune)


@app.callback()
def _start(context: typer.Context) -> None:
    # The packages' commands load profiles through this, for profiles stand above the packages.
    context.obj = load_permitted


@app.command()
def doctor(
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files go.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Print the resolved profile, its fingerprints, what is installed, and what is missing and how to get it."""
    # Advice on optional packages, which the doctor has not been asked for.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from commands.doctor import examine

    report = examine(load_profile(profile, root))
    print(report.to_json() if as_json else report.to_text())
    raise typer.Exit(1 if report.missing else 0)


def main() -> None:
    """Entry point of the `decoupage` command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except (BadSetup, ValueError) as fault:
        print(f"decoupage: {fault}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
