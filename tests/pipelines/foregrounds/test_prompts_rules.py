"""Which texts of a model become prompts: one plain object, named like no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.foregrounds.prompts.builtin import Prompt
from pipelines.foregrounds.prompts.nouns import is_plural, key_words, same_head
from pipelines.foregrounds.prompts.rules import PromptFilter, brands, clean, fault

ACCEPTED = ["beach ball", "street lamp", "mountain goat", "bunch of grapes", "t-shirt", "golden retriever", "apple"]
ACCEPTED += ["green apple", "jaguar", "baby carriage", "schoolgirl", "woman swimmer", "swimsuit", "toddler overalls"]


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
        ("apple watch", "brand"),
        ("green apple watches", "brand"),
        ("jeep", "brand"),
        ("thermos flask", "brand"),
        ("red frisbee", "brand"),
        ("roomba", "brand"),
        ("jaguar car", "brand"),
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


@pytest.mark.parametrize("minor", ["boy", "teenage girls", "toddler", "small child", "schoolgirls"])
@pytest.mark.parametrize("undress", ["swimmer", "bikini", "swimming trunks", "underwear", "lingerie", "topless"])
def test_no_minor_comes_in_swimwear_or_underwear(minor: str, undress: str) -> None:
    assert fault(f"{minor} {undress}") == fault(f"{undress} {minor}") == "minor"
    accepted, rejected = PromptFilter([]).judge([f"a {minor} {undress}"])
    assert (accepted, list(rejected)) == ([], ["minor"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("man", "woman"),
        ("young man", "young woman"),
        ("businessman", "businesswoman"),
        ("grey-haired man", "grey-haired woman"),
        ("middle-aged gentleman", "middle-aged gentlewoman"),
        ("cat", "kitten"),
        ("red car", "blue car"),
        ("fire truck", "fire hydrant"),
        ("rocking horse", "rocking house"),
    ],
)
def test_other_things_are_not_near_however_they_are_spelt(one: str, other: str) -> None:
    assert PromptFilter([Prompt("human", one)]).judge([other])[0] == [other]
    assert PromptFilter([Prompt("human", other)]).judge([one])[0] == [one]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tall man", "man", True),
        ("glass of wine", "wine bottle", False),
        ("glass of wine", "beer glasses", True),
        ("tumble drier", "tumble dryer", True),
        ("man", "woman", False),
        ("", "dog", False),
    ],
)
def test_the_head_noun_is_the_last_key_word(one: str, other: str, same: bool) -> None:
    assert same_head(one, other) == same_head(other, one) == same


@pytest.mark.parametrize(
    "text",
    ["sneakers", "a pair of sneakers", "scissors", "two dogs", "boots of leather", "a pair of gloves on a table"],
)
def test_plural_prompts_and_captions(text: str) -> None:
    assert is_plural(text)


@pytest.mark.parametrize(
    "text",
    [
        "a dog",
        "dress",
        "bunch of grapes",
        "cactus",
        "rhinoceros",
        "a man wearing sunglasses",
        "chess set",
        "",
        "of",
        "pair of",
    ],
)
def test_singular_prompts_and_captions(text: str) -> None:
    assert not is_plural(text)


def test_brands_are_written_as_they_are_compared() -> None:
    assert all(brand == " ".join(brand.split()).lower() and "-" not in brand for brand in brands())


def test_words_that_only_look_like_plurals_are_kept() -> None:
    assert key_words("the glass bus of iris") == ["iris", "glass", "bus"]


@given(st.lists(st.text(max_size=60), max_size=20))
def test_whatever_is_written_each_text_is_accepted_or_refused_once(texts: list[str]) -> None:
    accepted, rejected = PromptFilter([]).judge(texts)
    assert len(accepted) + sum(len(group) for group in rejected.values()) == len(texts)
    assert len(set(accepted)) == len(accepted)
    assert all(fault(text) is None for text in accepted)
    assert PromptFilter([Prompt("animal", text) for text in accepted]).judge(accepted)[0] == []
