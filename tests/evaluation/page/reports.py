"""A small evaluation in a folder, with a method that fails, for the tests of its pages."""

from dataclasses import dataclass

from evaluation.config import EvaluationConfig
from evaluation.method import Layers
from evaluation.methods.classical import classical_recipes
from evaluation.report import About
from evaluation.run import judge
from tests.evaluation.scenes import Known, cases, recipe_of

NUM_SCENES = 12
STAND_INS = {"graph <regions>": "SegFormer & Co"}
MODELS = {"adapter": {"base": "small-fill", "files": {"fusion.safetensors": "ab" * 32}}}


@dataclass(frozen=True)
class Listed:
    """A test set of cases that lie in memory."""

    given: tuple
    name: str = "held_out"

    @property
    def about(self):
        return {"test_set": self.name}

    def cases(self, names=None):
        return (case for case in self.given if names is None or case.name in names)


def fails_on(names, reason="out of | memory <here>"):
    """A base that has no output for some cases."""

    def base(case):
        if case.name in names:
            raise RuntimeError(reason)
        return Layers(case.background // 2 + case.composite // 2)

    return Known("base", base, ["background"])


def judged(out, given=None, methods=None, draws=200):
    """Evaluates into a folder, without its pages; gives the report."""
    given = tuple(given or cases(NUM_SCENES))
    adapter = Known("adapter", lambda case: Layers(case.background ^ 8, case.foreground))
    ours = [recipe_of(fails_on({given[min(2, len(given) - 1)].name})), recipe_of(adapter, **MODELS["adapter"])]
    config = EvaluationConfig(num_steps=1, bootstrap_draws=draws)
    return judge(Listed(given), methods or [*classical_recipes(), *ours], config, str(out), About("demo", STAND_INS))
