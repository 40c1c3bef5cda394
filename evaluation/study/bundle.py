"""The study without a server: one HTML file for each rater, and one JSON file of answers from each."""

import re
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.images.reading import read_file
from decoupage.text_files import parse_json
from evaluation.study.folder import ID_PATTERN, Study, opaque
from evaluation.study.page import offline_page
from evaluation.study.votes import Vote, Votes, checked_answer, clean_name
from pipelines.stages.store import Store

BUNDLES = "bundles"
"""Folder of the HTML files, in the study's folder."""
MAX_ANSWERS_BYTES = 16_000_000
MAX_BUNDLES = 1000


def write_bundles(study: Study, number: int) -> list[Path]:
    """Write `bundles/rater-01.html` and so on, each for one rater, with its own order.

    The same numbers give the same files, so more can be written later.

    Raises:
        ValueError: the number is out of range.
    """
    if not 1 <= number <= MAX_BUNDLES:
        raise ValueError(f"bundles must be in [1, {MAX_BUNDLES}], got {number}")
    store, paths = Store(str(study.root)), []
    for i in range(1, number + 1):
        token = bundle_token(study, i)
        path = f"{BUNDLES}/rater-{i:02d}.html"
        store.write(path, offline_page(study, token, study.screens(token)).encode())
        paths.append(study.root / path)
    return paths


def bundle_token(study: Study, number: int) -> str:
    """The token of a bundle's rater, derived from the study's key: so a returned file is known as one of this study."""
    return opaque(study.key, "bundle", study.study_id, number)


def import_answers(study: Study, path: Path | str) -> int:
    """Import the answers in one returned file into the study's database; returns their number.

    Imported twice, they count once. All of a file is imported, or nothing.

    Raises:
        BadSetup: the file does not belong to this study, or is damaged.
    """
    path = Path(path)
    try:
        content = parse_json(read_file(path, MAX_ANSWERS_BYTES), str(path))
    except (FileNotFoundError, BadItem) as error:
        raise BadSetup(f"{path} is not a file of answers: {error}") from error
    except BadSetup as fault:
        raise BadSetup(f"{fault}: it is not a file of answers") from fault
    try:
        rater = _rater(study, content)
        screens = {screen.id: screen for screen in study.screens(rater)}
        found = [Vote(rater, *checked_answer(entry, screens), _date(entry)) for entry in content["answers"]]
    except (ValueError, TypeError, KeyError) as error:
        raise BadSetup(f"{path} is not a file of answers to this study: {error}") from error
    votes = Votes(study.votes, study.study_id)
    votes.add_rater(rater, clean_name(path.stem))
    votes.add_all(found)
    return len(found)


def _rater(study: Study, content: object) -> str:
    if not isinstance(content, dict) or not isinstance(content.get("answers"), list):
        raise ValueError("it has no list of answers")
    if content.get("study") != study.study_id:
        raise ValueError(f"it belongs to the study {str(content.get('study'))[:40]!r}, this one is {study.study_id}")
    rater = content.get("rater")
    if not isinstance(rater, str) or not re.fullmatch(ID_PATTERN, rater):
        raise ValueError("it does not say which rater it is from")
    if rater not in {bundle_token(study, number) for number in range(1, MAX_BUNDLES + 1)}:
        raise ValueError("its rater has none of this study's bundles")
    return rater


def _date(entry: dict[str, object]) -> str:
    date = entry.get("answered_at")
    if not isinstance(date, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", date):
        raise ValueError(f"answered_at must be a date as browsers write it, got {str(date)[:40]!r}")
    return date
