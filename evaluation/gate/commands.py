"""`decoupage champion`: which adapter is the champion, why, and how to go back. The asset `champion` decides.

Thin: reads its options, calls one function, prints the result; `commands.main` mounts it and gives it the profile
loader.
"""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from evaluation.terminal import paragraph
from pipelines.stages.store import Store

champion = typer.Typer(no_args_is_help=True, help="The adapter in use: which one, why, and how to go back.")

Profile = Annotated[str | None, typer.Option("--profile", help="Name in configs/, or path of a .toml file.")]
Root = Annotated[str | None, typer.Option("--root", help="Where the files are.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@champion.command()
def show(context: typer.Context, profile: Profile = None, root: Root = None, as_json: AsJson = False) -> None:
    """Print the champion, its weights and data, and every decision so far."""
    store = Store(context.obj(profile, root).root)
    values = _shown(store)
    if as_json:
        print(json.dumps(values))
    else:
        _print(values)


@champion.command()
def rollback(
    context: typer.Context,
    to: Annotated[str | None, typer.Option(help="Version; default: the one before the champion.")] = None,
    why: Annotated[str, typer.Option(help="Reason, for the record.")] = "",
    profile: Profile = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version the champion again; the gate refuses the replaced one from then on."""
    from evaluation.gate.champions import rollback as roll_back

    store = Store(context.obj(profile, root).root)
    event = roll_back(store, to, why)
    if as_json:
        print(json.dumps(_shown(store)))
    else:
        print(f"{event.champion} is the champion again, in place of {event.before}: {event.reasons[0]}")


def _shown(store: Store) -> dict[str, Any]:
    from evaluation.gate.champions import adapter_folder
    from evaluation.gate.history import current_version, promotion_of, read_history

    history = read_history(store)
    version = current_version(history)
    found: dict[str, Any] = {"version": version, "history": [asdict(event) for event in history]}
    if version is not None:
        made = promotion_of(history, version)
        found |= {"adapter": adapter_folder(store, version), "promoted_at": made.at, **made.details["candidate"]}
        found |= {"list_sha256": made.details["list_sha256"], "num_images": made.details["num_images"]}
    return found


def _print(values: dict[str, Any]) -> None:
    if values["version"] is None:
        print("There is no champion yet.")
    else:
        print(f"{values['version']}, since {values['promoted_at']}")
        for name in ("adapter", "base", "weights_sha256", "data_fingerprint", "list_sha256", "num_images"):
            print(f"  {name:17} {values[name]}")
        for name, fingerprint in values["identity"].items():
            print(f"  {name:17} {fingerprint}")
    for event in values["history"]:
        kind = event["kind"].replace("_", " ")
        print(f"\n{event['number']}. {event['at']}: {kind}; champion: {event['champion'] or 'none'}")
        for reason in event["reasons"]:
            print(paragraph(reason, "   - ", "     "))
