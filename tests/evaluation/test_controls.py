"""Controls of an adapter: whether its maps help, seen on methods of which it is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from decoupage.maps.table import MAPS
from evaluation.checks import maps_help
from evaluation.config import EvaluationConfig
from evaluation.controls import NO_MAPS, OTHER_MAPS, lender, spread
from evaluation.method import BACKGROUND, FOREGROUND, Layers, MethodRecipe
from evaluation.run import evaluate
from tests.evaluation.page.reports import Listed
from tests.evaluation.scenes import cases

# What shows of the target is told by the map of edges: a method that reads it finds the target.
GIVEN = tuple(replace(case, maps={"edges": case.visible}) for case in cases(24))
GIVES = frozenset([BACKGROUND, FOREGROUND])


class Reads:
    """An adapter that takes what the map says for the target; without a map, the mask."""

    name, gives = "adapter", GIVES

    def __init__(self):
        self.asked = []

    def __call__(self, case):
        self.asked.append(case.name)
        shows = (case.maps or {}).get("edges", case.mask)
        alpha = np.where(shows, 255, 0).astype(np.uint8)
        return Layers(np.where(shows[..., None], case.background, case.composite), np.dstack([case.composite, alpha]))


class Ignores(Reads):
    """An adapter that takes maps and does not look at them."""

    def __call__(self, case):
        return super().__call__(replace(case, maps=None))


def recipe_of(method):
    bare = MethodRecipe(NO_MAPS, GIVES, lambda: method, {"weights": "a"})
    controls = (bare, replace(bare, name=OTHER_MAPS, maps=("edges",)))
    return MethodRecipe("adapter", GIVES, lambda: method, {"weights": "a"}, maps=("edges",), controls=controls)


def judged(method, out, num_controls=32, given=GIVEN):
    config = EvaluationConfig(num_controls=num_controls)
    return evaluate(Listed(given), [recipe_of(method)], config, str(out), root=str(out)).values


@pytest.fixture(scope="module")
def helped(tmp_path_factory):
    out, method = tmp_path_factory.mktemp("helped"), Reads()
    return out, method, judged(method, out)


def test_maps_that_help_are_seen(helped):
    out, _, values = helped
    found = values["controls"]
    assert found["num_images"] == 32 and found["num_photographs"] >= 10
    assert set(found["methods"]) == {"adapter", NO_MAPS, OTHER_MAPS}
    for name in ("adapter-no_maps", "adapter-other_maps"):
        difference = found["differences"][name]["foreground"]["soft_iou"]
        assert difference["low"] > 0 and difference["num_images"] == 32
    assert maps_help(values).passed and maps_help(values).sentence.startswith("maps help: ")
    for page in ("report.html", "report.md"):
        said = (out / page).read_text()
        assert "Do the maps help?" in said and "other_maps" in said and "on 32 images" in said
    # The controls are no rows among the methods, and no scores of the list.
    assert set(values["methods"]) == {"adapter"} and NO_MAPS not in (out / "scores.csv").read_text()


def test_maps_that_are_not_looked_at_are_seen(tmp_path):
    values = judged(Ignores(), tmp_path)
    for name in ("adapter-no_maps", "adapter-other_maps"):
        for part, metric in (("background", "psnr_mask"), ("foreground", "soft_iou")):
            difference = values["controls"]["differences"][name][part][metric]
            assert difference["mean"] == difference["low"] == difference["high"] == 0
    found = maps_help(values)
    assert not found.passed and found.sentence.startswith("maps make no measurable difference: ")


def test_a_part_of_the_list_is_asked_again_and_once(helped):
    out, method, values = helped
    assert len(method.asked) == len(GIVEN) + 2 * 32
    asked = len(method.asked)
    assert judged(method, out) == values and len(method.asked) == asked
    other = replace(GIVEN[0], maps={"edges": ~GIVEN[0].visible})
    judged(method, out, given=(other, *GIVEN[1:]))
    borrowers = {name for name in method.asked[asked:] if name != other.name}
    assert method.asked[asked:].count(other.name) == 1 and len(borrowers) <= 3


def test_without_controls_nothing_is_said_of_maps(tmp_path):
    recipe = replace(recipe_of(Reads()), controls=())
    values = evaluate(Listed(GIVEN[:6]), [recipe], EvaluationConfig(), str(tmp_path)).values
    assert values["controls"] is None and maps_help(values).sentence.startswith("not examined")
    assert "Do the maps help?" not in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["controls"] is None


def test_a_list_of_one_photograph_has_no_other_scene(tmp_path):
    given = tuple(replace(case, photograph="one") for case in GIVEN[:6])
    assert set(judged(Reads(), tmp_path, given=given)["controls"]["methods"]) == {"adapter", NO_MAPS}


def test_maps_that_a_list_does_not_bring_are_made_of_the_other_scene(tmp_path):
    """As the pipeline makes an adapter's own, by the makers that it names."""
    from decoupage import AdapterConfig
    from decoupage.maps.choose import make_makers
    from decoupage.maps.config import MapsConfig

    maker = next(maker for maker in make_makers(MapsConfig()) if maker.name == "edges")
    config = AdapterConfig(maps=("edges",), map_makers={"edges": maker.recipe}, map_picture_px=64)
    given, seen = tuple(replace(case, maps=None) for case in GIVEN[:4]), {}

    class Sees(Reads):
        def __call__(self, case):
            seen.setdefault(case.name, []).append(case.maps)
            return super().__call__(case)

    recipe = replace(recipe_of(Sees()), facts={"config": config.to_dict()})
    evaluate(Listed(given), [recipe], EvaluationConfig(), str(tmp_path))
    names, photographs = [case.name for case in given], [case.photograph for case in given]
    for case in given:
        other = given[names.index(lender(case.name, names, photographs))]
        own, none, lent = seen[case.name]
        assert own is None and none == {}
        assert np.array_equal(lent["edges"], MAPS["edges"].decode(maker.pngs([other.composite])[0]))


def test_maps_are_lent_by_the_next_case_of_another_photograph():
    names, photographs = ["a0", "a1", "b0", "b1", "a2"], ["a", "a", "b", "b", "a"]
    assert [lender(name, names, photographs) for name in names] == ["b0", "b0", "a2", "a2", "b0"]
    assert lender("x", ["x", "y"], ["p", "p"]) is None


def test_the_part_is_spread_over_the_list():
    names = [str(number) for number in range(100)]
    assert spread(names, 3) == ["0", "50", "99"] and spread(names[:2], 3) == ["0", "1"]
    assert len(set(spread(names, 64))) == 64
