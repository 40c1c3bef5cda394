"""Objects that cutouts show: what carries them, how tall they usually are, whether they carry lettering.

`objects.csv` lists nouns. Supports, heights and lettering are common knowledge, and ours: heights are of a typical
specimen as it stands; none is given below about 0.4 m, where a close-up is as usual as a view from afar.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from decoupage.text_files import csv_rows, text_lines

Carrier = Literal["ground", "water", "sky", "hang", "surface", "any"]
"""`sky`: it flies. `surface`: it is so small that it lies or stands on a table, or is seen from near by on the ground.
`any`: no rule is known."""

PEOPLE = ("human", "profession")
"""Categories of prompts in which a noun that the table lacks is a person."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_COLLECTIVES = _set(
    "group couple pair bunch pile stack herd flock set row crowd picture photo photograph image view close-up closeup "
    "drawing piece slice loaf bar ball sheet roll lot variety collection team kind type"
)
"""Words before `of` that say how many or how, not what."""
_ENDS = _set(
    "with in on at by from for to of under over near behind beside inside outside against through into onto next "
    "that which who is are was were while wearing holding and or"
)
"""Words at which the first noun phrase ends."""
_OPENINGS = re.compile(
    r"^(?:(?:there|this|that|it) (?:is|are)|(?:the|this|an?) (?:image|picture|photo|photograph) "
    r"(?:shows|features|depicts|contains|is of))\s+"
)
_ARTICLES = _set("a an the one two three four five several some many his her its their this that")
_PLURALS = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "geese": "goose",
    "oxen": "ox",
}
_WORD = re.compile(r"[a-z0-9][a-z0-9'-]*")


@dataclass(frozen=True)
class Object:
    """One noun of the table.

    Attributes:
        height_m: height of a typical specimen, in metres; None where size in the picture says nothing about distance.
        lettering: it often carries letters or numbers, which a mirrored picture shows wrongly.
    """

    noun: str
    support: Carrier
    height_m: float | None
    lettering: bool


@cache
def objects() -> dict[str, Object]:
    """Noun -> what is known of it.

    Raises:
        ValueError: the table holds an unknown support.
    """
    table = {}
    lines = text_lines((files(__package__) / "objects.csv").read_bytes(), "objects.csv")
    for _, row in csv_rows(lines, "objects.csv"):
        support = row["support"]
        if support not in Carrier.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"objects.csv: the support of {row['noun']!r} is unknown: {support!r}")
        height_m = float(row["height_m"]) if row["height_m"] else None
        table[row["noun"]] = Object(row["noun"], support, height_m, row["lettering"] == "yes")  # type: ignore[arg-type]
    return table


def support_of(noun: str) -> Carrier | Literal[""]:
    """What carries an object; empty where the noun is unknown, or no rule is known for it."""
    found = objects().get(noun)
    return "" if found is None or found.support == "any" else found.support


def object_of(category: str, prompt: str, caption: str) -> str:
    """The noun of the table that a cutout shows, or an empty string.

    The prompt says it where there is one, else the category, else the caption. Of a text the first noun phrase counts,
    and of that its end: "a red fire truck with ladders" is a fire truck, "a dog house" not a dog.
    """
    if prompt:
        return _noun(prompt) or ("person" if category in PEOPLE else "")
    return _noun(category) or _noun(caption)


def _noun(text: str) -> str:
    words = _phrase(_OPENINGS.sub("", text.lower().replace("_", " ").strip()))
    for start in range(len(words)):
        for last in _singular(words[-1]):
            noun = " ".join([*words[start:-1], last]).replace("-of-", " of ")
            if noun in objects():
                return noun
    return ""


@cache
def _nouns_with_of() -> tuple[str, ...]:
    return tuple(noun for noun in objects() if " of " in noun)


def _phrase(text: str) -> Sequence[str]:
    """Words of the first noun phrase, without articles; those after "group of" and the like."""
    for noun in _nouns_with_of():  # They are one word: a chest of drawers is not a chest.
        text = text.replace(noun, noun.replace(" of ", "-of-"))
    words: list[str] = []
    for word in _WORD.findall(re.split(r"[,.;:()]", text)[0]):
        if word == "of" and words and not _COLLECTIVES.isdisjoint(_singular(words[-1])):
            words = []
        elif word == "and" and words and not _is_noun(words[-1]):
            words.append(word)
        elif word in _ENDS or (word.endswith("ing") and words and _is_noun(words[-1]) and not _is_noun(word)):
            if words:
                break
        elif word not in _ARTICLES:
            words.append(word)
    return words


def _is_noun(word: str) -> bool:
    return any(form in objects() for form in _singular(word))


def _singular(word: str) -> list[str]:
    """A word as it is, then its possible singulars."""
    forms = [word]
    if word in _PLURALS:
        forms.append(_PLURALS[word])
    if word.endswith("ies") and len(word) > 4:
        forms.append(word[:-3] + "y")
    if word.endswith("ves"):
        forms += [word[:-3] + "f", word[:-3] + "fe"]
    if word.endswith("es") and len(word) > 3:
        forms.append(word[:-2])
    if word.endswith("s") and not word.endswith("ss"):
        forms.append(word[:-1])
    if word.endswith("men") and word not in _PLURALS:
        forms.append(word[:-3] + "man")
    return forms
