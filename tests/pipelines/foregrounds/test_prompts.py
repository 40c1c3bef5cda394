"""Built-in prompts: the paper's ten categories, plain nouns, and a clear refusal when they run out."""

import re

import pytest

from pipelines.foregrounds.prompts import builtin_prompts, categories


def test_ten_categories_of_twelve_or_more() -> None:
    assert len(categories()) == 10
    prompts = builtin_prompts(12)
    assert len(prompts) == 120 == len(set(prompts))
    assert {prompt.category for prompt in prompts} == set(categories())


def test_prompts_are_plain_lower_case_nouns() -> None:
    for prompt in builtin_prompts(12):
        assert re.fullmatch(r"[a-z]+([ -][a-z]+){0,3}", prompt.text), prompt
        assert not re.search(r"\b(in|on|at|with|background|scene)\b", prompt.text), prompt


def test_asking_for_more_keeps_what_was_there() -> None:
    assert set(builtin_prompts(3)) < set(builtin_prompts(7))


@pytest.mark.parametrize("per_category", [0, 10_000])
def test_an_impossible_number_names_the_range(per_category: int) -> None:
    with pytest.raises(ValueError, match=rf"prompts_per_category must be in \[1, \d+\].*got {per_category}"):
        builtin_prompts(per_category)
