"""Known prompts, and whether a new one names what one of them names already."""

from collections import Counter
from collections.abc import Iterable

from pipelines.foregrounds.prompts.nouns import key_words, same_head

NEAR = 0.75
"""Similarity from which two prompts with the same head noun count as the same object. Among the 600 built-in prompts no
pair reaches it; misspellings and other endings of one word do (`tumble dryer`, `tumble drier`: 0.75; `washing machine`,
`wash machine`: 0.77). Synonyms are left to the model's instructions."""


class NameIndex:
    """Known prompts, searched for the first one that names the same object.

    Only spelling counts, no embedding is used: words are compared as sets, and where the head noun is the same, the
    joined letters by the Dice coefficient of their trigrams, 2 |A & B| / (|A| + |B|).
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._exact: dict[str, str] = {}
        self._sets: dict[frozenset[str], str] = {}
        self._known: list[tuple[str, int]] = []  # (text, number of its trigrams)
        self._holders: dict[str, list[int]] = {}  # trigram -> places in `_known`
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add a prompt to those that are known."""
        words = key_words(text)
        self._exact.setdefault("".join(words), text)
        self._sets.setdefault(frozenset(words), text)
        trigrams = _trigrams("".join(words))
        for trigram in trigrams:
            self._holders.setdefault(trigram, []).append(len(self._known))
        self._known.append((text, len(trigrams)))

    def same(self, text: str) -> str | None:
        """The first known prompt with the same words in the same order; None when there is none."""
        return self._exact.get("".join(key_words(text)))

    def near(self, text: str) -> str | None:
        """The first known prompt with the same words in any order, or `NEAR` it and with its head noun; else None."""
        words = key_words(text)
        if found := self._sets.get(frozenset(words)):
            return found
        ours = _trigrams("".join(words))
        shared = Counter(place for trigram in ours for place in self._holders.get(trigram, ()))
        like = [
            place
            for place, num in shared.items()
            if 2 * num >= NEAR * (len(ours) + self._known[place][1]) and same_head(text, self._known[place][0])
        ]
        return self._known[min(like)][0] if like else None


def _trigrams(word: str) -> frozenset[str]:
    """Trigrams of the padded word, so that its ends count and short words have some too."""
    padded = f"  {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
