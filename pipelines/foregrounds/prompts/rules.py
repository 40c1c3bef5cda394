"""Whether a text that a model wrote may become a prompt: it names one plain object that no earlier prompt names.

The word lists hold what a model writes most often, not everything: the instructions ask for the rest. The brands are
in `brands.txt`.
"""

import re
from functools import cache
from importlib.resources import files

from pipelines.foregrounds.prompts.builtin import Prompt
from pipelines.foregrounds.prompts.names import NameIndex
from pipelines.foregrounds.prompts.nouns import ARTICLES, RELATIONS, singular, word_set

MIN_LETTERS, MAX_LETTERS, MAX_WORDS = 3, 40, 5
_SHAPE = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
_WORD = re.compile(r"[a-z]+")
SCENE_ANYWHERE = word_set("""
    background backdrop scene scenery landscape cityscape seascape skyline panorama wallpaper horizon surroundings
""")
"""Words that are never part of an object's name."""

SCENE_HEADS = word_set("""
    sky sunset sunrise beach forest jungle desert mountain hill valley meadow field garden park lake river ocean sea
    island coast shore waterfall street road highway alley city town village square market room kitchen bedroom
    bathroom office classroom hallway stadium airport harbour harbor farm countryside cave night fog rain snow
""")
"""A place or weather as the last word (`sandy beach`), part of an object's name before it (`beach ball`)."""

CONJUNCTIONS = word_set("and or plus versus")
"""Words that make a prompt name several objects."""

PEOPLE = word_set("""
    adele beethoven beyonce bezos biden caesar chaplin churchill cleopatra clinton columbus cristiano darwin davinci
    dali edison einstein elvis eminem federer freud frida gaga galileo gandhi goethe hawking
    hendrix hitler jesus kahlo kardashian kennedy lenin lennon lincoln lionel luther madonna mandela
    marilyn marx merkel messi michelangelo monroe mozart musk napoleon newton nixon obama oprah picasso plato
    presley putin rihanna ronaldo roosevelt serena shakespeare socrates stalin tolkien trump vangogh
    warhol washington
    aladdin batman bambi cinderella darth deadpool dracula dumbledore elmo elsa frankenstein
    frodo gandalf garfield gollum godzilla goku groot hulk hermione ironman kermit luigi mario mickey
    minnie minion mulan naruto nemo pikachu pinocchio pokemon rapunzel santa sauron sherlock shrek simpson skywalker
    smurf snoopy spiderman spongebob superman supergirl tarzan thanos thor totoro voldemort
    yoda zelda zorro jedi sith stormtrooper lightsaber terminator xenomorph tardis
""")
"""People and fictional characters known by one word, and objects that belong to one story."""


MINORS = word_set("""
    adolescent babies baby boy child children daughter girl infant juvenile kid minor newborn preschooler preteen pupil
    schoolboy schoolchild schoolgirl son teen teenage teenaged teenager toddler tween underage youngster youth
""")
"""People under age."""

UNDRESS = word_set("""
    bather bathing beachwear bikini boxers bra brassiere bustier camisole corset diaper jockstrap leotard lingerie
    loincloth naked nappy negligee nude panties pantyhose shirtless speedo sunbather sunbathing swim swimmer swimming
    swimsuit swimwear thong topless trunks unclothed underclothes underpants undershirt underwear undies undressed
""")
"""Swimwear, underwear and what comes with little clothing."""


class PromptFilter:
    """Accepts each object once, over all categories.

    What it accepts depends on the order of the texts, and on nothing else.
    """

    def __init__(self, known: list[Prompt]) -> None:
        self._known = NameIndex(prompt.text for prompt in known)

    def judge(self, texts: list[str]) -> tuple[list[str], dict[str, list[str]]]:
        """The texts of one answer -> (accepted, reason -> rejected), each in the order of the answer.

        Accepted texts are in lower case and without articles, and are known from then on.
        """
        accepted: list[str] = []
        rejected: dict[str, list[str]] = {}
        styled = _is_capitalised(texts)
        for text in texts:
            named = _has_capital(text) and not styled
            cleaned = clean(text)
            reason = "proper_noun" if named else fault(cleaned) or self._repetition(cleaned)
            if reason:
                rejected.setdefault(reason, []).append(text[: 2 * MAX_LETTERS])
            else:
                accepted.append(cleaned)
                self._known.add(cleaned)
        return accepted, rejected

    def _repetition(self, text: str) -> str | None:
        if self._known.same(text):
            return "duplicate"
        return "near_duplicate" if self._known.near(text) else None


def clean(text: str) -> str:
    """The text in lower case with single spaces, without leading article and trailing full stop."""
    words = text.strip().rstrip(".").lower().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


def fault(text: str) -> str | None:
    """The reason why a cleaned text is not the name of one plain object; None when it is.

    Reasons: `too_short`, `too_long`, `not_words` (anything but letters, spaces and hyphens), `scene`, `brand`,
    `person`, `several_things`, `minor` (a person under age in swimwear, underwear or the like).
    """
    if len(text) < MIN_LETTERS:
        return "too_short"
    words = _WORD.findall(text)
    if len(text) > MAX_LETTERS or len(words) > MAX_WORDS:
        return "too_long"
    return _fault_of_words(words) if _SHAPE.fullmatch(text) else "not_words"


def _fault_of_words(words: list[str]) -> str | None:
    unique = set(words)
    if CONJUNCTIONS & unique:
        return "several_things"
    if words[-1] in SCENE_HEADS or (SCENE_ANYWHERE | RELATIONS) & unique:
        return "scene"
    if _names_brand(words):
        return "brand"
    if PEOPLE & unique:
        return "person"
    both = unique | {singular(word) for word in words}
    return "minor" if MINORS & both and UNDRESS & both else None


@cache
def brands() -> frozenset[str]:
    """The names in `brands.txt`; `#` starts a comment."""
    lines = (files(__package__) / "brands.txt").read_text("utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _names_brand(words: list[str]) -> bool:
    spans = [(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    singulars = [singular(word) for word in words]
    return any({" ".join(words[i:j]), " ".join(singulars[i:j])} & brands() for i, j in spans)


def _has_capital(text: str) -> bool:
    return text != text.lower()


def _is_capitalised(texts: list[str]) -> bool:
    """True when most texts of an answer begin with a capital: then capitals are its style and do not mark names.

    The instructions ask for lower case, so a capital marks a proper name; small models write `Golden Retriever`.
    """
    return 2 * sum(text.strip()[:1].isupper() for text in texts) > len(texts)
