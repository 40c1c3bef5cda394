"""The pictures of a report: which cases are worth showing, and every method's output for them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from decoupage.images.contact_sheet import Tile, draw_sheet
from decoupage.images.types import Array, Mask
from evaluation.cases import Case
from evaluation.method import Answered, Failure, Layers
from evaluation.scores import ScoreTable
from evaluation.test_sets.spec import TestSet

NUM_EACH = 4
"""Cases shown of the best, of the median and of the worst; and of those without an output."""
NUM_SPREAD = 6
"""Scenes in `before_after.png`, spread evenly over the list: neighbours may share a background."""
FIRST = ("adapter", "base")
"""Shown before all others; the first of the shown methods decides what is best and worst."""
NOT_SHOWN = ("input", "given_mask", "telea_grown", "navier_stokes")
"""Controls, and what looks like `telea`."""
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
    """

    case: Case
    answers: Mapping[str, Layers | Failure]
    groups: frozenset[str]
    psnr_mask_db: float | None


@dataclass(frozen=True)
class Choice:
    """Names of cases with the reasons why they are shown, and the ranking they come from."""

    groups: Mapping[str, frozenset[str]]
    ranked_by: str
    psnr_mask_db: Mapping[str, float]


def shown_methods(methods: Sequence[str]) -> list[str]:
    """The methods that are shown, in that order."""
    first = [name for name in FIRST if name in methods]
    shown = [*first, *(name for name in methods if name not in (*FIRST, *NOT_SHOWN))][:MAX_METHODS]
    return shown or list(methods)[:MAX_METHODS]


def choose_examples(table: ScoreTable) -> Choice:
    """Best, median and worst by the background where the target shows, failures, and scenes all over the list."""
    shown = shown_methods(table.methods)
    ranked_by = shown[0]
    psnr_db = table.column(ranked_by, "background", "psnr_mask")
    names = table.names
    order = [names[i] for i in np.argsort(-psnr_db, kind="stable") if not np.isnan(psnr_db[i])]
    median = max(0, (len(order) - NUM_EACH) // 2)
    case_of = dict(reversed(list(zip(table.scenes, names, strict=True))))
    scenes = list(case_of)[::-1]
    places = np.linspace(0, len(scenes) - 1, min(NUM_SPREAD, len(scenes))).round().astype(int)
    failed = [name for method in shown for name in list(table.failures[method])[:NUM_EACH]]
    chosen: dict[str, set[str]] = {}
    for group, members in (
        ("best", order[:NUM_EACH]),
        ("median", order[median : median + NUM_EACH]),
        ("worst", order[::-1][:NUM_EACH]),
        ("failed", failed[:NUM_EACH]),
        ("spread", [case_of[scenes[i]] for i in places]),
    ):
        for name in members:
            chosen.setdefault(name, set()).add(group)
    measured = {name: float(value) for name, value in zip(names, psnr_db, strict=True) if not np.isnan(value)}
    return Choice({name: frozenset(groups) for name, groups in chosen.items()}, ranked_by, measured)


def make_examples(test_set: TestSet, methods: Sequence[Answered], choice: Choice) -> list[Example]:
    """The chosen cases in the list's order, each with the answer of every method that is shown."""
    by_name = {method.name: method for method in methods}
    shown = [by_name[name] for name in shown_methods(list(by_name))]
    return [
        Example(
            case,
            {method.name: method.answer(case) for method in shown},
            choice.groups[case.name],
            choice.psnr_mask_db.get(case.name),
        )
        for case in test_set.cases(choice.groups.keys())
    ]


def pictures(example: Example) -> dict[str, tuple[Array, Mask | None]]:
    """Caption -> (picture, mask to draw over it), in the order of a row: given, made, true."""
    case = example.case
    row: dict[str, tuple[Array, Mask | None]] = {"picture and mask": (case.composite, case.mask)}
    for name, answer in reversed(list(example.answers.items())):
        if isinstance(answer, Layers):
            if answer.background is not None:
                row[f"{name}: background"] = (answer.background, None)
            if answer.foreground is not None:
                row[f"{name}: foreground"] = (answer.foreground, None)
    for caption, truth in (("true background", case.background), ("true foreground", case.foreground)):
        if truth is not None:
            row[caption] = (truth, None)
    return row


def before_after(examples: Sequence[Example]) -> bytes:
    """A PNG: one row for each of the scenes spread over the list; gray where a method has no output."""
    rows = [pictures(example) for example in examples if "spread" in example.groups]
    captions = max((list(row) for row in rows), key=len)
    gray = np.full((TILE_PX, TILE_PX, 3), 225, np.uint8)
    tiles = []
    for row in rows:
        for caption in captions:
            picture, mask = row.get(caption, (gray, None))
            tiles.append(Tile(picture, caption, mask))
    sheet = draw_sheet(tiles, len(captions), TILE_PX)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
