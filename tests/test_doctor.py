"""The doctor and published weights: which are missing for a profile, and how to get them; the demo needs none."""

import pytest
from huggingface_hub import constants

from doctor import examine
from profiles import load_profile
from tests.decoupage.tiny import flux_fill
from training.profile import TrainingSection


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    """An empty Hub cache, and no key."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


def needs(profile):
    return {need.name: need for need in examine(profile).needs}


def test_the_demo_needs_no_published_weights(tmp_path):
    assert examine(load_profile("demo", str(tmp_path))).missing == []


def test_the_papers_base_is_missing_with_licence_page_and_command(tmp_path):
    examination = examine(load_profile("paper", str(tmp_path)))
    assert {"weights", "HF_TOKEN"} <= {need.name for need in examination.missing}
    text = examination.to_text()
    assert f"{constants.ENDPOINT}/black-forest-labs/FLUX.1-Fill-dev" in text
    assert "hf download black-forest-labs/FLUX.1-Fill-dev" in text


def test_a_key_is_told_of_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    examination = examine(load_profile("paper", str(tmp_path)))
    assert needs(load_profile("paper", str(tmp_path)))["HF_TOKEN"].found == "set"
    assert "hf_secret" not in examination.to_text() + examination.to_json()


def test_a_folder_of_weights_that_the_profile_names_is_looked_into(tmp_path):
    flux_fill().save_pretrained(tmp_path / "weights")
    training = TrainingSection(recipe="small_gpu", base=str(tmp_path / "weights"))
    profile = load_profile("demo", str(tmp_path / "root")).model_copy(update={"training": training})
    found = needs(profile)
    assert found["flux-fill/transformer"].present and "tensors" in found["flux-fill/transformer"].found
    for path in (tmp_path / "weights" / "vae").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert not needs(profile)["flux-fill/vae"].present
