"""Whether what a model wrote may become a prompt: one plain object, named like no other. No request is made here."""

import re

from pipelines.foregrounds.prompts.builtin import Prompt
from pipelines.foregrounds.prompts.lexicon import JOINTS, MAKERS, PEOPLE, RELATIONS, SCENE_ANYWHERE, SCENE_HEADS
from pipelines.foregrounds.prompts.words import ARTICLES, Likeness

MIN_LETTERS, MAX_LETTERS, MAX_WORDS = 3, 40, 5
_SHAPE = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
_WORD = re.compile(r"[a-z]+")


class Sieve:
    """Lets each thing through once, whichever category it is written for.

    What it lets through depends on the order in which it is asked, and on nothing else.
    """

    def __init__(self, known: list[Prompt]) -> None:
        self._known = Likeness(prompt.text for prompt in known)

    def sift(self, texts: list[str]) -> tuple[list[str], dict[str, list[str]]]:
        """One answer's texts -> (accepted, reason -> rejected), each in the order of the answer.

        Accepted ones are lower case and without articles, and are known from then on.
        """
        accepted: list[str] = []
        rejected: dict[str, list[str]] = {}
        styled = _is_capitalised(texts)
        for text in texts:
            named = _has_capital(text) and not styled
            cleaned = clean(text)
            reason = "proper_noun" if named else fault(cleaned) or self._sameness(cleaned)
            if reason:
                rejected.setdefault(reason, []).append(text[: 2 * MAX_LETTERS])
            else:
                accepted.append(cleaned)
                self._known.add(cleaned)
        return accepted, rejected

    def _sameness(self, text: str) -> str | None:
        if self._known.same(text):
            return "duplicate"
        return "near_duplicate" if self._known.near(text) else None


def clean(text: str) -> str:
    """Lower case, single spaces, no article in front, no full stop behind."""
    words = text.strip().rstrip(".").lower().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


def fault(text: str) -> str | None:
    """Why a cleaned text is not the name of one plain object; None when it is.

    Reasons: `too_short`, `too_long`, `not_words` (anything but letters, spaces and hyphens), `scene`, `brand`,
    `person`, `several_things`.
    """
    if len(text) < MIN_LETTERS:
        return "too_short"
    words = _WORD.findall(text)
    if len(text) > MAX_LETTERS or len(words) > MAX_WORDS:
        return "too_long"
    return _fault_of_words(words) if _SHAPE.fullmatch(text) else "not_words"


def _fault_of_words(words: list[str]) -> str | None:
    told = set(words)
    if JOINTS & told:
        return "several_things"
    if words[-1] in SCENE_HEADS or (SCENE_ANYWHERE | RELATIONS) & told:
        return "scene"
    if MAKERS & told:
        return "brand"
    return "person" if PEOPLE & told else None


def _has_capital(text: str) -> bool:
    return text != text.lower()


def _is_capitalised(texts: list[str]) -> bool:
    """True where most of an answer begins with capitals: then they are its style, and tell no names.

    The instructions ask for lower case, so that a capital is a name; small models write `Golden Retriever`.
    """
    return 2 * sum(text.strip()[:1].isupper() for text in texts) > len(texts)
