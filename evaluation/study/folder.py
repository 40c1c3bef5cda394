"""A study on disk, and the opaque names under which raters see it. `build` makes the folder.

`study.json` (the plan, with every method's name), `key` and `votes.sqlite` are for the study's owner only,
`pictures/<opaque id>.png` for raters. An opaque name is a keyed hash; the key stays in the folder.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from decoupage.faults import BadItem, BadSetup
from decoupage.images.reading import read_file
from decoupage.text_files import parse_json
from evaluation.config import Aspect, StudyConfig
from evaluation.study.plan import BROKEN, SOUND, Comparison, Question, questions_for

PLAN, KEY, VOTES, PICTURES = "study.json", "key", "votes.sqlite", "pictures"
KEY_BYTES = 32
ID_PATTERN = "[0-9a-f]{32}"
"""Regular expression of opaque names and tokens."""


def opaque(key: bytes, *parts: object) -> str:
    """An opaque name: 32 hex digits of the HMAC-SHA-256 (RFC 2104) of the parts, each with its length."""
    texts = [str(part).encode() for part in parts]
    message = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True)
class Screen:
    """A question as its rater sees it: everything by opaque ids.

    Attributes:
        id: id of the question, known to this rater only.
        panes: picture ids from left to right.
        reference: id of the given picture with the object outlined.
    """

    id: str
    aspect: str
    reference: str
    panes: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A study: its plan, its key and its folder.

    Attributes:
        root: the study's folder.
        study_id: hash of plan and pictures; votes carry it.
        list_sha256: hash of the list that the pictures belong to.
        methods: names of the methods, in the study's order.
        scenes: the scene of each case.
        clusters: aspect -> case -> name of what it shares with cases that are not independent of it: its photograph, or
            its target's origin.
        comparisons: all comparisons, also those with missing outputs.
        attention: comparisons that attention questions are made from.
        missing: cases without an output, by aspect and method.
    """

    root: Path
    key: bytes
    study_id: str
    list_sha256: str
    config: StudyConfig
    methods: tuple[str, ...]
    scenes: Mapping[str, str]
    clusters: Mapping[str, Mapping[str, str]]
    comparisons: tuple[Comparison, ...]
    attention: tuple[Comparison, ...]
    missing: Mapping[str, Mapping[str, Sequence[str]]]

    @property
    def votes(self) -> Path:
        """Path of the database of answers."""
        return self.root / VOTES

    def picture_id(self, aspect: str, case: str, what: str) -> str:
        """Public name of a picture; `what` is a method, `reference` or `broken/<number>`."""
        return opaque(self.key, "picture", aspect, case, what)

    def picture(self, picture_id: str) -> bytes:
        """The PNG with a public name. Raises KeyError where this study has no such name."""
        if picture_id not in self.picture_ids:
            raise KeyError(picture_id)
        return (self.root / PICTURES / f"{picture_id}.png").read_bytes()

    @cached_property
    def picture_ids(self) -> frozenset[str]:
        """Public names of all pictures that a rater may see."""
        return frozenset(self.picture_id(*name) for name in self.picture_names())

    def picture_names(self) -> list[tuple[Aspect, str, str]]:
        """The (aspect, case, what) of every picture, each once, in order."""
        found: dict[tuple[Aspect, str, str], None] = {}
        for comparison in (*self.comparisons, *self.attention):
            if comparison.can_be_asked or comparison in self.attention:
                found[comparison.aspect, comparison.case, "reference"] = None
                found |= dict.fromkeys((comparison.aspect, comparison.case, method) for method in comparison.shown)
        for comparison in self.attention:
            for number in range(self.config.num_panes - 1):
                found[comparison.aspect, comparison.case, broken_name(comparison, number)] = None
        return list(found)

    def questions(self, rater: str) -> dict[str, Question]:
        """A rater's questions by id, in their order."""
        questions = questions_for(self.config, self.comparisons, self.attention, rater)
        return {opaque(self.key, "question", rater, place): question for place, question in enumerate(questions)}

    def screens(self, rater: str) -> list[Screen]:
        """A rater's questions as their page shows them."""
        return [self._screen(question_id, question) for question_id, question in self.questions(rater).items()]

    def _screen(self, question_id: str, question: Question) -> Screen:
        comparison, panes, num_broken = question.comparison, [], 0
        for pane in question.panes:
            what = pane
            if pane == SOUND:
                what = comparison.shown[0]
            elif pane == BROKEN:
                what, num_broken = broken_name(comparison, num_broken), num_broken + 1
            panes.append(self.picture_id(comparison.aspect, comparison.case, what))
        shown = self.picture_id(comparison.aspect, comparison.case, "reference")
        return Screen(question_id, comparison.aspect, shown, tuple(panes))

    def public_rater(self, token: str) -> str:
        """A rater's name in exports; with their token others could answer for them."""
        return opaque(self.key, "rater", token)[:8]

    def plan(self) -> dict[str, Any]:
        """Content of `study.json`."""
        found: dict[str, Any] = _STUDY.dump_python(self, mode="json", exclude={"root", "key"})
        return found


_STUDY = TypeAdapter(Study)


def broken_name(comparison: Comparison, number: int) -> str:
    """Name of one of the destroyed copies in an attention question."""
    return f"broken/{comparison.shown[0]}/{number}"


def load_study(folder: Path | str) -> Study:
    """Read a study's folder.

    Raises:
        BadSetup: the folder holds no study, or an unfinished or damaged one.
    """
    root = Path(folder)
    try:
        data = read_file(root / PLAN)
    except FileNotFoundError:
        raise BadSetup(f"{root} has no {PLAN}: make the study first with `decoupage study build`") from None
    except BadItem as fault:
        raise BadSetup(f"{root / PLAN} cannot be read ({fault}); build the study again") from fault
    key = (root / KEY).read_bytes() if (root / KEY).is_file() else b""
    if len(key) != KEY_BYTES:
        raise BadSetup(f"{root / KEY} is not this study's key of {KEY_BYTES} bytes; build the study again")
    try:
        plan = parse_json(data, str(root / PLAN))
        # The key comes last, because an error prints what was checked.
        return replace(_STUDY.validate_python({**plan, "root": root, "key": b""}), key=key)
    except BadSetup as fault:
        raise BadSetup(f"{fault}; build the study again") from fault
    except (ValueError, TypeError) as error:
        raise BadSetup(f"{root / PLAN} is damaged ({error}); build the study again") from error
