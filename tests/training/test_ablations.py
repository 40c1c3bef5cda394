"""Ablations as changes: of the paper's recipe they are the recipes of the same names; other recipes have them, too."""

import pytest

from training.ablations import FULL, ROWS, DoesNotApply, ablation_changes
from training.config import with_changes
from training.recipes import RECIPES, demo, find_recipe, paper

BOTH = ("real", "generated")
OWN_DATA = {"no_generated_foregrounds"}


@pytest.mark.parametrize("row", [row for row in ROWS if row not in OWN_DATA])
def test_of_the_papers_recipe_they_are_the_recipes_of_that_name(row):
    assert with_changes(paper(), ablation_changes(row, paper(), BOTH)) == find_recipe(row)


def test_each_changes_one_thing_in_the_demo_and_no_two_are_the_same():
    made = {}
    for row in ROWS:
        changes = {} if row == "kontext_base" else ablation_changes(row, demo(), BOTH)
        if row != "kontext_base" and row not in OWN_DATA:
            assert len(changes) == (row != FULL)
            made[row] = with_changes(demo(), changes).fingerprint()
    assert len(set(made.values())) == len(made) == 10
    assert ablation_changes("rank_128", demo(), BOTH) == {"adapter.rank": demo().adapter.rank // 2}


@pytest.mark.parametrize(
    ("row", "changes", "kinds", "why"),
    [
        ("kontext_base", {"adapter.base": "small-fill"}, BOTH, "the base small-fill has no"),
        ("no_fused_context", {"adapter.maps": ()}, BOTH, "takes no maps"),
        ("no_depth", {"adapter.maps": ("edges",)}, BOTH, "does not take the map of depth"),
        ("no_foreground_context", {"adapter.foreground_context": "background"}, BOTH, "already"),
        ("no_generated_foregrounds", {}, ("generated",), "nothing would be left"),
        ("no_generated_foregrounds", {}, ("real",), "anyway"),
        ("rank_128", {"adapter.rank": 1}, BOTH, "is the same rank"),
    ],
)
def test_a_row_that_a_recipe_cannot_have_says_why(row, changes, kinds, why):
    with pytest.raises(DoesNotApply, match=why):
        ablation_changes(row, with_changes(paper(), changes), kinds)


def test_one_row_changes_the_data_and_nothing_of_the_recipe():
    assert {row for row, ablation in ROWS.items() if ablation.data_changes} == OWN_DATA
    assert ablation_changes("no_generated_foregrounds", paper(), BOTH) == {}
    assert ROWS["no_generated_foregrounds"].data_changes == {"scenes.generated_share": 0.0}
    assert not OWN_DATA & set(RECIPES)


def test_an_unknown_row_names_the_known_ones():
    with pytest.raises(ValueError, match=r"known: paper, rank_128") as found:
        ablation_changes("no_luck", paper(), BOTH)
    assert not isinstance(found.value, DoesNotApply)
