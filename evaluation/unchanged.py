"""An evaluation that is made only if something that it depends on has changed: methods, answers, list, settings."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from decoupage.fingerprint import canonical_json, fingerprint
from evaluation.config import EvaluationConfig
from evaluation.controls import FOLDER as CONTROLS
from evaluation.gallery_file import GALLERY
from evaluation.method import MethodRecipe
from evaluation.protocol import protocol_of
from evaluation.records.method import record_of
from evaluation.records.room import GIVEN, room_of
from evaluation.report import REPORT, About
from evaluation.run import LIST, PICTURE, SCORES, judge
from evaluation.test_sets.spec import TestSet
from pipelines.stages.store import Store

QUESTION = "question.json"
"""File beside `report.json`: hash of all that the evaluation depends on, and the hashes of what it wrote."""
FILES = (LIST, SCORES, PICTURE, GALLERY, REPORT)


def judge_changed(
    test_set: TestSet,
    contents: str,
    methods: Sequence[MethodRecipe],
    config: EvaluationConfig,
    out: str,
    about: About,
    root: Store,
) -> tuple[dict[str, Any], bool]:
    """`evaluation.run.judge`, unless its files answer this very question already.

    Args:
        contents: hash of all that the test set is read from.

    Returns:
        Content of `report.json`, and whether it was made now.

    Raises:
        BadSetup: as `judge`.
    """
    store = Store(out)
    ask = partial(_question, test_set, contents, methods, config, about, root)
    found = _current(store, ask())
    if found is not None:
        return found, False
    store.remove(QUESTION)
    values = judge(test_set, methods, config, store, about, root).values
    question = ask()  # Once more: the answers are part of it.
    if question is not None:
        store.write(QUESTION, _answered(store, question))
    return values, True


def _question(
    test_set: TestSet,
    contents: str,
    methods: Sequence[MethodRecipe],
    config: EvaluationConfig,
    about: About,
    root: Store,
) -> str | None:
    """Hash of all that scores and report depend on; None = a method would run, because an answer is missing."""
    room = room_of(root, test_set.name)
    places = [(recipe, room) for recipe in methods]
    places += [(control, Store(f"{room.root}/{CONTROLS}")) for recipe in methods for control in recipe.controls]
    answers = [record_of(place, recipe).digest(failures_count=recipe.only_read) for recipe, place in places]
    if None in answers:
        return None
    return fingerprint(
        {
            "list": contents,
            "test_set": test_set.about,
            "methods": [[recipe.name, recipe.fingerprint, recipe.folder] for recipe, _ in places],
            "answers": answers,
            "given": room.names(GIVEN),
            "settings": config.model_dump(mode="json"),
            "protocol": protocol_of(config),
            "about": asdict(about),
        }
    )


def _current(store: Store, question: str | None) -> dict[str, Any] | None:
    """Content of `report.json`, if it and the files beside it answer this question; else None."""
    if question is None or not store.exists(QUESTION) or store.read(QUESTION) != _answered(store, question):
        return None
    values: dict[str, Any] = json.loads(store.read(REPORT))
    return values


def _answered(store: Store, question: str) -> bytes:
    """What `question.json` holds where these files answer the question: it, and file -> SHA-256."""
    hashes = {name: hashlib.sha256(store.read(name)).hexdigest() for name in FILES if store.exists(name)}
    return canonical_json({"question": question, "files": hashes})
