"""Weights: named and right, named and wrong, not named; and what `decoupage doctor` is told."""

import hashlib
import pickle
import re
import tomllib
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from decoupage.faults import BadOutput, BadSetup
from evaluation.config import EvaluationConfig, MetricsConfig, WeightsConfig
from evaluation.metrics.catalogue import METRICS
from evaluation.metrics.networks import load_networks, requirements
from evaluation.metrics.perceptual import Lpips
from evaluation.metrics.weights import read_state
from evaluation.run import evaluate
from tests.evaluation.metrics.networks import random_lpips, random_states
from tests.evaluation.scenes import cases, recipe_of, truth


def named(path):
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture
def lpips(tmp_path):
    """The setting, with random weights behind it."""
    for name, state in zip(("trunk", "head"), random_states(), strict=True):
        torch.save(state, tmp_path / f"{name}.pth")
    return {name: named(tmp_path / f"{name}.pth") for name in ("trunk", "head")}


def test_what_is_not_named_is_not_measured():
    networks = load_networks(MetricsConfig())
    assert set(networks.not_measured) == {(metric.part, metric.name) for metric in METRICS if metric.net}
    assert "evaluation.metrics.lpips.trunk" in networks.not_measured["background", "lpips_whole"]
    assert "evaluation.metrics.inception" in networks.not_measured["background", "kid_whole"]
    assert all(
        requirement.present and "not measured" in requirement.found for requirement in requirements(MetricsConfig())
    )


def test_what_is_named_is_loaded(lpips):
    config = MetricsConfig(lpips=lpips)
    networks = load_networks(config)
    case = cases(1)[0]
    (found,) = networks.lpips.distances([case.composite], case.background)
    (expected,) = random_lpips().distances([case.composite], case.background)
    assert found.mean == pytest.approx(expected.mean, rel=1e-4)
    assert {name.partition("_")[0] for _, name in networks.not_measured} == {"fid", "kid"}
    present = {requirement.name: requirement.present for requirement in requirements(config)}
    assert present == {f"evaluation.metrics.{name}": True for name in ("lpips.trunk", "lpips.head", "inception")}


class Fixed:
    """A list of one image."""

    name, about = "fixed", {"test_set": "fixed"}

    def cases(self, names=None):
        return iter(cases(1))


def test_a_wrong_hash_stops_before_any_method_is_asked(lpips, tmp_path):
    lpips["head"]["sha256"] = "0" * 64
    config = EvaluationConfig.model_validate({"metrics": {"lpips": lpips}})
    found = {requirement.name: requirement for requirement in requirements(config.metrics)}[
        "evaluation.metrics.lpips.head"
    ]
    assert not found.present and "sha256" in found.found and "remove the setting" in found.fix
    with pytest.raises(
        BadSetup, match=r"evaluation.metrics.lpips.head: .*head.pth has the sha256 [0-9a-f]{64}, not 0000"
    ):
        evaluate(Fixed(), [recipe_of(truth)], config, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_stops_too(tmp_path):
    config = MetricsConfig(inception=WeightsConfig(path=str(tmp_path / "absent.pth"), sha256="0" * 64))
    with pytest.raises(
        BadSetup, match=r"evaluation.metrics.inception: there is no file .*absent.pth; set the right file"
    ):
        load_networks(config)
    assert not requirements(config)[0].present


def test_the_report_of_named_weights(lpips, tmp_path):
    config = EvaluationConfig.model_validate({"bootstrap_draws": 100, "metrics": {"lpips": lpips}})
    report = evaluate(Fixed(), [recipe_of(truth)], config, str(tmp_path / "out"))
    assert report.mean("truth", "background", "lpips_whole") == 0
    assert report.values["settings"]["metrics"]["lpips"] == lpips


class Hostile:
    def __reduce__(self):
        return (print, ("pwned",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: pickle.dumps(Hostile()), "is not a PyTorch state dict"),
        (lambda: b"not a file of weights", "is not a PyTorch state dict"),
        (lambda: b"", "is not a PyTorch state dict"),
        (None, "holds no state dict"),
    ],
    ids=["code", "garbage", "empty", "list"],
)
def test_files_of_something_else(tmp_path, capsys, content, said):
    path = tmp_path / "weights.pth"
    if content is None:
        torch.save([torch.zeros(2)], path)
    else:
        path.write_bytes(content())
    with pytest.raises(BadSetup, match=f"evaluation.metrics.inception: .*{said}"):
        read_state(WeightsConfig(**named(path)), "evaluation.metrics.inception")
    assert "pwned" not in capsys.readouterr().out


def test_the_page_shows_how_to_name_them():
    page = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
    (block,) = (text for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "evaluation.metrics" in text)
    config = EvaluationConfig.model_validate(tomllib.loads(block)["evaluation"]).metrics
    assert config.lpips is not None and config.inception is not None
    for weights in (config.lpips.trunk, config.lpips.head, config.inception):
        assert Path(weights.path).name in page.partition("```toml\n[evaluation.metrics")[0]


def test_a_hash_is_64_hex_digits():
    with pytest.raises(ValidationError, match="sha256"):
        WeightsConfig(path="x", sha256="abc")


@pytest.mark.parametrize("profile", ["paper", "commercial"])
def test_the_profiles_hold_the_lines_that_name_the_published_files(profile):
    """Without their # they are settings, with the hashes of docs/evaluation.md."""
    root = Path(__file__).parents[3]
    lines = (root / "configs" / f"{profile}.toml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# [evaluation.metrics"))
    named = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines[start:]))["evaluation"]["metrics"]
    config = MetricsConfig.model_validate(named)
    page = (root / "docs" / "evaluation.md").read_text()
    for weights in (config.lpips.trunk, config.lpips.head, config.inception):
        assert weights.sha256 in page and weights.path in page
    assert len(requirements(config)) == 3
    assert all(found.found.startswith("optional: not measured") for found in requirements(MetricsConfig()))


def test_weights_that_are_not_finite_stop_before_work_starts(tmp_path):
    trunk, _ = random_states()
    trunk["features.3.bias"][7] = float("nan")
    torch.save(trunk, tmp_path / "trunk.pth")
    with pytest.raises(
        BadSetup, match=r"lpips.trunk: .*trunk\.pth holds values that are not finite in features\.3\.bias"
    ):
        read_state(WeightsConfig(**named(tmp_path / "trunk.pth")), "evaluation.metrics.lpips.trunk")


def test_a_distance_that_is_not_finite_is_named_and_not_averaged():
    trunk, head = random_states()
    lpips = Lpips({name: value * 1e30 for name, value in trunk.items()}, head)
    case = cases(1)[0]
    with pytest.raises(BadOutput, match=r"LPIPS gave values that are not finite; .*evaluation\.metrics\.lpips"):
        lpips.distances([case.composite], case.background)
