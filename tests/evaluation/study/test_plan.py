"""What is asked of whom: all pairs, sides and order by the seed, repeats and attention, missing outputs."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluation.config import StudyConfig
from evaluation.study.plan import BROKEN, SOUND, Comparison, attention_pool, choose_cases, comparisons, questions_for

METHODS = ("adapter", "base", "telea")
CASES = [f"{number:08d}-0" for number in range(8)]


def planned(config, state=lambda *_: True):
    every = comparisons(config, METHODS, CASES, state)
    return every, attention_pool([comparison for comparison in every if comparison.can_be_asked], config)


def test_by_default_it_is_the_papers_study():
    """18 raters, 40 pictures, three answers side by side (section 4.3 of the paper)."""
    assert (StudyConfig().num_raters, StudyConfig().num_images, StudyConfig().num_panes) == (18, 40, 3)


def test_every_pair_of_methods_meets_on_every_case_of_every_aspect():
    every, _ = planned(StudyConfig(num_panes=2))
    assert len(every) == len(set(every)) == 2 * 8 * 3
    assert {comparison.shown for comparison in every} == {("adapter", "base"), ("adapter", "telea"), ("base", "telea")}


def test_three_panes_take_three_methods():
    every, attention = planned(StudyConfig(num_panes=3, aspects=("background",)))
    assert [comparison.shown for comparison in every] == [METHODS] * 8
    questions = questions_for(StudyConfig(num_panes=3), every, attention, "rater")
    assert {tuple(sorted(q.panes)) for q in questions if q.kind == "attention"} == {(BROKEN, BROKEN, SOUND)}


def test_two_methods_of_an_aspect_are_a_pair_where_three_could_stand():
    def state(aspect, method, case):
        return None if aspect == "foreground" and method == "telea" else True

    every, _ = planned(StudyConfig(num_panes=3), state)
    assert Counter(comparison.shown for comparison in every) == {METHODS: 8, ("adapter", "base"): 8}


def test_a_missing_output_is_not_shown_and_loses():
    def state(aspect, method, case):
        return not (method == "base" and case == CASES[0])

    every, _ = planned(StudyConfig(num_panes=2, aspects=("background",)), state)
    first = [comparison for comparison in every if comparison.case == CASES[0]]
    assert {(c.shown, c.missing, c.can_be_asked) for c in first} == {
        (("adapter",), ("base",), False),
        (("telea",), ("base",), False),
        (("adapter", "telea"), (), True),
    }
    asked = questions_for(StudyConfig(num_panes=2), every, [], "rater")
    assert not [q for q in asked if q.comparison.case == CASES[0] and "base" in q.panes]


def test_sides_and_order_differ_from_rater_to_rater_and_are_even():
    every, _ = planned(StudyConfig(num_panes=2))
    config = StudyConfig(num_panes=2, repeat_share=0)
    orders = {rater: questions_for(config, every, [], f"rater {rater}") for rater in range(200)}
    assert orders[0] == questions_for(config, every, [], "rater 0") != orders[1]
    left = Counter(question.panes[0] for questions in orders.values() for question in questions)
    total = sum(left.values())
    assert all(abs(number / total - 1 / 3) < 0.02 for number in left.values())
    assert len({questions[0].comparison for questions in orders.values()}) > 40
    assert questions_for(StudyConfig(num_panes=2, repeat_share=0, seed=1), every, [], "rater 0") != orders[0]


@given(st.integers(0, 1000), st.floats(0, 1), st.integers(1, 40))
def test_repeats_come_after_their_first_time_and_attention_is_spread(rater, share, limit):
    config = StudyConfig(num_panes=2, repeat_share=share, attention_share=0.1, max_questions=limit)
    every, attention = planned(config)
    questions = questions_for(config, every, attention, str(rater))
    kinds = Counter(question.kind for question in questions)
    plain = [question.comparison for question in questions if question.kind == "plain"]
    assert kinds["plain"] == limit == len(set(plain)) and kinds["attention"] == len(attention) == -(-limit // 10)
    repeated = [question.comparison for question in questions if question.kind == "repeat"]
    assert len(repeated) == len(set(repeated)) and (len(repeated) > 0) == (share > 0)
    for comparison in repeated:
        places = [i for i, q in enumerate(questions) if q.comparison == comparison and q.kind != "attention"]
        assert len(places) == 2 and questions[places[1]].kind == "repeat"
    assert all(
        set(question.panes) == set(question.comparison.shown) for question in questions if question.kind != "attention"
    )


def test_the_choice_of_images_depends_on_their_names_not_on_their_order():
    chosen = choose_cases(CASES, StudyConfig(num_images=3))
    assert len(chosen) == 3 and chosen == sorted(chosen)
    assert set(choose_cases(CASES[::-1], StudyConfig(num_images=3))) == set(chosen)
    assert choose_cases(CASES, StudyConfig(num_images=100)) == CASES


def test_an_attention_question_is_about_one_picture():
    _, attention = planned(StudyConfig(num_panes=2, attention_share=0.01))
    assert len(attention) == 1 and len(attention[0].shown) == 1 and isinstance(attention[0], Comparison)
    assert not planned(StudyConfig(attention_share=0))[1]
    _, many = planned(StudyConfig(num_panes=2, attention_share=1))
    assert {comparison.shown[0] for comparison in many} == set(METHODS)


def test_settings_that_make_no_study():
    with pytest.raises(ValidationError, match="each aspect may appear only once"):
        StudyConfig(aspects=("background", "background"))
    with pytest.raises(ValidationError):
        StudyConfig(aspects=())
    with pytest.raises(ValidationError):
        StudyConfig(num_panes=4)
