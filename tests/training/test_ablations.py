"""Ablations as changes: of the paper's recipe they are the recipes of the same names; other recipes have them, too."""

import pytest

from training.ablations import FULL, ROWS, DoesNotApply, ablation_changes
from training.config import with_changes
from training.recipes import demo, find_recipe, paper

BOTH = ("real", "generated")


@pytest.mark.parametrize("row", ROWS)
def test_of_the_papers_recipe_they_are_the_recipes_of_that_name(row):
    assert with_changes(paper(), ablation_changes(row, paper(), BOTH)) == find_recipe(row)


def test_each_changes_one_thing_in_the_demo_and_no_two_are_the_same():
    made = {}
    for row in ROWS:
        if row != "kontext_base":
            changes = ablation_changes(row, demo(), BOTH)
            assert len(changes) == (row != FULL)
            made[row] = with_changes(demo(), changes).fingerprint()
    assert len(set(made.values())) == len(made) == 11
    assert ablation_changes("rank_128", demo(), BOTH) == {"adapter.rank": demo().adapter.rank // 2}


@pytest.mark.parametrize(
    ("row", "changes", "kinds", "why"),
    [
        ("kontext_base", {"adapter.base": "tiny-fill"}, BOTH, "of the base tiny-fill"),
        ("no_fused_context", {"adapter.maps": ()}, BOTH, "takes no maps"),
        ("no_depth", {"adapter.maps": ("edges",)}, BOTH, "does not take the map of depth"),
        ("no_foreground_context", {"adapter.foreground_context": "background"}, BOTH, "already"),
        ("no_generated_foregrounds", {}, ("generated",), "nothing would be left"),
        ("no_generated_foregrounds", {}, ("real",), "anyway"),
        ("no_generated_foregrounds", {"data.foreground_kinds": ("real",)}, BOTH, "anyway"),
        ("rank_128", {"adapter.rank": 1}, BOTH, "is no other rank"),
    ],
)
def test_a_row_that_a_recipe_cannot_have_says_why(row, changes, kinds, why):
    with pytest.raises(DoesNotApply, match=why):
        ablation_changes(row, with_changes(paper(), changes), kinds)


def test_an_unknown_row_names_the_known_ones():
    with pytest.raises(ValueError, match=r"known: paper, rank_128") as found:
        ablation_changes("no_luck", paper(), BOTH)
    assert not isinstance(found.value, DoesNotApply)
