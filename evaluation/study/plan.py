"""The plan: all comparisons of a study, and for each rater which ones, in what order, and on which sides.

Pure functions of the study's seed and the rater's token. Pictures, storage and answers are not known here.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from decoupage.randomness import generator, hash64
from evaluation.config import Aspect, StudyConfig

Kind = Literal["plain", "attention", "repeat"]
SOUND, BROKEN = "sound", "broken"
"""Panes of an attention question: a method's picture, and a copy of it that is plainly destroyed."""
REPEAT_GAP = 4
"""Least number of other questions before a repeated one, if that many are left."""


@dataclass(frozen=True)
class Comparison:
    """Methods to be compared on one case.

    Attributes:
        shown: methods that have a picture, in the study's order.
        missing: methods without one; each loses to each shown one by rule.
    """

    aspect: Aspect
    case: str
    shown: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def can_be_asked(self) -> bool:
        """Whether there are at least two pictures to compare."""
        return len(self.shown) > 1


@dataclass(frozen=True)
class Question:
    """One screen of one rater.

    Attributes:
        kind: `repeat` = asked before; `attention` = has a right answer.
        panes: what is shown from left to right: methods, or `sound`, `broken`, `broken` on an attention question.
        comparison: the comparison that it belongs to; for an attention question `shown[0]` is its method.
    """

    kind: Kind
    comparison: Comparison
    panes: tuple[str, ...]


def choose_cases(names: Sequence[str], config: StudyConfig) -> list[str]:
    """The cases that the study takes from a list, in the list's order; the choice depends on seed and names only."""
    chosen = set(sorted(names, key=lambda name: (hash64(config.seed, "study.cases", name), name))[: config.num_images])
    return [name for name in names if name in chosen]


def comparisons(
    config: StudyConfig, methods: Sequence[str], cases: Sequence[str], state: Callable[[Aspect, str, str], bool | None]
) -> list[Comparison]:
    """Every set of `num_panes` methods on every case, for every aspect.

    Where an aspect has fewer methods than panes, all of them are shown side by side.

    Args:
        config: the study's settings.
        methods: names of the methods.
        cases: names of the cases.
        state: says for (aspect, method, case) whether there is a picture; None = the method does not promise one.
    """
    found = []
    for aspect in config.aspects:
        promised = [method for method in methods if any(state(aspect, method, case) is not None for case in cases)]
        if len(promised) < 2:
            continue
        for case in cases:
            for group in combinations(promised, min(config.num_panes, len(promised))):
                shown = tuple(method for method in group if state(aspect, method, case))
                missing = tuple(method for method in group if method not in shown)
                if shown:
                    found.append(Comparison(aspect, case, shown, missing))
    return found


def attention_pool(asked: Sequence[Comparison], config: StudyConfig) -> list[Comparison]:
    """Comparisons that attention questions are made from: one method on one case each, enough for any rater."""
    number = _share(config.attention_share, min(len(asked), config.max_questions or len(asked)))
    rng = generator(config.seed, "study.attention", len(asked))
    chosen = [asked[i] for i in sorted(rng.permutation(len(asked))[:number])]
    return [Comparison(c.aspect, c.case, (c.shown[rng.integers(len(c.shown))],)) for c in chosen]


def questions_for(
    config: StudyConfig, every: Iterable[Comparison], attention: Sequence[Comparison], rater: str
) -> list[Question]:
    """All questions of a rater, in order."""
    rng = generator(config.seed, "study.rater", rater)
    asked = [comparison for comparison in every if comparison.can_be_asked]
    chosen = [asked[i] for i in rng.permutation(len(asked))[: config.max_questions]]
    number = len(chosen)
    # Each question with its place in the order; fractions put others between the plain ones.
    placed = [(float(i), Question("plain", chosen[i], _shuffled(chosen[i].shown, rng))) for i in range(number)]
    for i in rng.permutation(number)[: _share(config.repeat_share, number)]:
        place = rng.uniform(min(i + REPEAT_GAP, number - 1), number)
        placed.append((place, Question("repeat", chosen[i], _shuffled(chosen[i].shown, rng))))
    for comparison in attention:
        panes = (SOUND, *[BROKEN] * (config.num_panes - 1))
        placed.append((rng.uniform(0, number), Question("attention", comparison, _shuffled(panes, rng))))
    return [question for _, question in sorted(placed, key=lambda pair: pair[0])]


def _shuffled(panes: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(panes[i] for i in rng.permutation(len(panes)))


def _share(share: float, number: int) -> int:
    return min(number, math.ceil(share * number))
