"""Lines of people's lists that match nothing, and what they probably mean: no wrong line goes unnoticed."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from decoupage.text_files import printable

_SHOWN = 3
"""Lines that a sentence shows."""


@dataclass(frozen=True)
class Unmatched:
    """The lines of one list that match nothing.

    Attributes:
        where: path of the list.
        num_lines: number of its lines that say something.
        lines: line -> what is there and probably meant; empty where nothing is like it.
        what: what a line should have named, for the sentence: `no file in its folder`.
    """

    where: str
    num_lines: int
    lines: dict[str, str]
    what: str

    @property
    def sentence(self) -> str:
        """For a person: how many, and the first three."""
        examples = ", ".join(_example(*entry) for entry in islice(self.lines.items(), _SHOWN))
        more = ", ..." if len(self.lines) > _SHOWN else ""
        return f"{self.where}: {len(self.lines)} of {self.num_lines} lines match {self.what}: {examples}{more}"


def unmatched(where: str, lines: Collection[str], known: Collection[str], what: str) -> Unmatched:
    """Compare a list's lines with the names that are there.

    Args:
        where: path of the list.
        lines: what each line names.
        known: all names that are there.
        what: what a line should have named, for the sentence.
    """
    missed = [line for line in lines if line not in known]
    like = {_loose(name): name for name in known} if missed else {}
    return Unmatched(where, len(lines), {line: like.get(_loose(line), "") for line in missed}, what)


def in_none(parts: Iterable[Unmatched]) -> list[Unmatched]:
    """Per list, the lines that every part missed: what names no foreground may name a background."""
    by_list: dict[str, Unmatched] = {}
    for part in parts:
        other = by_list.setdefault(part.where, part)
        both = {line: hint or other.lines[line] for line, hint in part.lines.items() if line in other.lines}
        by_list[part.where] = Unmatched(part.where, part.num_lines, both, part.what)
    return [found for found in by_list.values() if found.lines]


def _loose(name: str) -> str:
    """A name as people confuse it: case, Unicode normalisation, separators, a leading `./`."""
    return unicodedata.normalize("NFC", name).casefold().replace("\\", "/").removeprefix("./").strip("/")


def _example(line: str, hint: str) -> str:
    if not hint:
        return f"'{printable(line)}'"
    spelled = unicodedata.normalize("NFC", line) == unicodedata.normalize("NFC", hint)
    why = ", which is spelled with other Unicode characters" if spelled else ""
    return f"'{printable(line)}' (is '{printable(hint)}' meant{why}?)"
