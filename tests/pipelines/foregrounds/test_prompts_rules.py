"""Which texts of a model become prompts: one plain object, named like no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.foregrounds.prompts.builtin import Prompt
from pipelines.foregrounds.prompts.rules import PromptFilter, clean, fault, key_words

ACCEPTED = ["beach ball", "street lamp", "mountain goat", "bunch of grapes", "t-shirt", "golden retriever"]


@pytest.mark.parametrize("text", ACCEPTED)
def test_plain_things_pass(text: str) -> None:
    assert fault(clean(text)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ox", "too_short"),
        ("very old rusty red two wheeled cart", "too_long"),
        ("a" * 41, "too_long"),
        ("dog #2", "not_words"),
        ("café chair", "not_words"),
        ("../../secret", "not_words"),
        ("sandy beach", "scene"),
        ("dog on sofa", "scene"),
        ("apple background", "scene"),
        ("salt and pepper", "several_things"),
        ("ferrari coupe", "brand"),
        ("albert einstein", "person"),
    ],
)
def test_other_texts_are_refused_with_a_reason(text: str, reason: str) -> None:
    assert fault(clean(text)) == reason


@pytest.mark.parametrize(
    ("known", "text", "reason"),
    [
        ("apple", "The Apples", "duplicate"),
        ("teapot", "tea pot", "duplicate"),
        ("strawberry", "strawberries", "duplicate"),
        ("grape bunch", "bunch of grapes", "duplicate"),
        ("paintbrush", "a paintbrushes", "duplicate"),
        ("lamp table", "table lamp", "near_duplicate"),
        ("tumble drier", "tumble dryer", "near_duplicate"),
    ],
)
def test_the_same_thing_in_other_words_is_refused_across_categories(known: str, text: str, reason: str) -> None:
    # Half of the answer in capitals would be a style; here one text in two is.
    accepted, rejected = PromptFilter([Prompt("animal", known)]).judge([text.lower(), "xylophone"])
    assert (accepted, list(rejected)) == (["xylophone"], [reason])


def test_a_capital_tells_a_name_unless_the_whole_answer_has_them() -> None:
    assert PromptFilter([]).judge(["Fluffington cat", "dog", "cow"]) == (
        ["dog", "cow"],
        {"proper_noun": ["Fluffington cat"]},
    )
    assert PromptFilter([]).judge(["Golden Retriever", "Cow", "dog"]) == (["golden retriever", "cow", "dog"], {})


def test_an_answer_that_repeats_itself_gives_a_thing_once() -> None:
    accepted, rejected = PromptFilter([]).judge(["dog", "a dog", "dogs", "cow"])
    assert (accepted, rejected) == (["dog", "cow"], {"duplicate": ["a dog", "dogs"]})


def test_words_that_only_look_like_plurals_are_kept() -> None:
    assert key_words("the glass bus of iris") == ["iris", "glass", "bus"]


@given(st.lists(st.text(max_size=60), max_size=20))
def test_whatever_is_written_each_text_is_accepted_or_refused_once(texts: list[str]) -> None:
    accepted, rejected = PromptFilter([]).judge(texts)
    assert len(accepted) + sum(len(group) for group in rejected.values()) == len(texts)
    assert len(set(accepted)) == len(accepted)
    assert all(fault(text) is None for text in accepted)
    assert PromptFilter([Prompt("animal", text) for text in accepted]).judge(accepted)[0] == []
