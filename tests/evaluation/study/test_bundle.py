"""The study without a server: what its one file holds, and which files come back in."""

import json
import re

import pytest

from decoupage.faults import BadSetup
from evaluation.study.bundle import bundle_token, import_answers, write_bundles
from evaluation.study.votes import Votes
from tests.evaluation.study.studies import small_study

DATE = "2026-01-02T03:04:05.678Z"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_study(tmp_path_factory.mktemp("study"))


def answers(study, number=1, **changes):
    rater = bundle_token(study, number)
    found = [{"question": q, "choice": "1", "time_s": 1.5, "answered_at": DATE} for q in study.questions(rater)]
    return {"study": study.study_id, "rater": rater, "answers": found} | changes


def written(folder, content):
    path = folder / "answers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_holds_all_it_shows_and_nothing_more(study):
    first, second = write_bundles(study, 2)
    page = first.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page) and "http" not in re.sub("http-equiv", "", page)
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])
    shown = {name for screen in content["screens"] for name in (screen["reference"], *screen["panes"])}
    assert shown == set(content["pictures"]) and list(content["pictures"]) == sorted(shown)
    assert "adapter" not in page and "telea" not in page
    assert page != second.read_text() and [path.read_text() for path in write_bundles(study, 1)] == [page]


def test_answers_that_come_back_count_once(study, tmp_path):
    path = written(tmp_path, answers(study))
    for _ in range(2):
        assert import_answers(study, path) == len(study.questions(bundle_token(study, 1)))
    votes = Votes(study.votes, study.study_id).all(bundle_token(study, 1))
    assert len(votes) == len(study.questions(bundle_token(study, 1)))
    assert {vote.answered_at for vote in votes} == {DATE} and {vote.time_s for vote in votes} == {1.5}


def test_files_that_are_not_ours_change_nothing(study, tmp_path):
    good = answers(study, 2)
    damaged = [dict(entry) for entry in good["answers"]]
    damaged[-1]["choice"] = "7"
    undated = [dict(entry, answered_at="yesterday'); DROP TABLE votes") for entry in good["answers"]]
    for content, words in [
        ("{", "not a file of answers"),
        ("[" * 100_000, "not a file of answers"),
        ("[]", "no list of answers"),
        (good | {"study": "another"}, "belongs to the study 'another'"),
        (good | {"rater": "0" * 32}, "none of this study's bundles"),
        (good | {"rater": 7}, "which rater"),
        (good | {"answers": damaged}, "choice must be one of 1, 2, tie, not_sure, got '7'"),
        (good | {"answers": undated}, "answered_at must be a date"),
        (good | {"answers": [7]}, "not a file of answers"),
    ]:
        with pytest.raises(BadSetup, match=re.escape(words)):
            import_answers(study, written(tmp_path, content))
    with pytest.raises(BadSetup, match="is not a file of answers"):
        import_answers(study, tmp_path / "absent.json")
    assert not Votes(study.votes, study.study_id).all(bundle_token(study, 2))


def test_numbers_of_bundles(study):
    with pytest.raises(ValueError, match=r"must be in \[1, 1000\], got 0"):
        write_bundles(study, 0)
