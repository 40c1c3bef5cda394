"""The pages on champion and ablations: their commands parse, their settings load, their rows are all rows."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from commands.main import app
from evaluation.ablation_rows import ROW_NAMES
from evaluation.config import EvaluationConfig

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["champion.md", "ablations.md"])
def test_commands_are_spelt_right(page):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    assert lines
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "decoupage"
        command = typer.main.get_command(app)
        while isinstance(command, TyperGroup):
            context = command.make_context(command.name, list(words))
            _, command, words = command.resolve_command(context, words)
        command.make_context(command.name, words)


def test_settings_load():
    (gate,) = blocks("champion.md", "toml")
    (ablations,) = blocks("ablations.md", "toml")
    read = EvaluationConfig.model_validate(tomllib.loads(gate)["evaluation"])
    assert read.gate.margins == {"background.psnr_whole_pasted": 0.2, "foreground.soft_iou": 0.01}
    read = EvaluationConfig.model_validate(tomllib.loads(ablations)["evaluation"])
    assert read.ablations.changes == {"schedule.num_steps": 300}
    assert read.ablations.row_changes == {"rank_1024": {"compute.checkpoint_every_blocks": 1}}


def test_every_row_is_explained():
    page = (DOCS / "ablations.md").read_text()
    assert [row for row in ROW_NAMES if f"`{row}`" not in page] == []
