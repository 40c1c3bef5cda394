"""Small studies for the tests: pictures that are told apart by their colour, and raters who know what they like."""

from dataclasses import replace

import numpy as np

from evaluation.config import StudyConfig
from evaluation.method import Layers
from evaluation.records.ask import record
from evaluation.study.build import build_study
from evaluation.study.plan import SOUND
from pipelines.stages.store import Store
from tests.evaluation.scenes import Known, cases, recipe_of

CONFIG = StudyConfig(
    aspects=("background",), num_panes=2, num_images=4, num_raters=3, attention_share=0.2, repeat_share=0.25
)


class Listed:
    """Cases of random scenes as a test set."""

    name = "listed"
    about = {"test_set": "listed"}

    def __init__(self, num_scenes=4):
        self.given = [replace(case, maps=None) for case in cases(num_scenes, 32)]

    def cases(self, names=None):
        return (case for case in self.given if names is None or case.name in names)


def painter(name, colour, broken=()):
    """Answers every case with one colour; the cases in `broken` not at all."""

    def paint(case):
        if case.name in broken:
            raise RuntimeError("out of paint")
        height, width = case.size
        picture = np.full((height, width, 3), colour, np.uint8)
        return Layers(picture, np.dstack([picture, case.mask.astype(np.uint8) * 255]))

    return Known(name, paint)


def small_study(folder, config=CONFIG, broken=(), methods=("adapter", "base", "telea")):
    """A study of painters; those of the last method's cases that are in `broken` are missing."""
    painters = [
        painter(name, (60 * i + 40, 90, 120), broken if name == methods[-1] else ()) for i, name in enumerate(methods)
    ]
    return build_study(recorded(folder / "records", *painters), config, folder / "study")


def recorded(folder, *methods, names=None):
    """What methods make of the list."""
    return record(Listed(), [recipe_of(method) for method in methods], Store(str(folder)), names)


def choice_of(question, liking):
    """The answer of somebody who likes methods in this order and sees what is broken."""
    if question.kind == "attention":
        return str(question.panes.index(SOUND) + 1)
    return str(question.panes.index(min(question.panes, key=liking.index)) + 1)


def answer_all(study, votes, token, choose):
    """Enter a rater who answers every question by `choose(question)`."""
    votes.add_rater(token, "somebody")
    for question_id, question in study.questions(token).items():
        votes.add(token, question_id, choose(question), 2.5)
