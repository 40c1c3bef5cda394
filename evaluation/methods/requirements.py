"""What the profile's baselines need of a machine: weights or a program, with the licence and how to get them."""

import shutil

from decoupage.requirements import Requirement
from evaluation.config.baselines import BaselinesConfig, ExternalBaseline
from evaluation.methods.external.catalogue import EXTERNAL
from evaluation.methods.published import weights
from evaluation.methods.published.catalogue import PUBLISHED


def requirements(config: BaselinesConfig) -> list[Requirement]:
    """Files and programs of the enabled baselines. Nothing is downloaded or loaded."""
    models = [requirement for name, model in config.models.items() for requirement in weights.requirements(name, model)]
    return [*models, *(command_requirement(entry) for entry in config.commands.values())]


def command_requirement(entry: ExternalBaseline) -> Requirement:
    """Whether an external baseline's program is there. Whether it works is known only when it runs."""
    program = shutil.which(entry.command[0])
    licence = f" (licence: {entry.licence})" if entry.licence else ""
    found = f"{program or f'there is no program {entry.command[0]}'}{licence}"
    fix = f"install it and name its command in evaluation.baselines.external ({page(entry.name)})"
    return Requirement(f"evaluation.baselines.{entry.name}", program is not None, found, fix)


def page(name: str) -> str:
    """The page that says how to get a baseline."""
    known = name in PUBLISHED or name in EXTERNAL
    return f"docs/baselines/{name}.md" if known else "docs/baselines.md"
