"""An adapter's run that cannot start says why in one sentence, before its first step, and leaves with status 2."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from decoupage.faults import BadSetup
from tests.training.adapter.adapter_runs import Place64, command, decoupage, last, lay_out, tiny_form
from tests.training.test_data_loader import spoil
from training.adapter.start import starting_pipeline
from training.journal import read_metrics


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    return lay_out(tmp_path_factory.mktemp("adapter_set_up"))


@pytest.fixture(scope="module")
def whole(place: Place64, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert decoupage(command(place, folder), monkeypatch) == 0
    return folder


def refused(
    arguments: list[str], out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The sentence with which the command leaves before its first step."""
    steps = len(read_metrics(out))
    assert decoupage(arguments, monkeypatch) == 2
    assert len(read_metrics(out)) == steps
    shown = capsys.readouterr().err.splitlines()
    (sentence,) = [line for line in shown if line.startswith("decoupage: ")]
    assert "Traceback" not in "".join(shown)
    return sentence


def test_other_data_is_refused_and_a_warm_start_offered(
    place: Place64, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    other = command(place, folder, "--data", place.other_data)
    sentence = refused([*other, "--resume"], folder, monkeypatch, capsys)
    assert "belongs to another run" in sentence and "data " in sentence and "--warm-start" in sentence
    again = command(place, tmp_path / "warm", "--data", place.other_data, "--warm-start", str(last(whole)))
    assert decoupage(again, monkeypatch) == 0
    assert [line["step"] for line in read_metrics(tmp_path / "warm")] == [1, 2, 3, 4, 5, 6]


def test_another_recipe_is_refused(
    place: Place64, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    arguments = command(place, folder, changes={"optimiser.learning_rate": 0.02})
    assert "recipe " in refused([*arguments, "--resume"], folder, monkeypatch, capsys)


def test_missing_maps_are_named(
    place: Place64, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    arguments = command(place, tmp_path, "--data", f"{place.data}/scenes")
    assert "has no edges.png" in refused(arguments, tmp_path, monkeypatch, capsys)


def test_too_many_unreadable_scenes_stop_the_run(
    place: Place64, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shards = Path(shutil.copytree(Path(place.data) / "shards", tmp_path / "shards"))
    keys = [f"{number:08d}" for number in range(12)]
    for key in keys:
        spoil(shards, key, "layer0.webp")
    sentence = refused(command(place, tmp_path / "run", "--data", str(shards)), tmp_path / "run", monkeypatch, capsys)
    assert "scenes cannot be read" in sentence and "layer0.webp" in sentence


def test_a_few_unreadable_scenes_are_passed_over(place: Place64, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shards = Path(shutil.copytree(Path(place.data) / "shards", tmp_path / "shards"))
    spoil(shards, "00000004", "layer0.webp")
    arguments = command(place, tmp_path / "run", "--data", str(shards), changes={"data.max_unreadable_share": 0.2})
    assert decoupage(arguments, monkeypatch) == 0


WRONG = [
    ("small_gpu", {}, {"compute.base_quantisation": "nf4"}, r"compute\.base_quantisation = nf4 .*needs? a GPU"),
    ("demo", {"--rgba-vae": "nowhere"}, {}, r"nowhere holds no RGBA VAE"),
    ("demo", {"--base": "nowhere/at/all"}, {}, r"base small-fill cannot be loaded from .*nowhere/at/all .*--base"),
    ("demo", {"--data": "nowhere"}, {}, r"nowhere"),
    ("demo", {}, {"adapter.rnak": 3}, r"unknown key adapter\.rnak"),
    ("demo", {}, {"adapter.rank": 0}, r"adapter\.rank must be greater"),
    ("papre", {}, {}, r"no recipe 'papre'; known: paper, .*demo, .*small_base"),
]


@pytest.mark.parametrize(("recipe", "options", "changes", "message"), WRONG)
def test_a_wrong_set_up_is_said_in_a_sentence(
    place: Place64,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    options: dict[str, str],
    changes: dict[str, Any],
    message: str,
):
    given = [part for option, value in options.items() for part in (option, str(tmp_path / value))]
    arguments = command(place, tmp_path / "run", *given, recipe=recipe, changes=changes)
    sentence = refused(arguments, tmp_path / "run", monkeypatch, capsys)
    assert re.search(message, sentence), sentence
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_a_base_that_is_not_there_is_named(place: Place64, tmp_path: Path, recipe: str):
    config, nowhere = tiny_form(recipe), str(tmp_path / "nowhere")
    vae = place.rgba_vaes[config.adapter.base]
    with pytest.raises(BadSetup, match=rf"base {config.adapter.base} cannot be loaded from {nowhere} .*--base"):
        starting_pipeline(config, nowhere, vae, torch.device("cpu"))


def test_a_vae_of_three_channels_is_no_rgba_vae(
    place: Place64, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    three = f"{place.bases['small-fill']}/vae"
    sentence = refused(command(place, tmp_path, "--rgba-vae", three), tmp_path, monkeypatch, capsys)
    assert "3 channels; an RGBA VAE has 4" in sentence


def test_an_adapter_needs_one_folder_and_an_rgba_vae(
    place: Place64, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    plain = ["train", "demo", "--out", str(tmp_path), "--base", place.bases["small-fill"]]
    assert "one folder of shards (--data), got 0" in refused(plain, tmp_path, monkeypatch, capsys)
    with_data = [*plain, "--data", place.data]
    sentence = refused(with_data, tmp_path, monkeypatch, capsys)
    assert "needs a trained RGBA VAE (--rgba-vae FOLDER)" in sentence and "train small_rgba_vae" in sentence
