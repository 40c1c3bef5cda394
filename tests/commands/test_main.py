"""The command itself: its list, the imports it saves, and what it says where the extra `factory` is not installed."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from typer.testing import CliRunner

from commands import main as cli
from commands.main import COMMANDS, app, load_command


def test_the_list_names_every_command():
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "TERMINAL_WIDTH": "120"}).output
    assert listed.count("decompose") == 1
    assert [name for name, row in COMMANDS.items() if f"{name} " not in listed or row.summary not in listed] == []


def test_listing_imports_no_command():
    modules = {row.place.partition(":")[0] for row in COMMANDS.values()}
    program = "import sys; from commands.main import app; app(['--help'], standalone_mode=False); "
    program += f"print({modules} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_row_leads_to_a_command_that_says_what_it_does(name):
    assert load_command(name).help
    assert len(COMMANDS[name].summary) <= 64 and COMMANDS[name].summary.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_breaks_its_lines_by_the_terminal(name):
    command = load_command(name)
    for one in (command, *getattr(command, "commands", {}).values()):
        assert all("\n" not in paragraph for paragraph in one.help.split("\n\n"))


def test_help_shows_what_stands_in_brackets():
    """Rich takes brackets for markup, and leaves them out."""
    for name in COMMANDS:
        command = load_command(name)
        for one in (command, *getattr(command, "commands", {}).values()):
            texts = [one.help, *(getattr(parameter, "help", None) or "" for parameter in one.params)]
            assert [text for text in texts if re.search(r"(?<!\\)\[[a-z@/#]", text)] == []


@pytest.mark.parametrize("words", [["scene", "make"], ["scenes", "mak"], ["scenes", "make", "--nosuch"]])
def test_what_there_is_not_is_wrong_use(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit)


def without_dagster(name):
    if name == "dagster":
        raise PackageNotFoundError(name)
    return distribution(name)


@pytest.mark.parametrize("words", [["scenes", "make"], ["train", "--help"], ["doctor"]])
def test_a_command_of_the_factory_names_the_extra_that_brings_it(words, monkeypatch, capsys):
    monkeypatch.setattr(cli, "distribution", without_dagster)
    monkeypatch.setattr(sys, "argv", ["decoupage", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        f"decoupage: `decoupage {words[0]}` needs dagster, which is not installed; "
        "in a checkout of decoupage: pip install --constraint constraints.txt --editable '.[factory]'\n"
    )


def test_the_model_part_asks_for_no_extra(monkeypatch):
    monkeypatch.setattr(cli, "distribution", without_dagster)
    assert CliRunner().invoke(app, ["decompose", "--help"]).exit_code == 0
