"""`decoupage baselines`: runs the profile's baselines on images not answered yet, and prints the state of each.

Thin, as `evaluation.commands`: reads its options, calls one function, prints the result.
"""

import json
import re
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.stages.store import Store


def baselines(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    test_set: Annotated[
        str, typer.Option(help="held_out, mulan, one of the profile's, or folder:LAYOUT:PATH (docs/test_sets.md).")
    ] = "held_out",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Record the outputs of the enabled baselines on a list in records/ in the root; the next evaluation reads them.

    Exits with status 1 when an enabled one is not installed, did not run, or has no answer for an image.
    """
    from evaluation.methods.baselines import record_baselines
    from evaluation.methods.states import enabled_baselines_recorded
    from evaluation.test_sets.choose import find_test_set

    loaded = context.obj(profile, root)
    store = Store(loaded.root)
    states = record_baselines(loaded.evaluation, find_test_set(test_set, loaded.evaluation, loaded, store), store)
    if as_json:
        print(json.dumps({"baselines": [asdict(state) for state in states]}))
    else:
        for state in states:
            print(f"{state.title}: {state.word}")
            for part in re.split(r"; (?![^(]*\))", state.detail):
                print(f"  {part}")  # In one line each: some are commands, to be copied.
    raise typer.Exit(0 if enabled_baselines_recorded(states).passed else 1)
