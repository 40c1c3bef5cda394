"""From votes to figures: rules, exclusions, missing outputs, and files."""

import json

import pandas as pd
import pytest

from decoupage.faults import BadSetup
from evaluation.study.ballots import read_ballots, to_frame
from evaluation.study.folder import opaque
from evaluation.study.report import make_report, write_report
from evaluation.study.votes import Votes
from tests.evaluation.study.studies import CONFIG, Listed, answer_all, choice_of, small_study

LIKING = ["adapter", "base", "telea"]
TOKENS = [opaque(b"", number) for number in range(3)]


def reported(study, *ways):
    votes = Votes(study.votes, study.study_id)
    for token, way in zip(TOKENS, ways, strict=False):
        answer_all(study, votes, token, way)
    ballots, raters = read_ballots(study, list(votes.raters()), votes.all())
    return make_report(study, ballots, raters, 500), ballots


def test_one_who_knows_what_he_likes(tmp_path):
    study = small_study(tmp_path)
    values, _ = reported(study, *[lambda question: choice_of(question, LIKING)] * 3)
    found = values["aspects"]["background"]
    pair = found["pairs"]["adapter-base"]
    assert pair["wins"] == 4 * 3 and pair["losses"] == pair["ties"] == 0
    assert pair["win_rate"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    order = [strength["mean"] for strength in found["bradley_terry"].values()]
    assert list(found["bradley_terry"]) == LIKING and order == sorted(order, reverse=True)
    assert found["agreement"]["same_share"] == 1 and found["agreement"]["num_units"] == 12
    assert values["repeats"] == {"num_asked": 9, "num_same": 9, "same_share": 1.0}
    assert values["num_raters_counted"] == 3 and values["num_votes"] == 3 * (12 + 3 + 3)


def test_ties_are_half_and_not_sure_is_nothing(tmp_path):
    study = small_study(tmp_path)

    def mixed(question):
        if question.kind == "attention" or set(question.panes) == {"adapter", "base"}:
            return choice_of(question, LIKING)
        return "tie" if set(question.panes) == {"adapter", "telea"} else "not_sure"

    found = reported(study, mixed, mixed)[0]["aspects"]["background"]["pairs"]
    assert found["adapter-telea"]["win_rate"]["mean"] == 0.5 and found["adapter-telea"]["ties"] == 8
    assert found["base-telea"]["win_rate"] is None and found["base-telea"]["not_sure"] == 8


def test_who_misses_attention_questions_does_not_count(tmp_path):
    study = small_study(tmp_path)

    def careless(question):
        return "tie" if question.kind == "attention" else choice_of(question, LIKING[::-1])

    def like(question):
        return choice_of(question, LIKING)

    values, ballots = reported(study, like, careless, like)
    assert [rater["counted"] for rater in values["raters"]].count(False) == 1 and values["num_raters_counted"] == 2
    assert values["aspects"]["background"]["pairs"]["adapter-base"]["win_rate"]["mean"] == 1
    assert values["num_votes"] == len(ballots) == 54 and values["num_votes_counted"] == 24
    assert not [ballot for ballot in ballots if ballot.counted and ballot.kind != "plain"]


def test_missing_outputs_lose_and_stand_apart(tmp_path):
    names = [case.name for case in Listed().given]
    study = small_study(tmp_path, CONFIG.model_copy(update={"num_images": len(names)}), broken=names[:2])

    def telea_first(question):
        return choice_of(question, LIKING[::-1])

    values, ballots = reported(study, telea_first, telea_first)
    pair = values["aspects"]["background"]["pairs"]["adapter-telea"]
    num = len(names)
    assert pair["missing"] == {"adapter": 0, "telea": 2} and pair["losses"] == 2 * (num - 2) and pair["wins"] == 0
    assert pair["win_rate_shown"]["mean"] == 0
    assert pair["win_rate"]["mean"] == pytest.approx(2 / num)
    assert not [b for b in ballots if "telea" in b.panes and b.case in names[:2]]


def test_who_did_half_counts_half_for_what_is_missing(tmp_path):
    names = [case.name for case in Listed().given]
    study = small_study(tmp_path, CONFIG.model_copy(update={"num_images": len(names)}), broken=names[:2])
    votes = Votes(study.votes, study.study_id)
    votes.add_rater(TOKENS[0], "half")
    questions = study.questions(TOKENS[0])
    plain = [(key, question) for key, question in questions.items() if question.kind == "plain"]
    for key, question in plain[: len(plain) // 2]:
        votes.add(TOKENS[0], key, choice_of(question, LIKING[::-1]), 1.0)
    ballots, raters = read_ballots(study, TOKENS[:1], votes.all())
    pair = make_report(study, ballots, raters, 100)["aspects"]["background"]["pairs"]["adapter-telea"]
    by_rule = 2 * (len(plain) // 2) / len(plain)
    assert pair["win_rate"]["mean"] == pytest.approx(by_rule / (by_rule + pair["losses"]))
    assert pair["win_rate"]["low"] is None


def test_three_side_by_side(tmp_path):
    study = small_study(tmp_path, CONFIG.model_copy(update={"num_panes": 3}))
    found = reported(study, *[lambda question: choice_of(question, LIKING)] * 2)[0]["aspects"]["background"]
    assert found["pairs"]["adapter-base"]["wins"] == 8 and found["pairs"]["adapter-telea"]["wins"] == 8
    assert found["pairs"]["base-telea"]["win_rate"] is None and sum(found["picked_sides"]) == 8
    assert len(found["picked_sides"]) == 3


def test_files(tmp_path):
    study = small_study(tmp_path)
    with pytest.raises(BadSetup, match="no votes yet"):
        write_report(study, 100, str(tmp_path / "report"))
    _, ballots = reported(study, *[lambda question: choice_of(question, LIKING)] * 3)
    values = write_report(study, 100, str(tmp_path / "report"))
    names = ["report.html", "report.json", "report.md", "votes.csv", "votes.json"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == names
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == values
    rows = pd.read_csv(tmp_path / "report" / "votes.csv")
    assert len(rows) == len(ballots) == len(json.loads((tmp_path / "report" / "votes.json").read_text()))
    page, words = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert "100 % [100, 100]" in page and "100 % [100, 100]" in words and "src=" not in page
    for token in TOKENS:
        assert token not in page + words + (tmp_path / "report" / "votes.csv").read_text()
    assert "somebody" not in to_frame(ballots).to_csv()
    first = {name: (tmp_path / "report" / name).read_bytes() for name in names}
    write_report(study, 100, str(tmp_path / "report"))
    assert first == {name: (tmp_path / "report" / name).read_bytes() for name in names}


def test_votes_of_another_study_are_not_mixed_in(tmp_path):
    study = small_study(tmp_path)
    reported(study, lambda question: choice_of(question, LIKING))
    assert small_study(tmp_path).study_id == study.study_id
    with pytest.raises(BadSetup, match="18 votes of another study"):
        small_study(tmp_path, CONFIG.model_copy(update={"seed": 1}))
