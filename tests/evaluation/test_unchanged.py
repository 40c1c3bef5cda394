"""An evaluation of the same question is not made again; any part of the question that changes makes it anew."""

import shutil
from dataclasses import replace

import pytest

from evaluation.config import EvaluationConfig
from evaluation.method import Failure, Layers
from evaluation.methods.classical import classical_recipes
from evaluation.report import About
from evaluation.unchanged import FILES, QUESTION, judge_changed
from pipelines.stages.store import Store
from tests.evaluation.page.reports import Listed
from tests.evaluation.scenes import Known, cases, recipe_of

CONFIG = EvaluationConfig(num_steps=1, bootstrap_draws=100)
METHODS = (*classical_recipes(), recipe_of(Known("base", lambda case: Layers(case.background), ["background"])))


def judge(root, contents="a", methods=METHODS, config=CONFIG, about="demo"):
    asked = (Listed(tuple(cases(3))), contents, methods, config, str(root / "report"), About(about), Store(str(root)))
    return judge_changed(*asked)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    made = tmp_path_factory.mktemp("judged")
    assert judge(made)[1]
    return made


@pytest.fixture
def root(judged, tmp_path):
    return shutil.copytree(judged, tmp_path / "root")


def test_the_same_question_is_answered_from_the_files(root):
    before = {name: (root / "report" / name).read_bytes() for name in FILES}
    values, made_now = judge(root)
    assert not made_now and set(values["methods"]) == {method.name for method in METHODS}
    assert before == {name: (root / "report" / name).read_bytes() for name in FILES}


@pytest.mark.parametrize(
    "changed",
    [
        {"contents": "b"},
        {"methods": METHODS[:-1]},
        {"methods": (*METHODS[:-1], replace(METHODS[-1], settings={"seed": 2}))},
        {"config": CONFIG.model_copy(update={"bootstrap_draws": 120})},
        {"about": "paper"},
    ],
    ids=["list", "fewer methods", "a method's settings", "settings", "profile"],
)
def test_another_question_is_judged(root, changed):
    assert judge(root, **changed)[1]
    assert not judge(root, **changed)[1]


@pytest.mark.parametrize("name", [*FILES, QUESTION])
@pytest.mark.parametrize("damage", [None, b"{"], ids=["lost", "damaged"])
def test_what_is_lost_or_damaged_is_made_anew(root, name, damage):
    path = root / "report" / name
    whole = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage)
    assert judge(root)[1] and path.read_bytes() == whole


def test_a_damaged_answer_is_asked_for_again(root):
    picture = next((root / "records" / "held_out" / "telea").glob("*.background.png"))
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-20])
    assert judge(root)[1] and picture.read_bytes() == whole


def test_failures_are_asked_again_each_time(tmp_path):
    answers = [Failure("out of memory"), Layers(cases(3)[0].background)]
    moody = recipe_of(
        Known("base", lambda case: answers[0] if len(answers) > 1 else Layers(case.background), ["background"])
    )
    assert judge(tmp_path, methods=(moody,))[1]
    answers.pop(0)
    assert judge(tmp_path, methods=(moody,))[1]
    assert not judge(tmp_path, methods=(moody,))[1]
