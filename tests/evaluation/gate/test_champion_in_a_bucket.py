"""The gate with its root in an object store: champions are kept there whole, and checked where they lie."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from commands.main import app
from decoupage.faults import BadSetup
from decoupage.publishing.finding import find_folder
from evaluation.gate.champions import adapter_folder, alone, rollback
from evaluation.gate.decide import decide
from evaluation.gate.history import CURRENT, add_event, current_version, read_history
from evaluation.gate.verdict import champion_is_whole
from tests.evaluation.gate.made_up import CLEAN, CONFIG, better, candidate
from tests.stores import put_up

WEIGHTS = "champion/{}/adapter/pytorch_lora_weights.safetensors"


@pytest.fixture
def ask(remote, tmp_path):
    """Decides on an adapter of these weights and gains, which was trained and judged in the store."""

    def ask(weights, by):
        made = candidate(tmp_path / "made", weights, better(by))
        put_up(tmp_path / "made", remote)
        of = replace(made, adapter=remote.url("training/adapter/export"))
        return decide(remote, of, CONFIG, CLEAN, (), lambda address: {}, "demo")

    return ask


def test_two_champions_and_the_way_back(remote, ask):
    assert (ask("first", 1.0).champion, ask("worse", 0.5).champion) == ("v0001", "v0001")
    assert ask("second", 2.0).champion == "v0002"
    assert json.loads(remote.read(CURRENT))["adapter"] == "champion/v0002/adapter"
    assert [remote.read(WEIGHTS.format(version)) for version in ("v0001", "v0002")] == [b"first", b"second"]
    assert champion_is_whole(remote).passed
    # What is in use is loaded from a copy of it, which is another one for each version.
    copies = [find_folder(adapter_folder(remote, version)) for version in ("v0001", "v0002")]
    assert [(copy / "pytorch_lora_weights.safetensors").read_text() for copy in copies] == ["first", "second"]
    shown = CliRunner().invoke(app, ["champion", "show", "--root", remote.root, "--json"])
    assert json.loads(shown.output)["adapter"] == remote.url("champion/v0002/adapter"), shown.output
    assert rollback(remote).champion == "v0001"
    remote.write(WEIGHTS.format("v0001"), b"damaged")
    assert not champion_is_whole(remote).passed
    remote.write(WEIGHTS.format("v0002"), b"damaged")
    with pytest.raises(ValueError, match=r"v0002/adapter: pytorch_lora_weights\.safetensors is not the published file"):
        rollback(remote, "v0002")
    assert current_version(read_history(remote)) == "v0001"


def test_one_decides_at_a_time_and_of_two_decisions_one_counts(remote, ask, monkeypatch):
    with alone(remote), pytest.raises(BadSetup, match="another process decides"):
        ask("first", 1.0)
    first = ask("first", 1.0)
    # One that has read the history before that, because its lease ran out meanwhile.
    monkeypatch.setattr("evaluation.gate.history.read_history", lambda store: [])
    with pytest.raises(BadSetup, match="at the same time"):
        add_event(remote, "promoted", "v0001", None, ("of another process",), first.details)
    monkeypatch.undo()
    assert read_history(remote) == [first]
