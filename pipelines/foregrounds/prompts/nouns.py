"""The words of a prompt: which identify the object, which is its head noun, whether it names several.

Only spelling is looked at; no dictionary and no model is used.
"""

import re


def word_set(text: str) -> frozenset[str]:
    """The words of a text, which blanks separate."""
    return frozenset(text.split())


ARTICLES = word_set("a an the")
RELATIONS = word_set("""
    in on at with without under over above below beside behind between near inside outside against among around next
    from by through wearing holding carrying riding standing surrounded
""")
"""Words that relate an object to a place or to another object."""
_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "feet": "foot", "geese": "goose", "mice": "mouse",
    "teeth": "tooth", "dice": "die",
}  # fmt: skip
_SINGULAR_S = word_set("""
    asparagus atlas biceps canvas chaos cosmos cyclops gas lens rhinoceros series species triceratops
""")
_PLURAL_KEEPS = ("ss", "us", "is")
_ES = re.compile(r"(ch|sh|x|ss|z)es$")


def key_words(text: str) -> list[str]:
    """The words that identify an object: lower case, singular, no articles, `glass of wine` ordered as `wine glass`."""
    words = [word for word in re.split(r"[^a-z]+", text.lower()) if word and word not in ARTICLES]
    if "of" in words[1:-1]:
        place = words.index("of", 1)
        words = words[place + 1 :] + words[:place]
    return [singular(word) for word in words]


def singular(word: str) -> str:
    """A noun in the singular."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(_PLURAL_KEEPS) or word in _SINGULAR_S:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if _ES.search(word):
        return word[:-2]
    return word[:-1]


def same_head(text: str, other: str) -> bool:
    """Whether two prompts have the same head noun, the last of their `key_words`.

    Vowels are left out of the comparison, because spellings of one word differ in them (`tumble drier`, `tumble
    dryer`); `young man` and `young woman` have different heads.
    """
    return _consonants(text) == _consonants(other)


def _consonants(text: str) -> str:
    words = key_words(text)
    return re.sub("[aeiouy]", "", words[-1]) if words else ""


def is_plural(text: str) -> bool:
    """Whether a prompt or caption names several objects, such as a pair: `sneakers`, `a pair of sneakers`, `two dogs`.

    The noun that counts is the last one before a relation: `a man wearing sunglasses` names one man.
    """
    words = [word for word in re.split(r"[^a-z]+", text.lower()) if word]
    place = next((i for i, word in enumerate(words) if word in RELATIONS), len(words))
    words = words[:place]
    if "of" in words[1:]:
        before, after = words[: words.index("of", 1)], words[words.index("of", 1) + 1 :]
        return before[-1] in ("pair", "pairs", "couple") or _is_plural(before) if after else False
    return _is_plural(words)


def _is_plural(words: list[str]) -> bool:
    return bool(words) and singular(words[-1]) != words[-1]
