"""Votes joined with the plan: which method each rater picked, and which raters count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from decoupage.faults import BadSetup
from decoupage.text_files import printable
from evaluation.config import Aspect
from evaluation.study.folder import Study
from evaluation.study.plan import SOUND, Kind, Question
from evaluation.study.votes import NOT_SURE, TIE, Vote, choices_of


@dataclass(frozen=True)
class Ballot:
    """One answer with its meaning.

    Attributes:
        rater: public name of the rater.
        place: number of the question in the rater's order, from 1.
        panes: what was shown from left to right: methods, or `sound` and `broken`.
        picked: one of the panes, `tie` or `not_sure`.
        counted: whether it is part of the results: first answers of raters who count.
    """

    rater: str
    place: int
    kind: Kind
    aspect: Aspect
    case: str
    scene: str
    panes: tuple[str, ...]
    choice: str
    picked: str
    time_s: float
    answered_at: str
    counted: bool = False

    @property
    def asked(self) -> tuple[str, str, tuple[str, ...]]:
        """What was compared, whichever picture was on which side."""
        return self.aspect, self.case, tuple(sorted(self.panes))


@dataclass(frozen=True)
class Rater:
    """One rater: their numbers of questions and answers, and whether they count.

    Attributes:
        num_asked: number of questions in their plan.
        num_missed: attention questions not answered with the sound picture; a tie is a miss too.
        num_same: repeated questions answered as the first time.
        median_time_s: median time for a question; None without answers.
    """

    rater: str
    num_asked: int
    num_answers: int
    num_attention: int
    num_missed: int
    num_repeats: int
    num_same: int
    median_time_s: float | None
    counted: bool


def read_ballots(study: Study, raters: Sequence[str], votes: Sequence[Vote]) -> tuple[list[Ballot], list[Rater]]:
    """Every answer in the order in which its rater was asked, and every rater.

    A rater counts if they miss at most `max_missed_share` of the attention questions that they answered.

    Args:
        study: the study.
        raters: tokens of the raters.
        votes: the votes of these raters on questions of this study.

    Raises:
        BadSetup: the database was damaged or changed by hand.
    """
    given: dict[str, dict[str, Vote]] = {token: {} for token in raters}
    for vote in votes:
        given[vote.rater][vote.question] = vote
    ballots: list[Ballot] = []
    found: list[Rater] = []
    for token in raters:
        questions = study.questions(token)
        own = _ballots_of(study, token, questions, given[token])
        rater = _judged(study, study.public_rater(token), len(questions), own)
        found.append(rater)
        ballots += [replace(ballot, counted=rater.counted and ballot.kind == "plain") for ballot in own]
    return ballots, found


def to_frame(ballots: Sequence[Ballot]) -> pd.DataFrame:
    """The export's table, one row per vote; panes side by side with `|` between them."""
    frame = pd.DataFrame(map(vars, ballots), columns=list(Ballot.__dataclass_fields__))
    frame["panes"] = ["|".join(ballot.panes) for ballot in ballots]
    return frame


def _ballots_of(study: Study, token: str, questions: Mapping[str, Question], votes: Mapping[str, Vote]) -> list[Ballot]:
    ballots = []
    for place, (question_id, question) in enumerate(questions.items(), start=1):
        if question_id not in votes:
            continue
        vote, asked = votes[question_id], question.comparison
        if vote.choice not in choices_of(len(question.panes)) or not isinstance(vote.time_s, float):
            said = printable(f"{vote.choice!r} after {vote.time_s!r} s")
            raise BadSetup(f"{study.votes} holds an answer that no page sends ({said}): restore it from a copy")
        picked = vote.choice if vote.choice in (TIE, NOT_SURE) else question.panes[int(vote.choice) - 1]
        ballots.append(
            Ballot(
                study.public_rater(token),
                place,
                question.kind,
                asked.aspect,
                asked.case,
                study.scenes[asked.case],
                question.panes,
                vote.choice,
                picked,
                vote.time_s,
                vote.answered_at,
            )
        )
    return ballots


def _judged(study: Study, name: str, num_asked: int, ballots: Sequence[Ballot]) -> Rater:
    attention = [ballot for ballot in ballots if ballot.kind == "attention"]
    missed = [ballot for ballot in attention if ballot.picked != SOUND]
    first = {ballot.asked: ballot.picked for ballot in ballots if ballot.kind == "plain"}
    again = [ballot for ballot in ballots if ballot.kind == "repeat" and ballot.asked in first]
    times = pd.Series([ballot.time_s for ballot in ballots], dtype=float)
    return Rater(
        name,
        num_asked,
        len(ballots),
        len(attention),
        len(missed),
        len(again),
        sum(ballot.picked == first[ballot.asked] for ballot in again),
        float(times.median()) if len(times) else None,
        len(missed) <= study.config.max_missed_share * len(attention),
    )
