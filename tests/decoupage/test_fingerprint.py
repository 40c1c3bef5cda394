"""Equal recipes have equal fingerprints, and a folder holds one recipe only."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json, fingerprint
from pipelines.stages.manifest import claim
from pipelines.stages.store import Store

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
recipes = st.dictionaries(st.text(max_size=5), values, max_size=5)


@given(recipes)
def test_the_order_of_keys_does_not_matter(recipe):
    assert fingerprint(dict(reversed(recipe.items()))) == fingerprint(recipe)
    assert len(fingerprint(recipe)) == 16


@given(recipes)
def test_a_recipe_survives_its_file(recipe):
    assert fingerprint(json.loads(canonical_json(recipe))) == fingerprint(recipe)


def test_different_values_differ():
    seen = {fingerprint({"a": value}) for value in (0, 1, 0.5, "1", None, True, [1], {"b": 1})}
    assert len(seen) == 8


def test_fingerprints_do_not_move():
    """Stores in the field are marked with these; a change here would orphan them."""
    assert fingerprint({}) == "44136fa355b3678a"
    assert fingerprint({"seed": 7, "size_px": 256}) == fingerprint({"size_px": 256, "seed": 7}) == "804a5b6b37df131e"


RECIPE = {"seed": 7, "size": {"small": [0.02, 0.08], "weights": [1, 2]}}
LAYOUT = {"per_shard": 24}


def test_claiming_again_is_free(tmp_path):
    store = Store(str(tmp_path))
    claim(store, "scenes", RECIPE, LAYOUT)
    before = store.read("scenes/recipe.json")
    claim(store, "scenes", RECIPE, LAYOUT)
    assert store.read("scenes/recipe.json") == before
    assert json.loads(before)["fingerprint"] == fingerprint(RECIPE)


def test_another_recipe_is_refused_with_both_fingerprints_and_the_differing_keys(tmp_path):
    store = Store(str(tmp_path))
    claim(store, "scenes", RECIPE, LAYOUT)
    ours = {"seed": 8, "size": {"small": [0.02, 0.09], "weights": [1, 2]}, "new": 1}
    with pytest.raises(BadSetup) as refusal:
        claim(store, "scenes", ours, LAYOUT)
    message = str(refusal.value)
    assert fingerprint(RECIPE) in message
    assert fingerprint(ours) in message
    assert f"{tmp_path}/scenes" in message
    assert "seed (7 there, 8 here)" in message
    assert "size.small ([0.02, 0.08] there, [0.02, 0.09] here)" in message
    assert "new (None there, 1 here)" in message
    assert "weights" not in message
    assert "choose another root" in message


def test_another_layout_is_refused(tmp_path):
    store = Store(str(tmp_path))
    claim(store, "scenes", RECIPE, LAYOUT)
    with pytest.raises(BadSetup, match=r"per_shard \(24 there, 25 here\)"):
        claim(store, "scenes", RECIPE, {"per_shard": 25})
    assert json.loads(store.read("scenes/recipe.json"))["layout"] == LAYOUT


def test_other_stages_are_not_concerned(tmp_path):
    store = Store(str(tmp_path))
    claim(store, "scenes", RECIPE, LAYOUT)
    claim(store, "edges", {"low": 100}, LAYOUT)
    assert json.loads(store.read("edges/recipe.json"))["recipe"] == {"low": 100}
