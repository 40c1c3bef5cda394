"""When two prompts name the same thing: normal forms and the likeness of spellings.

Whether a prompt may be drawn at all is decided in `rules`.
"""

import re
from collections import Counter
from collections.abc import Iterable

ARTICLES = frozenset({"a", "an", "the"})
NEAR = 0.75
"""Likeness from which two prompts are taken for the same thing. Among the 600 built-in prompts no pair reaches it
(`banana`, `bandana`: 0.71; `young man`, `young woman`: 0.70); slips and other endings of one word do (`tumble dryer`,
`tumble drier`: 0.75; `washing machine`, `wash machine`: 0.77). Synonyms are left to the model's instructions."""
_PLURAL_KEEPS = ("ss", "us", "is")
_ES = re.compile(r"(ch|sh|x|ss|z)es$")


def key_words(text: str) -> list[str]:
    """The words that count: lower case, no articles, singular, and `glass of wine` in the order of `wine glass`."""
    words = [word for word in re.split(r"[^a-z]+", text.lower()) if word and word not in ARTICLES]
    if "of" in words[1:-1]:
        place = words.index("of", 1)
        words = words[place + 1 :] + words[:place]
    return [_singular(word) for word in words]


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(_PLURAL_KEEPS):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if _ES.search(word):
        return word[:-2]
    return word[:-1]


class Likeness:
    """Finds the first of the known prompts that names the same thing.

    Spelling decides, no embedding: words are compared as sets, and the joined letters by the Dice coefficient of
    their trigrams, 2 |A & B| / (|A| + |B|), so that `tea pot` and `teapot` are one.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._exact: dict[str, str] = {}
        self._sets: dict[frozenset[str], str] = {}
        self._known: list[tuple[str, int]] = []  # (text, number of its trigrams)
        self._holders: dict[str, list[int]] = {}  # trigram -> places in `_known`
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Make a prompt known."""
        words = key_words(text)
        self._exact.setdefault("".join(words), text)
        self._sets.setdefault(frozenset(words), text)
        trigrams = _trigrams("".join(words))
        for trigram in trigrams:
            self._holders.setdefault(trigram, []).append(len(self._known))
        self._known.append((text, len(trigrams)))

    def same(self, text: str) -> str | None:
        """A known prompt with the same words, else None."""
        return self._exact.get("".join(key_words(text)))

    def near(self, text: str) -> str | None:
        """A known prompt with the same words in another order, or that is at least `NEAR` like it; else None."""
        words = key_words(text)
        if found := self._sets.get(frozenset(words)):
            return found
        ours = _trigrams("".join(words))
        shared = Counter(place for trigram in ours for place in self._holders.get(trigram, ()))
        like = [place for place, num in shared.items() if 2 * num >= NEAR * (len(ours) + self._known[place][1])]
        return self._known[min(like)][0] if like else None


def _trigrams(word: str) -> frozenset[str]:
    """Trigrams of the padded word: the ends count, and short words have some too."""
    padded = f"  {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
