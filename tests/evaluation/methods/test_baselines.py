"""The profile's baselines as a whole: their states, their recordings as methods, and what the profile refuses."""

import json
import logging
import re
from dataclasses import replace

import numpy as np
import pytest

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig
from evaluation.config.baselines import MODELS, BaselinesConfig, ExternalBaseline, SdxlInpainting
from evaluation.method import Failure
from evaluation.methods.baselines import record_baselines, recorded_recipes
from evaluation.methods.external.catalogue import EXTERNAL
from evaluation.methods.published.catalogue import PUBLISHED
from evaluation.methods.requirements import requirements
from evaluation.methods.states import enabled_baselines_recorded
from evaluation.records.ask import record
from evaluation.records.room import read_method
from evaluation.run import score_all
from pipelines.stages.store import Store
from profiles.profile import CHECKOUT, load_profile
from tests.evaluation.methods import tiny
from tests.evaluation.methods.made_up import COPY, ECHO, Listed, asked, program


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """What lies in a developer's own cache says nothing here."""
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)


@pytest.fixture
def listed():
    return Listed()


def enabled(*entries, **sections):
    names = [entry.name for entry in entries] + list(sections)
    baselines = BaselinesConfig(enabled=tuple(names), external=tuple(entries), **sections)
    return EvaluationConfig(baselines=baselines, num_steps=1)


def state_of(states, name):
    return next(state for state in states if state.name == name)


def test_without_any_every_known_one_is_told_with_the_way_to_it(tmp_path, listed):
    states = record_baselines(EvaluationConfig(), listed, Store(str(tmp_path)))
    assert {state.name for state in states} == {*PUBLISHED, *EXTERNAL}
    assert {state.word for state in states} == {"not enabled"}
    for name in PUBLISHED:
        assert "hf download" in state_of(states, name).detail
    for state in states:
        page = state.detail.rpartition("docs/")[2].rstrip(")")
        assert (CHECKOUT / "docs" / page).is_file(), state.detail
    assert enabled_baselines_recorded(states).passed
    assert not list(tmp_path.iterdir())
    assert recorded_recipes(EvaluationConfig(), listed.name, Store(str(tmp_path))) == []
    assert requirements(BaselinesConfig()) == []


def test_a_recorded_command_is_a_method_of_the_next_evaluation(tmp_path, listed):
    lost = listed.given[0].name
    config = enabled(program(tmp_path, ECHO, f"names.remove({lost!r})\n", COPY))
    store = Store(str(tmp_path / "root"))
    states = record_baselines(config, listed, store)
    state = state_of(states, "theirs")
    assert (state.word, state.num_images, state.num_failures) == ("recorded", len(listed.given), 1)
    found = enabled_baselines_recorded(states)
    assert not found.passed and lost in found.sentence
    (recipe,) = recorded_recipes(config, listed.name, store)
    assert recipe.name == "theirs" and recipe.facts["gives"] == ["background"]
    records = record(listed, [recipe], Store(store.url("records/made_up")))
    table = score_all(listed.cases(), list(records.methods.values()))
    assert table.failures == {"theirs": {lost: "no background"}}
    assert (tmp_path / "root" / "records" / "made_up" / "theirs" / "list.json").is_file()
    assert asked(tmp_path) == [[case.name for case in listed.given]], "an evaluation reads baselines, and asks none"


def test_a_published_one_is_recorded_from_its_folder_and_then_no_longer_loaded(tmp_path, listed, monkeypatch):
    tiny.sdxl_inpaint().save_pretrained(tmp_path / "weights")
    section = SdxlInpainting(folder=str(tmp_path / "weights"), device="cpu", num_steps=2, size_px=64)
    config, store = enabled(sdxl_inpainting=section), Store(str(tmp_path / "root"))
    first = state_of(record_baselines(config, listed, store), "sdxl_inpainting")
    assert first.word == "recorded" and first.num_failures == 0 and first.digest
    (recipe,) = recorded_recipes(config, listed.name, store)
    assert recipe.facts["weights"] == section.weights and recipe.facts["weights_sha256"]
    assert (recipe.settings["num_steps"], recipe.settings["size_px"], recipe.settings["seed"]) == (2, 64, 0)
    kept = read_method(Store(store.url("records/made_up")), "sdxl_inpainting")
    found = [kept.answer(case) for case in listed.given]
    assert not any(isinstance(answer, Failure) for answer in found)
    assert not np.array_equal(found[0].background, found[1].background)

    def never(*_):
        raise AssertionError("loaded although everything is recorded")

    monkeypatch.setattr("evaluation.methods.published.weights.load", never)
    assert state_of(record_baselines(config, listed, store), "sdxl_inpainting") == first


def test_a_recording_outlives_its_weights_but_not_its_list(tmp_path, listed):
    tiny.sdxl_inpaint().save_pretrained(tmp_path / "weights")
    section = SdxlInpainting(folder=str(tmp_path / "weights"), device="cpu", num_steps=2, size_px=64)
    config, store = enabled(sdxl_inpainting=section), Store(str(tmp_path / "root"))
    first = state_of(record_baselines(config, listed, store), "sdxl_inpainting")
    (tmp_path / "weights").rename(tmp_path / "elsewhere")
    assert state_of(record_baselines(config, listed, store), "sdxl_inpainting") == first
    listed.given = [*listed.given[:-1], replace(listed.given[-1], name="new")]
    gone = state_of(record_baselines(config, listed, store), "sdxl_inpainting")
    assert gone.word == "not here" and "diffusers' layout" in gone.detail
    assert recorded_recipes(config, listed.name, store) == []


def test_weights_that_do_not_load_stop_no_other_baseline(tmp_path, listed):
    tiny.sdxl_inpaint().save_pretrained(tmp_path / "weights")
    index = tmp_path / "weights" / "unet" / "config.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"in_channels": 4}))
    section = SdxlInpainting(folder=str(tmp_path / "weights"), device="cpu")
    config = enabled(program(tmp_path, ECHO, COPY), sdxl_inpainting=section)
    states = record_baselines(config, listed, Store(str(tmp_path / "root")))
    assert state_of(states, "theirs").word == "recorded"
    broken = state_of(states, "sdxl_inpainting")
    assert broken.word == "did not run" and "cannot be loaded" in broken.detail
    assert not enabled_baselines_recorded(states).passed


def test_one_that_did_not_run_has_no_row_and_is_told_in_the_log(tmp_path, listed, caplog):
    config = enabled(program(tmp_path, ECHO, "sys.exit(1)\n"))
    store = Store(str(tmp_path / "root"))
    assert state_of(record_baselines(config, listed, store), "theirs").word == "did not run"
    with caplog.at_level(logging.WARNING):
        assert recorded_recipes(config, listed.name, store) == []
    assert "theirs is enabled but not recorded on made_up" in caplog.text


def test_one_that_no_longer_runs_leaves_no_recording_of_an_older_list(tmp_path, listed):
    store = Store(str(tmp_path / "root"))
    config = enabled(program(tmp_path, ECHO, COPY))
    record_baselines(config, listed, store)
    program(tmp_path, "sys.exit(1)\n")  # The same command, broken since.
    listed.given = [*listed.given[1:], replace(listed.given[0], name="new")]
    assert state_of(record_baselines(config, listed, store), "theirs").word == "did not run"
    assert recorded_recipes(config, listed.name, store) == []
    assert asked(tmp_path)[-1] == ["new"]


def test_a_recording_with_other_settings_is_refused(tmp_path, listed):
    store = Store(str(tmp_path / "root"))
    entry = program(tmp_path, ECHO, COPY)
    record_baselines(enabled(entry), listed, store)
    other = entry.model_copy(update={"command": (*entry.command, "--steps", "4")})
    with pytest.raises(BadSetup, match=r"other settings .* \(command\); record the baselines again"):
        recorded_recipes(enabled(other), listed.name, store)
    patient = entry.model_copy(update={"time_limit_s": 5})
    assert recorded_recipes(enabled(patient), listed.name, store)


def test_a_program_that_is_not_there_is_a_need(tmp_path, listed):
    entry = ExternalBaseline(name="lama", command=("no-lama-here", "{input}", "{output}"), gives=("background",))
    (requirement,) = requirements(enabled(entry).baselines)
    assert (
        not requirement.present and "no-lama-here" in requirement.found and "docs/baselines/lama.md" in requirement.fix
    )
    state = state_of(record_baselines(enabled(entry), listed, Store(str(tmp_path))), "lama")
    assert state.word == "not here" and state.title == "LaMa"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("enabled", '["sdxl"]', "there is no baseline sdxl; known: sdxl_inpainting"),
        ("enabled", '["flux_fill", "flux_fill"]', "each baseline may appear only once"),
        (
            "external",
            '[{name = "base", command = ["a", "{input}", "{output}"], gives = ["background"]}]',
            "base is the",
        ),
        ("external", '[{name = "../x", command = ["a", "{input}", "{output}"], gives = ["background"]}]', "name"),
        ("external", '[{name = "lama", command = ["a", "{input}"], gives = ["background"]}]', "must contain {output}"),
        ("external", '[{name = "lama", command = [], gives = ["background"]}]', "command"),
        ("external", '[{name = "lama", command = ["a", "{input}", "{output}"], gives = ["alpha"]}]', "gives"),
        ("flux_fill.num_steps", "0", "num_steps must be in"),
        ("flux_fill.negative_prompt", '"x"', "unknown key evaluation.baselines.flux_fill.negative_prompt"),
        ("qwen_image_layered.size_px", "512", "size_px"),
    ],
)
def test_the_profile_refuses(key, value, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        load_profile(overrides={f"evaluation.baselines.{key}": value})


def test_every_baseline_of_the_product_has_a_section():
    assert set(MODELS) == set(PUBLISHED) <= set(BaselinesConfig.model_fields)
