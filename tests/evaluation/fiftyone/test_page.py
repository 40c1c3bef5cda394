"""docs/inspect.md says what there is: options, settings, saved views."""

import re
from pathlib import Path

import typer
from typer.testing import CliRunner

from evaluation.config import InspectionConfig
from evaluation.fiftyone.commands import inspect
from pipelines.library.exclusions import REASONS

PAGE = (Path(__file__).parents[3] / "docs" / "inspect.md").read_text()


def test_the_options_are_those_of_the_command():
    app = typer.Typer()
    app.command()(inspect)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    options = set(
        re.findall(r"--[a-z-]+", "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()[1:]))
    )
    assert options >= {"--apply", "--no-app", "--port", "--root", "--profile"}
    assert options <= set(re.findall(r"--[a-z-]+", shown))


def test_the_settings_and_reasons_are_all_named():
    settings = PAGE.split("## Settings")[1]
    assert set(re.findall(r"`([a-z_]+)`", settings)) == set(InspectionConfig.model_fields)
    assert all(f"`{reason}`" in PAGE for reason in REASONS)
