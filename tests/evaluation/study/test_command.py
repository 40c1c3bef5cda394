"""`decoupage study`: from a profile's held-out list to a report."""

import json
import os
import re
import subprocess
import sys
import urllib.request

import pytest
import torch

from commands import main as cli
from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.bases.small import SmallFill, save_base
from evaluation.study.bundle import bundle_token
from evaluation.study.folder import load_study
from pipelines.synthetic import FakeScenes, build_dataset
from tests.evaluation.study.studies import choice_of
from tests.warm.python import PYTHON

LIKING = ["telea", "navier_stokes"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    build_dataset(root / "held_out", FakeScenes(num_scenes=3, scenes_per_shard=3))
    return root


@pytest.fixture
def run(root, monkeypatch, capsys):
    """Runs the command in this process; gives (exit status, standard output, standard error)."""
    monkeypatch.setenv("DECOUPAGE__EVALUATION__STUDY__ASPECTS", '["background"]')
    monkeypatch.setenv("DECOUPAGE__EVALUATION__STUDY__NUM_IMAGES", "3")
    monkeypatch.setenv("DECOUPAGE__EVALUATION__BOOTSTRAP_DRAWS", "100")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["decoupage", "study", *map(str, words), "--root", str(root)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return run


def answered(study, folder, number):
    rater = bundle_token(study, number)
    answers = [
        {"question": q, "choice": choice_of(question, LIKING), "time_s": 2, "answered_at": "2026-01-02T03:04:05.678Z"}
        for q, question in study.questions(rater).items()
    ]
    path = folder / f"answers-{number}.json"
    path.write_text(json.dumps({"study": study.study_id, "rater": rater, "answers": answers}))
    return path


def test_from_the_held_out_list_to_a_report(root, run, tmp_path):
    status, out, err = run("build", "--methods", "telea,navier_stokes", "--json")
    assert status == 0, err
    facts = json.loads(out)
    assert facts["num_comparisons"] == 3 and facts["num_missing"] == 0
    assert run("bundle", "2")[1].split() == [str(root / "study" / "bundles" / f"rater-0{i}.html") for i in (1, 2)]
    status, _, err = run("report")
    assert status == 2 and "no votes yet" in err
    study = load_study(root / "study")
    status, out, err = run("import", *(answered(study, tmp_path, number) for number in (1, 2)))
    assert status == 0 and out.count("5 answers") == 2, err
    status, out, err = run("report", "--json")
    values = json.loads(out)
    assert status == 0 and values == json.loads((root / "study" / "report" / "report.json").read_text())
    pair = values["aspects"]["background"]["pairs"]["telea-navier_stokes"]
    assert pair["wins"] == 6 and pair["win_rate"]["mean"] == 1 and values["bootstrap_draws"] == 100
    shown = run("report")[1]
    assert "telea / navier_stokes  100 %" in shown and max(map(len, shown.splitlines())) <= 80
    assert "| `telea` / `navier_stokes` | 100 %" in (root / "study" / "report" / "report.md").read_text()


def test_by_default_the_adapter_meets_its_base_telea_and_the_given_mask(root, run, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(tmp_path / "base"))
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=64)
    LayerDecompositionPipeline.from_base(config, str(tmp_path / "base")).save_pretrained(tmp_path / "adapter")
    monkeypatch.setenv("DECOUPAGE__EVALUATION__STUDY__ASPECTS", '["background", "foreground"]')
    monkeypatch.setenv("DECOUPAGE__EVALUATION__NUM_STEPS", "1")
    out = tmp_path / "study"
    status, _, err = run("build", "--adapter", tmp_path / "adapter", "--base", tmp_path / "base", "--out", out)
    assert status == 0, err
    groups = {(comparison.aspect, comparison.shown) for comparison in load_study(out).comparisons}
    assert groups == {("background", ("adapter", "base", "telea")), ("foreground", ("adapter", "given_mask"))}
    monkeypatch.setenv("DECOUPAGE__EVALUATION__STUDY__NUM_PANES", "2")
    pairs = tmp_path / "pairs"
    status, _, err = run("build", "--adapter", tmp_path / "adapter", "--base", tmp_path / "base", "--out", pairs)
    assert status == 0, err
    groups = {(comparison.aspect, comparison.shown) for comparison in load_study(pairs).comparisons}
    assert groups == {
        ("background", ("adapter", "base")),
        ("background", ("adapter", "telea")),
        ("background", ("base", "telea")),
        ("foreground", ("adapter", "given_mask")),
    }


def test_wrong_uses_say_what_to_do(run, tmp_path):
    status, _, err = run("build", "--methods", "telea,magic", "--out", tmp_path)
    assert status == 2 and "no method 'magic'; known: " in err
    status, _, err = run("build", "--out", tmp_path)
    assert status == 2 and "no trained adapter in" in err and "--methods" in err
    status, _, err = run("build", "--methods", "telea,given_mask", "--out", tmp_path)
    assert status == 2 and "at least two methods that give one, got telea" in err
    assert not list(tmp_path.iterdir())
    status, _, err = run("serve", "--folder", tmp_path)
    assert status == 2 and "study build" in err


def test_it_serves_on_loopback_until_stopped(root, run):
    assert run("build", "--methods", "telea,navier_stokes")[0] == 0
    words = ["study", "serve", "--folder", str(root / "study"), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [PYTHON, "-m", "commands.main", *words], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
            with urllib.request.urlopen(address, timeout=60) as page:
                assert "Which picture is better?" in page.read().decode()
        finally:
            process.kill()
