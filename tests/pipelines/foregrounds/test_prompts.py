"""Built-in prompts: the paper's ten categories, plain nouns, no two alike, and a clear refusal when they run out."""

import re

import pytest

from pipelines.foregrounds.prompts import builtin_prompts, categories
from pipelines.foregrounds.prompts.builtin import num_builtin
from pipelines.foregrounds.prompts.rules import PromptFilter

ALL = builtin_prompts(num_builtin())


def test_ten_categories_of_sixty() -> None:
    assert len(categories()) == 10
    assert len(ALL) == 600 == len(set(ALL))
    assert {prompt.category for prompt in ALL} == set(categories())


def test_prompts_are_plain_lower_case_nouns() -> None:
    for prompt in ALL:
        assert re.fullmatch(r"[a-z]+([ -][a-z]+){0,3}", prompt.text), prompt
        assert not re.search(r"\b(in|on|at|with|background|scene)\b", prompt.text), prompt


def test_every_prompt_passes_the_rules_for_written_ones() -> None:
    accepted, rejected = PromptFilter([]).judge([prompt.text for prompt in ALL])
    assert (len(accepted), rejected) == (600, {})


def test_asking_for_more_keeps_what_was_there() -> None:
    assert set(builtin_prompts(3)) < set(builtin_prompts(7))


@pytest.mark.parametrize("per_category", [0, 10_000])
def test_an_impossible_number_names_the_range(per_category: int) -> None:
    with pytest.raises(ValueError, match=rf"prompts_per_category must be in \[1, \d+\].*got {per_category}"):
        builtin_prompts(per_category)
