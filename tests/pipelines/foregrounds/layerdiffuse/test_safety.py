"""The safety filter over a tiny checker in the published form: people alone are judged, refusals are counted drops."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from decoupage.faults import BadItem, BadSetup
from pipelines.config import GateConfig, GeneratedConfig
from pipelines.config.foregrounds import SafetyFilterConfig
from pipelines.foregrounds.generated_stage import GeneratedForegrounds
from pipelines.foregrounds.layerdiffuse.safety import SHOWS_PEOPLE, SafetyFilter
from pipelines.foregrounds.layerdiffuse.weights import requirements
from pipelines.foregrounds.prompts import Prompt, given_prompts
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import save_checker

GATES = GateConfig(min_side_px=16, min_area_px=200)
WOMAN, DOG = Prompt("human", "young woman"), Prompt("animal", "dog")


def safety(folder: Path) -> SafetyFilterConfig:
    return SafetyFilterConfig(use=True, folder=str(folder))


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 48, 4), np.uint8)


def test_people_are_refused_by_the_checker_and_other_things_are_not_asked_about(tmp_path: Path) -> None:
    strict, lax = (SafetyFilter(safety(save_checker(tmp_path / str(limit), limit))) for limit in (-1.0, 1.0))
    with pytest.raises(BadItem, match="refused a picture of 'young woman'") as fault:
        strict.judge(picture(), WOMAN)
    assert fault.value.reason == "unsafe"
    with pytest.raises(BadItem, match="swimsuit"):
        strict.judge(picture(), Prompt("clothes", "swimsuit"))
    strict.judge(picture(), DOG)
    lax.judge(picture(), WOMAN)


def test_the_stage_drops_what_is_refused_and_keeps_the_rest(tmp_path: Path) -> None:
    config = GeneratedConfig(safety_filter=safety(save_checker(tmp_path / "c", -1)))
    people = [prompt for prompt in given_prompts(config) if prompt.category in SHOWS_PEOPLE]
    stage = GeneratedForegrounds(config, GATES)
    report = run_stage(stage, Store(str(tmp_path / "root")), SerialEngine())
    assert [drop["reason"] for drop in report.drops] == ["unsafe"] * len(people)
    assert report.num_items == len(given_prompts(config)) - len(people) > len(people) > 0
    plain = GeneratedForegrounds(config.model_copy(update={"safety_filter": SafetyFilterConfig()}), GATES)
    assert "safety_filter" not in plain.recipe and stage.recipe != plain.recipe


def test_missing_weights_stop_it_before_work_starts_where_people_are_to_be_made(tmp_path: Path) -> None:
    config = GeneratedConfig(num_shards=1, safety_filter=safety(tmp_path / "none"))
    for prompts, stops in (([WOMAN], True), ([DOG], False)):
        stage = GeneratedForegrounds(config, GATES, lambda prompts=prompts: prompts)
        if stops:
            with pytest.raises(BadSetup, match=r"safety_filter.*generated\.safety_filter\.folder"):
                stage.inputs("00000")
        else:
            assert stage.inputs("00000")
    (requirement,) = requirements(config)
    assert not requirement.present and "--revision refs/pr/41" in requirement.fix
    assert requirements(GeneratedConfig()) == []


def test_a_file_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    folder = save_checker(tmp_path / "c", 1.0)
    tensors = load_file(folder / "model.safetensors")
    del tensors["concept_embeds"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadSetup, match="lacks 1 tensors, such as concept_embeds"):
        SafetyFilter(safety(folder)).judge(picture(), WOMAN)


def test_a_checker_that_would_let_everything_pass_is_refused(tmp_path: Path) -> None:
    folder = save_checker(tmp_path / "c", -1.0)
    tensors = load_file(folder / "model.safetensors")
    tensors["visual_projection.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadSetup, match=r"not finite, in visual_projection\.weight"):
        SafetyFilter(safety(folder)).judge(picture(), WOMAN)
