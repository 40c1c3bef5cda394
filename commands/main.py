"""The `decoupage` command: what each package adds to it, and expected faults turned into exit codes.

0 = done, 1 = the work found faults (listed), 2 = wrong use or a set-up that cannot start.
"""

import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from commands import faults
from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from decoupage.text_files import printable

if TYPE_CHECKING:
    from profiles.profile import Profile

DISTRIBUTION = "decoupage-layers"


class Row(NamedTuple):
    """One line in the list of commands.

    Attributes:
        place: `module:attribute` of a function, or of a `typer.Typer` that holds several.
        summary: the line itself. The command's own docstring has the full description.
    """

    place: str
    summary: str


COMMANDS = {
    "decompose": Row("decoupage.commands:decompose", "Separate objects of a picture into layers, as files."),
    "serve": Row("decoupage.serve.commands:serve", "Serve a page and an HTTP API that do the same."),
    "mulan": Row("pipelines.commands:mulan", "Unpack MULAN annotations."),
    "prompts": Row("pipelines.commands:prompts", "Write the prompts of generated foregrounds."),
    "scenes": Row("pipelines.commands:scenes", "Make layered scenes, their maps and shards."),
    "shards": Row("pipelines.commands:shards", "Verify finished shards, or export them as files."),
    "takedowns": Row("pipelines.commands:takedowns", "List the shards that a takedown affects."),
    "train": Row("training.commands:train", "Train an adapter, an RGBA VAE or the small base."),
    "evaluate": Row("evaluation.commands:evaluate", "Judge methods on a list of pictures; write the report."),
    "baselines": Row("evaluation.methods.commands:baselines", "Record the outputs of the enabled baselines on a list."),
    "ablations": Row("commands.ablations:ablations", "Train and judge the ablations; print their table."),
    "champion": Row("evaluation.gate.commands:champion", "Show the adapter in use, or go back to an earlier one."),
    "study": Row("evaluation.study.commands:study", "Let people compare methods without seeing their names."),
    "inspect": Row("evaluation.fiftyone.commands:inspect", "Look at scenes and predictions in FiftyOne."),
    "prune": Row("commands.prune:command", "List what the data root no longer needs, or remove it."),
}


class Commands(TyperGroup):
    """`COMMANDS`, and those that the app has itself: listed without an import, imported when they are used."""

    def __init__(self, commands: Any = None, **attributes: Any) -> None:
        listed = {name: TyperCommand(name, short_help=row.summary) for name, row in COMMANDS.items()}
        super().__init__(commands={**listed, **commands}, **attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name, command, and the arguments left for it."""
        name, command, left = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, left

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises Stopped instead of what click would end without our message."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, EOFError, KeyboardInterrupt) as error:
            raise faults.Stopped(error) from error


def load_command(name: str) -> Any:
    """Import one of `COMMANDS`: a `TyperCommand`, or a `TyperGroup` of several.

    Raises:
        BadSetup: it belongs to the factory, which is not installed.
    """
    module, _, attribute = COMMANDS[name].place.partition(":")
    if not module.startswith("decoupage."):
        require_factory(name)
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return flowing(get_group(found))
    single = typer.Typer(add_completion=False)
    single.command(name)(found)
    return flowing(get_command(single))


def flowing(command: Any) -> Any:
    """The command, with the paragraphs of its help in one line each, so that a terminal of any width can break them.

    It refuses addresses where it takes paths of this machine.
    """
    command.invoke = partial(_invoke, command.invoke)
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs) or None
    for inner in getattr(command, "commands", {}).values():
        flowing(inner)
    return command


def _invoke(invoke: Callable[[Any], Any], ctx: Any) -> Any:
    """Run a command. Raises BadSetup: an address stands for a path, where it would make a folder called `s3:`."""
    for name, value in ctx.params.items():
        for path in value if isinstance(value, list | tuple) else [value]:
            if isinstance(path, Path) and re.fullmatch(r"[a-z][a-z0-9+.-]+:", path.parts[0] if path.parts else ""):
                said = printable(str(path).replace(":/", "://", 1))
                raise BadSetup(
                    f"{name} is a file or folder of this machine, and {said} is an address; name a local one"
                )
    return invoke(ctx)


def require_factory(name: str) -> None:
    """Raise BadSetup where a library of the extra `factory`, which the command of this name needs, is not installed."""
    for requirement in requires(DISTRIBUTION) or ():
        library = re.match(r"""([\w.-]+).*;.*\bextra == ['"]factory['"]""", requirement)
        if library is None:
            continue
        try:
            distribution(library[1])
        except PackageNotFoundError:
            raise BadSetup(
                f"`decoupage {name}` needs {library[1]}, which is not installed; {install_line('factory')}"
            ) from None


def load_permitted(
    name: str | None = None, root: str | None = None, overrides: dict[str, str] | None = None
) -> "Profile":
    """`profiles.commercial.load_permitted`, imported when a command asks for a profile."""
    from profiles.commercial import load_permitted as load

    return load(name, root, overrides)


app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, help="Takes pictures apart into layers."
)


@app.callback()
def _start(context: typer.Context) -> None:
    # The packages' commands load profiles through this, because profiles stand above the packages.
    context.obj = load_permitted


@app.command()
def doctor(
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files go.")] = None,
    profile_values: Annotated[
        bool, typer.Option("--profile-values", help="Also print all values of the profile.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Print what a profile lacks on this machine and how to get it, then what is present.

    Exits with status 1 when something is missing. Nothing is changed or downloaded, and no secret is printed.
    """
    require_factory("doctor")
    # Advice on optional packages, which is not the doctor's task.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from commands.doctor import examine
    from profiles.profile import load_profile

    report = examine(load_profile(profile, root))
    print(report.to_json() if as_json else report.to_text(profile_values))
    raise typer.Exit(1 if report.missing else 0)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return faults.readable(super().format(record))


def main() -> None:
    """Entry point of the `decoupage` command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # They log where they found credentials, and each look at Dagster's records.
    for name in ("aiobotocore", "alembic", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    before = signal.signal(signal.SIGTERM, faults.terminate)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - `faults` shows whole what it does not know
        sys.exit(faults.tell(error))
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
