"""`decoupage champion` as a user runs it."""

import json
import sys

import pytest

from commands import main as cli
from evaluation.gate.decide import decide
from pipelines.stages.store import Store
from tests.evaluation.gate.made_up import CLEAN, CONFIG, better, candidate


@pytest.fixture
def champion(monkeypatch, capsys):
    """Runs the command in this process; gives (exit status, standard output, standard error)."""

    def champion(root, *options):
        command, *rest = map(str, options)
        monkeypatch.setattr(sys, "argv", ["decoupage", "champion", command, "--root", str(root), *rest])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return champion


@pytest.fixture
def two(tmp_path):
    """A root with two champions, one after the other."""
    for weights, by in (("first", 1.0), ("second", 2.0)):
        of = candidate(tmp_path, weights, better(by))
        assert decide(Store(str(tmp_path)), of, CONFIG, CLEAN, (), lambda folder: {}, "demo").kind == "promoted"
    return tmp_path


def test_before_the_first_one(tmp_path, champion):
    assert champion(tmp_path, "show") == (0, "There is no champion yet.\n", "")
    assert json.loads(champion(tmp_path, "show", "--json")[1]) == {"version": None, "history": []}
    status, _, err = champion(tmp_path, "rollback")
    assert status == 2 and "there is no champion" in err


def test_show_tells_who_and_why(two, champion):
    status, out, _ = champion(two, "show")
    assert status == 0 and out.startswith("v0002, since ") and "recipe of second" in out
    values = json.loads(champion(two, "show", "--json")[1])
    assert values["version"] == "v0002" and values["adapter"] == str(two / "champion" / "v0002" / "adapter")
    assert [event["kind"] for event in values["history"]] == ["promoted", "promoted"]


def test_rollback_and_forward_again(two, champion):
    status, out, _ = champion(two, "rollback", "--why", "halos")
    assert status == 0 and out == "v0001 is the champion again, in place of v0002: halos\n"
    values = json.loads(champion(two, "rollback", "--to", "v0002", "--json")[1])
    assert values["version"] == "v0002"
    assert [event["kind"] for event in values["history"]][2:] == ["rolled_back", "rolled_back"]
    status, _, err = champion(two, "rollback", "--to", "../v0001")
    assert status == 2 and "there is no version" in err
