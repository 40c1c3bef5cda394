"""What a report shows: the right cases, a bounded number of pictures of bounded size, and nothing invented."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from evaluation import gallery_file
from evaluation.cases import list_sha256
from evaluation.config import EvaluationConfig
from evaluation.gallery import (
    MAX_METHODS,
    NUM_ANSWER,
    NUM_EACH,
    NUM_SPREAD,
    choose_examples,
    make_examples,
    shown_methods,
)
from evaluation.gallery_file import outline_path
from evaluation.method import Layers
from evaluation.methods.classical import classical_methods
from evaluation.report import About, make_report
from evaluation.rivals import best_rivals
from evaluation.run import score_all
from tests.evaluation.page.reports import Listed, fails_on
from tests.evaluation.scenes import Direct, Known, cases, truth

NUM_SCENES = 16


def worse_and_worse(given):
    """A method whose background is worse with each case of a list."""
    by = {case.name: 3 * (1 + place) for place, case in enumerate(given)}

    def adapter(case):
        levels = case.background.astype(np.int32)
        return Layers(
            np.where(levels < 128, levels + by[case.name], levels - by[case.name]).astype(np.uint8), case.foreground
        )

    return Known("adapter", adapter)


@pytest.fixture(scope="module")
def given():
    return cases(NUM_SCENES)


def test_best_median_and_worst_are_those_by_score(given):
    table = score_all(given, [truth, worse_and_worse(given)])
    choice = choose_examples(table)
    assert choice.ranked_by == "adapter"
    names = [case.name for case in given]
    group = lambda word: {name for name, groups in choice.groups.items() if word in groups}  # noqa: E731
    assert group("best") == set(names[:NUM_EACH]) and group("worst") == set(names[-NUM_EACH:])
    middle = (len(names) - NUM_EACH) // 2
    assert group("median") == set(names[middle : middle + NUM_EACH])
    spread = group("spread")
    scenes = [name.rpartition("-")[0] for name in spread]
    assert len(spread) == len(set(scenes)) == NUM_SPREAD and group("failed") == set()


def test_failures_are_shown_but_few(given):
    failing = {case.name for case in given[5:15]}
    table = score_all(given, [fails_on(failing), worse_and_worse(given)])
    choice = choose_examples(table)
    failed = {name for name, groups in choice.groups.items() if "failed" in groups}
    assert len(failed) == NUM_EACH and failed < failing
    assert len(choice.groups) <= 4 * NUM_EACH + NUM_SPREAD


def test_the_adapter_comes_first_then_its_best_rival_and_controls_are_left_out():
    ours = ["input", "given_mask", "telea", "smooth", "base", "adapter"]
    assert shown_methods(ours, "smooth") == ["adapter", "smooth", "base"]
    assert shown_methods(ours, "telea") == ["adapter", "telea", "base"]
    many = [f"method_{number}" for number in range(20)]
    assert len(shown_methods([*many, "adapter"])) == MAX_METHODS and shown_methods([*many, "adapter"])[0] == "adapter"
    assert shown_methods(["input"]) == ["input"]


def test_the_rival_whose_pictures_are_shown_is_the_reports(given):
    fills = [recipe for recipe in classical_methods() if recipe.name in ("telea", "navier_stokes", "smooth")]
    table = score_all(given, [*map(Direct, fills), worse_and_worse(given)])
    choice = choose_examples(table)
    methods = make_report(table, EvaluationConfig(), About()).values["methods"]
    assert choice.rival == best_rivals(methods)["background"] and choice.shown == ["adapter", choice.rival]
    assert choice.rival_db.keys() == choice.psnr_mask_db.keys()


def test_the_answer_shows_scenes_of_the_whole_list_the_median_and_the_worst(given):
    choice = choose_examples(score_all(given, [truth, worse_and_worse(given)]))
    names = [case.name for case in given]
    why = choice.answer
    assert list(why) == sorted(why, key=names.index) and why.keys() <= choice.groups.keys()
    assert why[names[-1]] == "worst" and why[names[(len(names) - 1) // 2]] == "median"
    scenes = [name.rpartition("-")[0] for name, word in why.items() if word == "spread over the list"]
    assert NUM_ANSWER - 2 <= len(scenes) == len(set(scenes)) <= NUM_ANSWER


def test_the_file_holds_what_the_methods_made(given, monkeypatch):
    monkeypatch.setattr(gallery_file, "SHOWN_PX", 32)
    some = given[:3]
    methods = [worse_and_worse(given), fails_on({some[1].name}, "no memory")]
    table = score_all(some, methods)
    examples = make_examples(Listed(tuple(some)), methods, choose_examples(table))
    found = json.loads(gallery_file.gallery_file(list_sha256(table.entries), "adapter", examples))
    assert [example["name"] for example in found["examples"]] == [case.name for case in some]
    for example, case in zip(found["examples"], some, strict=True):
        by = {(picture["by"], picture["what"]): picture for picture in example["pictures"]}
        assert {("given", "composite"), ("truth", "foreground"), ("adapter", "background")} <= set(by)
        assert (example["width_px"], example["height_px"]) == (32, 32) and example["outline"].startswith("M")
        pictures = {key: picture for key, picture in by.items() if picture["uri"]}
        for (_, what), picture in pictures.items():
            image = Image.open(io.BytesIO(base64.b64decode(picture["uri"].partition(",")[2])))
            assert image.size == (32, 32) and image.mode == ("RGBA" if what == "foreground" else "RGB")
        made = Image.open(io.BytesIO(base64.b64decode(by["adapter", "foreground"]["uri"].partition(",")[2])))
        small = np.asarray(Image.fromarray(case.foreground[..., 3]).resize((32, 32), Image.Resampling.BOX), np.float64)
        assert abs(np.asarray(made)[..., 3].mean() - small.mean()) < 3
    failed = {picture["by"]: picture for picture in found["examples"][1]["pictures"]}["base"]
    assert failed["uri"] is None and failed["reason"] == "RuntimeError: no memory"


def test_an_outline_runs_along_its_mask():
    for case in cases(4):
        corners = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", outline_path(case.mask))]
        inside = [case.mask[int(y), int(x)] for x, y in corners]
        rows, columns = np.nonzero(case.mask)
        assert all(inside)
        assert min(x for x, _ in corners) == columns.min() + 0.5 and max(y for _, y in corners) == rows.max() + 0.5
    assert outline_path(np.zeros((4, 4), bool)) == ""
