"""The pictures of a report: which cases are worth showing, and every method's output for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.cases import Case
from evaluation.method import Answered, Failure, Layers
from evaluation.rivals import MAIN, SIMPLE, SIMPLE_NAMES
from evaluation.scores import ScoreTable
from evaluation.test_sets.spec import TestSet

NUM_EACH = 4
"""Cases shown of the best, of the median and of the worst; and of those without an output."""
NUM_SPREAD = 6
"""Scenes shown that are spread evenly over the list: neighbours may share a background."""
NUM_ANSWER = 3
"""Of these scenes, those in the answer's pictures, beside the median and the worst case."""
FIRST = ("adapter", "base")
"""Shown before all others; the first of the shown methods decides what is best and worst."""
MAX_METHODS = 6
"""Methods whose pictures are shown, so that a page has a bounded weight."""
TILE_PX = 160


@dataclass(frozen=True)
class Example:
    """A case to show.

    Attributes:
        answers: of the methods shown, in the order in which they are shown.
        groups: why it is shown: `best`, `median`, `worst`, `failed`, `spread`.
        psnr_mask_db: of the method by which cases were ranked; None = not measured.
        rival_db: of the best simple method; None = not measured.
        why_answer: why it is among the answer's pictures, in words; empty where it is not.
    """

    case: Case
    answers: Mapping[str, Layers | Failure]
    groups: frozenset[str]
    psnr_mask_db: float | None
    rival_db: float | None = None
    why_answer: str = ""


@dataclass(frozen=True)
class Choice:
    """Names of cases with the reasons why they are shown, and the ranking they come from.

    Attributes:
        shown: methods whose pictures are shown.
        ranked_by: the first of them.
        rival: the best simple method; None = there is none.
        answer: cases of the answer's pictures -> why.
        psnr_mask_db, rival_db: of `ranked_by` and of `rival`, where measured.
    """

    groups: Mapping[str, frozenset[str]]
    shown: Sequence[str]
    ranked_by: str
    rival: str | None
    answer: Mapping[str, str]
    psnr_mask_db: Mapping[str, float]
    rival_db: Mapping[str, float]


def best_fill(table: ScoreTable) -> str | None:
    """The simple method with the best background, as `evaluation.rivals` has it of a report."""
    columns = {name: _psnr(table, name) for name in SIMPLE["background"] if name in table.values}
    means = {name: float(np.mean(list(found.values()))) for name, found in columns.items() if found}
    return max(means, key=means.__getitem__) if means else None


def shown_methods(methods: Sequence[str], rival: str | None = None) -> list[str]:
    """Names of the methods whose pictures are shown, in order: without controls and all simple ones but the best."""
    first = [name for name in (FIRST[0], rival, *FIRST[1:]) if name in methods and name is not None]
    hidden = ("input", *SIMPLE_NAMES)
    shown = [*first, *(name for name in methods if name not in (*first, *hidden))][:MAX_METHODS]
    return shown or list(methods)[:MAX_METHODS]


def choose_examples(table: ScoreTable) -> Choice:
    """Best, median and worst by the background where the target shows, failures, and scenes all over the list."""
    rival = best_fill(table)
    shown = shown_methods(table.methods, rival)
    names, measured = table.names, _psnr(table, shown[0])
    order = sorted(measured, key=lambda name: -measured[name])
    median = max(0, (len(order) - NUM_EACH) // 2)
    case_of = dict(reversed(list(zip(table.scenes, names, strict=True))))
    scenes = list(case_of)[::-1]
    spread = [case_of[scenes[place]] for place in _places(len(scenes), NUM_SPREAD)]
    failed = [name for method in shown for name in list(table.failures[method])[:NUM_EACH]]
    chosen: dict[str, set[str]] = {}
    for group, members in (
        ("best", order[:NUM_EACH]),
        ("median", order[median : median + NUM_EACH]),
        ("worst", order[::-1][:NUM_EACH]),
        ("failed", failed[:NUM_EACH]),
        ("spread", spread),
    ):
        for name in members:
            chosen.setdefault(name, set()).add(group)
    answer = dict.fromkeys((spread[place] for place in _places(len(spread), NUM_ANSWER)), "spread over the list")
    if order:
        answer |= {order[(len(order) - 1) // 2]: "median", order[-1]: "worst"}
    return Choice(
        {name: frozenset(groups) for name, groups in chosen.items()},
        shown,
        shown[0],
        rival,
        {name: answer[name] for name in names if name in answer},
        measured,
        {} if rival is None else _psnr(table, rival),
    )


def make_examples(test_set: TestSet, methods: Sequence[Answered], choice: Choice) -> list[Example]:
    """The chosen cases in the list's order, each with the answer of every method that is shown."""
    by_name = {method.name: method for method in methods}
    return [
        Example(
            case,
            {name: by_name[name].answer(case) for name in choice.shown},
            choice.groups[case.name],
            choice.psnr_mask_db.get(case.name),
            choice.rival_db.get(case.name),
            choice.answer.get(case.name, ""),
        )
        for case in test_set.cases(choice.groups.keys())
    ]


def _places(number: int, most: int) -> list[int]:
    """Places of at most this many, spread evenly over a number of things."""
    return [int(place) for place in np.linspace(0, number - 1, min(most, number)).round()]


def _psnr(table: ScoreTable, method: str) -> dict[str, float]:
    """Case -> a method's main metric of the background, where it was measured."""
    column = table.column(method, "background", MAIN["background"])
    return {name: float(value) for name, value in zip(table.names, column, strict=True) if not np.isnan(value)}
