"""Which pictures are for testing. MuLAn publishes no split, so it is decided once and stored.

The rule: a photograph of COCO's val2017 is for testing, all others for training, so that models trained on COCO have
not seen the test pictures either. The result is frozen in `sources/mulan/test_ids.txt`: new annotations never move a
picture from one side to the other. A list that the profile names takes precedence over both.
"""

import hashlib
import logging
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe
from decoupage.images.reading import read_file
from decoupage.text_files import listed_lines
from pipelines.foregrounds.mulan.files import key_of, part_of
from pipelines.stages.store import Store

log = logging.getLogger(__name__)

FROZEN = "sources/mulan/test_ids.txt"
_HASH = "# sha256 "
_SHOWN = 5


@dataclass(frozen=True)
class SplitReport:
    """The list in force, and how it differs from what the rule gives for the pictures on disk.

    Attributes:
        keys: keys of the pictures for testing.
        origin: where the list comes from: `profile`, `frozen` or `rule`.
        added: pictures that the rule would test on and the list does not.
        absent: pictures of the list that have no annotation here, or (frozen lists) are no longer in val2017.
    """

    keys: frozenset[str]
    origin: str
    added: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the list."""
        return hash_of(self.keys)

    def __str__(self) -> str:
        if self.origin == "rule":
            return f"{len(self.keys)} pictures for testing, all of val2017 on disk; the list is not frozen yet"
        sentence = f"{len(self.keys)} pictures for testing ({self.origin})"
        if self.origin == "frozen" and (self.added or self.absent):
            sentence += (
                f"; the pictures on disk differ: {len(self.added)} of val2017 are not on the list "
                f"{list(self.added[:_SHOWN])}, {len(self.absent)} on it are absent {list(self.absent[:_SHOWN])}. "
                f"The list is kept; remove {FROZEN} to freeze it again"
            )
        elif self.absent:
            sentence += f"; {len(self.absent)} of them have no annotation here {list(self.absent[:_SHOWN])}"
        return sentence


@dataclass(frozen=True)
class Split:
    """The test split: a list that the profile names, else the frozen list, else the rule.

    Attributes:
        store: holds the frozen list; None = only the rule.
        given: path of the user's own list; empty = none.
    """

    store: Store | None = None
    given: str = ""

    def recipe(self) -> Recipe:
        """The hash of the profile's list; empty when it names none. Raises BadSetup as `read_list`."""
        return {"test_ids": hash_of(read_list(Path(self.given)))} if self.given else {}

    def keys(self) -> frozenset[str] | None:
        """Keys of the pictures for testing; None = the rule applies. Raises BadSetup for a damaged list."""
        return read_list(Path(self.given)) if self.given else self._frozen()

    def settle(self, by_rule: frozenset[str], known: frozenset[str]) -> SplitReport:
        """Freeze the rule's result when nothing is frozen yet, and compare the list with the pictures on disk.

        Args:
            by_rule: keys of the pictures that are in val2017.
            known: keys of all annotations.

        Raises:
            BadSetup: a list is damaged or missing.
        """
        if self.given:
            keys = read_list(Path(self.given))
            return SplitReport(keys, "profile", absent=tuple(sorted(keys - known)))
        keys = self._frozen() or frozenset()
        # A run before the photographs arrive must not freeze an empty list.
        if not keys and by_rule and self.store is not None:
            keys = by_rule
            self.store.write(FROZEN, to_text(keys).encode())
        if not keys:
            return SplitReport(by_rule, "rule")
        return SplitReport(keys, "frozen", tuple(sorted(by_rule - keys)), tuple(sorted(keys - by_rule)))

    def _frozen(self) -> frozenset[str] | None:
        if self.store is None or not self.store.exists(FROZEN):
            return None
        place = self.store.url(FROZEN)
        first, _, rest = self.store.read(FROZEN).decode("utf-8", "replace").partition("\n")
        keys = frozenset(rest.split())
        if first != _HASH + hash_of(keys):
            raise BadSetup(
                f"{place} does not match the hash in its first line: it was damaged or edited. Restore it, or remove "
                "it to freeze the list again; name your own list in mulan.test_ids"
            )
        return keys


def hash_of(keys: Iterable[str]) -> str:
    """SHA-256 of a list, independent of its order."""
    return hashlib.sha256("".join(f"{key}\n" for key in sorted(keys)).encode()).hexdigest()


def to_text(keys: Iterable[str]) -> str:
    """The text of a frozen list: a line with the hash, then the sorted keys, one per line."""
    lines = sorted(keys)
    return "\n".join([_HASH + hash_of(lines), *lines, ""])


def read_list(path: Path) -> frozenset[str]:
    """Keys of a user's list: an id per line (12 digits for COCO, 9 for LAION), `#` starts a comment.

    Raises:
        BadSetup: the file is missing or empty, or a line is not an id; the message names the line.
    """
    try:
        listed = listed_lines(read_file(path), str(path))
    except OSError as error:
        raise BadSetup(f"mulan.test_ids names {path}, which cannot be read: {error.strerror}") from error
    except BadItem as fault:
        raise BadSetup(f"mulan.test_ids names {path}, which cannot be read: {fault.detail}") from fault
    keys = set()
    for entry, number in listed.items():
        id = entry.removeprefix("laion-")
        if part_of(id) == "other":
            raise BadSetup(
                f"{path}, line {number}: {id[:40]!r} is not an id; COCO's have 12 digits (000000000139), LAION's 9"
            )
        keys.add(key_of(id))
    if not keys:
        raise BadSetup(f"{path} holds no id; leave mulan.test_ids empty to test on the pictures of val2017")
    return frozenset(keys)


def tell_unmatched(place: str, listed: Set[str], there: Set[str]) -> None:
    """Warn where pictures that a file lists have no annotation: a typing error would go unnoticed."""
    if unmatched := sorted(listed - there):
        shown = ", ".join(map(repr, unmatched[:_SHOWN]))
        log.warning("%s: %d of its %d pictures have no annotation: %s", place, len(unmatched), len(listed), shown)
