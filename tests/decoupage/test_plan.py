"""`decompose --plan`: what fits is said without a picture, a card, a download or weights."""

import json
import socket

import pytest
import torch
from huggingface_hub import constants
from typer.testing import CliRunner

from decoupage import plan as plan_module
from decoupage.adapter import AdapterConfig
from decoupage.asked_model import AskedModel
from decoupage.placing import WAYS, Placing
from decoupage.plan import PREFERRED, check_fits, plan
from decoupage.publishing.folder import TEXT
from decoupage.weights.sizes import MODELS
from tests.decoupage.test_command import app
from tests.decoupage.test_pipeline import folders
from tests.decoupage.test_prompts import adapter, older

assert folders and adapter and older  # Fixtures of a base and of adapters on it.
FILL_BYTES = MODELS["black-forest-labs/FLUX.1-Fill-dev", ""]


@pytest.fixture(autouse=True)
def nothing_is_fetched(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("a connection is made")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "create_connection", refused)


def asked(name=None, base=None, placing=None, prompt=False):
    return AskedModel(name, base, "auto", torch.device("cuda"), torch.bfloat16, placing or Placing(), prompt)


@pytest.mark.parametrize(
    ("gpu_gb", "flags"),
    [(8, "--offload group"), (16, "--offload group"), (24, "--quantise int8"), (48, ""), (80, "")],
)
def test_each_card_has_its_way(gpu_gb, flags):
    found = plan(asked(base="flux-fill"), gpu_gb)
    assert found.recommended.flags == flags
    assert found.command == f"decoupage decompose PHOTO --mask MASK --out DIR --model ADAPTER {flags}".strip()
    assert found.fits(found.recommended) and found.rows[found.recommended].gpu_gb <= gpu_gb


def test_a_prompt_brings_its_encoders():
    found = plan(asked(base="flux-fill", prompt=True), 32)
    assert found.recommended == Placing("model") and "--prompt TEXT" in found.command
    assert found.download_bytes == FILL_BYTES > 1.4 * plan(asked(base="flux-fill"), 32).download_bytes


def test_nothing_fits_a_card_that_is_too_small():
    found = plan(asked(base="flux-fill"), 2)
    assert found.recommended is None and "None of these fits" in found.to_text()
    assert not any(map(found.fits, WAYS))


def test_the_packaged_adapter_fits_and_is_here():
    found = plan(asked(), 8)
    assert found.recommended == Placing() and (found.download, found.download_bytes) == ("nothing", 0)
    assert found.model.adapter.base == "small-fill"


def test_an_adapters_folder_is_planned_by_its_own_configuration(adapter, folders):
    found = plan(asked(str(adapter), str(folders / "fill")), 8)
    assert found.model.adapter.rank == 4 and not found.model.text and found.download == "nothing"
    assert f"--model {adapter} --base {folders / 'fill'}" in found.command
    assert (
        plan(asked(str(adapter)), 8).download_bytes < FILL_BYTES
    )  # Of the published base; its encoders are not needed.


def test_an_older_folder_needs_text_encoders_in_any_case(older):
    found = plan(asked(str(older)), 48)
    assert found.model.text and found.prompt and found.download_bytes == FILL_BYTES
    assert "text encoders are loaded in any case" in found.to_text() and "--prompt" not in found.command


@pytest.mark.parametrize(
    ("name", "words"),
    [("owner/adapter", "no such Hub repository"), ("s3://bucket/adapter", "is an address"), ("./nowhere", "no folder")],
)
def test_an_adapter_that_is_not_here_is_not_fetched(name, words):
    with pytest.raises(ValueError, match=words):
        plan(asked(name), 8)


def test_without_a_card_one_must_be_described(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--plan: there is no CUDA GPU here; say with --gpu-gb how many GB"):
        plan(asked(), None)


def test_the_card_and_the_host_that_are_here_count(monkeypatch):
    monkeypatch.setattr(plan_module, "card_here", lambda: ("RTX 9999", 12.0))
    monkeypatch.setattr(plan_module, "host_gb", lambda: 16.0)
    found = plan(asked(base="flux-fill"), None)
    # Offloaded by groups it would fit the card, but not the host.
    assert found.recommended == Placing(quantise="nf4") and "on RTX 9999" in found.to_text()


def test_decompose_refuses_what_does_not_fit_before_it_loads(adapter, monkeypatch):
    monkeypatch.setattr(plan_module, "model_of", lambda *known: plan_module.Model(AdapterConfig(), None, False, ""))
    monkeypatch.setattr(plan_module, "card_here", lambda: ("RTX 9999", 12.0))
    monkeypatch.setattr("decoupage.pipeline.LayerDecompositionPipeline.from_pretrained", None)
    words = (
        r"the whole model on the card takes 28.9 GB \(computed\), and RTX 9999 has 12.0 GB; what fits: --offload group"
    )
    with pytest.raises(ValueError, match=words):
        asked(str(adapter)).load()
    with pytest.raises(ValueError, match=r"--offload model --quantise int8 takes 16\.3 GB"):
        check_fits(asked(placing=Placing("model", "int8")))
    check_fits(asked(placing=Placing("group")))


def test_an_adapter_that_is_to_be_loaded_may_be_fetched_for_the_check(adapter, monkeypatch):
    asked_for = []
    monkeypatch.setattr(plan_module, "find_folder", lambda source: asked_for.append(source) or adapter)
    monkeypatch.setattr(plan_module, "card_here", lambda: ("RTX 9999", 48.0))
    check_fits(asked("s3://bucket/adapter"))
    assert asked_for == ["s3://bucket/adapter"]


def test_every_recommendation_is_a_way():
    assert set(PREFERRED) <= set(WAYS)


def run(*arguments):
    return CliRunner().invoke(app(), [str(argument) for argument in arguments])


def test_the_command_prints_the_plan_without_picture_and_folder():
    done = run("--plan", "--gpu-gb", 16, "--base", "flux-fill")
    assert done.exit_code == 0 and "computed, not measured" in done.output
    rows = [line.split() for line in done.output.splitlines() if line.endswith((" yes", " no"))]
    assert [(row[0], row[1]) for row in rows] == [(way.offload, way.quantise) for way in WAYS]
    said = json.loads(run("--plan", "--gpu-gb", 16, "--base", "flux-fill", "--json").output)
    assert [way["fits"] for way in said["ways"]] == [row[-1] == "yes" for row in rows]
    assert said["recommended"].endswith("--offload group") and said["measured"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "decompose needs a picture; only --plan does without"),
        ((".",), "decompose needs --out, the folder to write to"),
        ((".", "--out", "out", "--gpu-gb", 8), "--gpu-gb says for which GPU to plan; give it with --plan"),
        ((".", "--out", "out", "--device", "cpu", "--offload", "model"), "offload = model needs a GPU"),
        ((".", "--out", "out", "--device", "cpu", "--quantise", "nf4"), "quantise = nf4 needs a GPU"),
        ((".", "--out", "out", "--offload", "all"), "offload must be one of none, model, group, sequential, got all"),
        (("--plan", "--gpu-gb", -1), "--gpu-gb must be a number above 0, got -1.0"),
    ],
)
def test_wrong_use_says_what_is_wrong(arguments, words):
    assert words in str(run(*arguments).exception)


def test_the_embedding_has_its_name():
    assert TEXT == "prompt.safetensors"
