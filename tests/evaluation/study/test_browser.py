"""The study in a real browser: three raters at the server, one of whom closes the page half-way, and one offline."""

import csv
import json
from contextlib import ExitStack

import pytest

from evaluation.study.bundle import bundle_token, import_answers, write_bundles
from evaluation.study.figures import PRIOR_WINS
from evaluation.study.report import write_report
from evaluation.study.votes import Votes
from tests.browser import chromium, wait
from tests.evaluation.study import by_hand
from tests.evaluation.study.serving import serving
from tests.evaluation.study.studies import CONFIG, choice_of, small_study

pytestmark = pytest.mark.browser
LIKING = ["adapter", "base", "telea"]
KEYS = {"tie": "t", "not_sure": "n"}


THREE_IMAGES = CONFIG.model_copy(update={"num_images": 3})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_study(tmp_path_factory.mktemp("study"), THREE_IMAGES)


@pytest.fixture(scope="module")
def rated_study(tmp_path_factory):
    """One that only the three raters answer."""
    return small_study(tmp_path_factory.mktemp("rated"), THREE_IMAGES)


@pytest.fixture(scope="module")
def open_page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as open_page:
        yield open_page


def begin(page, name):
    """Fills in the first page; gives the rater's token."""
    page(f"document.getElementById('name').value = {json.dumps(name)}")
    page("document.querySelector('form').submit()")
    page.wait("location.pathname.startsWith('/r/') && document.readyState === 'complete'")
    return page("location.pathname").rpartition("/")[2]


def ready(page, place):
    page.wait(f"document.body.dataset.place === '{place}' && !document.querySelector('[data-choice=tie]').disabled")


def rate(page, questions, choose, places, by="keys"):
    """Answers the screens of these places as they come up."""
    for place in places:
        ready(page, place)
        choice = choose(questions[place])
        if by == "keys":
            page.press(KEYS.get(choice, choice))
        else:
            page.tap(f"button[data-choice='{choice}']")
    page.wait(f"document.body.dataset.place === '{places[-1] + 1}'")


def careful(question):
    """Cannot tell base from telea."""
    if question.kind != "attention" and set(question.panes) == {"base", "telea"}:
        return "tie"
    return choice_of(question, LIKING)


def contrary(question):
    return "not_sure" if question.panes == ("base", "adapter") else choice_of(question, LIKING[::-1])


def careless(question):
    return "2" if question.kind == "attention" and question.panes[0] == "sound" else "1"


@pytest.fixture(scope="module")
def rated(rated_study, open_page):
    """Token -> way, once all three are done."""
    study = rated_study
    with serving(study) as url:
        desk = open_page(url)
        first = begin(desk, "careful")
        questions = list(study.questions(first).values())
        rate(desk, questions, careful, range(len(questions)))
        assert "14 answers" in desk("document.getElementById('done').textContent")

        phone = open_page(url)
        phone.phone()
        second = begin(phone, "contrary")
        questions = list(study.questions(second).values())
        half = len(questions) // 2
        rate(phone, questions, contrary, range(half), by="fingers")
        phone.close()
        kept = Votes(study.votes, study.study_id).all(second)
        assert len(kept) == half
        phone = open_page(f"{url}/r/{second}")
        phone.phone()
        rate(phone, questions, contrary, range(half, len(questions)), by="fingers")
        assert [vote for vote in Votes(study.votes, study.study_id).all(second) if vote in kept] == kept

        third = begin(page := open_page(url), "careless")
        questions = list(study.questions(third).values())
        rate(page, questions, careless, range(len(questions)))
    return {first: careful, second: contrary, third: careless}


def test_every_answer_is_kept_as_it_was_given(rated_study, rated):
    study = rated_study
    for token, way in rated.items():
        questions = study.questions(token)
        votes = {vote.question: vote for vote in Votes(study.votes, study.study_id).all(token)}
        assert {question: vote.choice for question, vote in votes.items()} == {
            question_id: way(question) for question_id, question in questions.items()
        }
        assert all(0 < vote.time_s < 600 for vote in votes.values())


def test_figures_follow_from_the_raw_votes(rated_study, rated, tmp_path):
    """Recomputed with plain loops from `votes.csv` alone."""
    study = rated_study
    values = write_report(study, 300, str(tmp_path))
    found = values["aspects"]["background"]
    with (tmp_path / "votes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 42 == values["num_votes"]
    counted = by_hand.raters_who_count(rows, 0.2)
    assert counted == {study.public_rater(token) for token, way in rated.items() if way is not careless}
    assert {rater["rater"] for rater in values["raters"] if rater["counted"]} == counted
    plain = [row for row in rows if row["kind"] == "plain" and row["rater"] in counted]
    wins = by_hand.wins(plain)
    for name, pair in found["pairs"].items():
        first, second = name.split("-")
        for rate in (pair["win_rate"], pair["win_rate_shown"]):
            assert rate["mean"] == pytest.approx(wins[first, second] / (wins[first, second] + wins[second, first]))
            assert rate["low"] <= rate["mean"] <= rate["high"]
        assert pair["wins"] + pair["losses"] + pair["ties"] + pair["not_sure"] == 6
    assert found["pairs"]["base-telea"]["ties"] == 3 and found["pairs"]["adapter-telea"]["wins"] == 3
    strengths = by_hand.zermelo(wins, LIKING, PRIOR_WINS)
    for method, strength in found["bradley_terry"].items():
        assert strength["mean"] == pytest.approx(strengths[method], abs=1e-4)
        assert strength["low"] <= strength["mean"] <= strength["high"]
    alpha, same_share = by_hand.agreement_of_two(plain)
    assert found["agreement"]["krippendorff_alpha"] == pytest.approx(alpha)
    assert found["agreement"]["same_share"] == pytest.approx(same_share)
    again, same = by_hand.repeats([row for row in rows if row["rater"] in counted])
    assert (values["repeats"]["num_asked"], values["repeats"]["num_same"]) == (again, same) and again == 6


def test_all_panes_zoom_together_at_the_same_place(study, open_page):
    scale = "parseFloat(document.getElementById('scale').textContent)"
    places = "[...document.querySelectorAll('.view img')].filter(i => i.offsetWidth).map(i => i.style.transform)"
    with serving(study) as url:
        page = open_page(url)
        begin(page, "looks closely")
        ready(page, 0)
        x, y = page.middle(".pane .view")
        assert page(places) == ["", "", ""]
        page.do("Input.dispatchMouseEvent", type="mouseWheel", x=x + 20, y=y, deltaX=0, deltaY=-400)
        page.wait(f"{scale} > 1")
        zoomed = page(places)
        assert len(set(zoomed)) == 1 and "scale(2.2" in zoomed[0]
        page.press("z")
        page.press("ArrowRight")
        assert len(set(page(places))) == 1 and "scale(4)" in page(places)[0] and page(places) != zoomed
        page.press("0")
        assert page(places) == ["", "", ""]
        page.phone()
        x, y = page.middle(".pane .view")
        for kind, reach in (("touchStart", 20), ("touchMove", 30), ("touchMove", 60)):
            fingers = [{"x": x - reach, "y": y, "id": 0}, {"x": x + reach, "y": y, "id": 1}]
            page.do("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)
        page.do("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        page.wait(f"{scale} === 3")
        assert len(set(page(places))) == 1
        page.press("1")
        ready(page, 1)
        assert page(places) == ["", "", ""]


def test_back_changes_an_answer_and_a_lost_server_loses_none(study, open_page):
    with ExitStack() as stack:
        url = stack.enter_context(serving(study))
        page = open_page(url)
        token = begin(page, "hesitates")
        questions = list(study.questions(token))
        ready(page, 0)
        page.press("1")
        ready(page, 1)
        page.press("b")
        ready(page, 0)
        assert page("document.querySelector('.chosen').dataset.choice") == "1"
        page.press("t")
        ready(page, 1)
        (vote,) = Votes(study.votes, study.study_id).all(token)
        assert (vote.question, vote.choice) == (questions[0], "tie")
    page.press("1")
    page.wait("!document.getElementById('fault').hidden")
    assert "not kept" in page("document.getElementById('fault').textContent")
    assert page("document.body.dataset.place") == "1"
    assert len(Votes(study.votes, study.study_id).all(token)) == 1


def test_pages_fit_a_phone_and_name_what_they_show(study, open_page):
    with serving(study) as url:
        page = open_page(url)
        page.phone()
        assert page("document.documentElement.scrollWidth") <= 390
        begin(page, "on the way")
        ready(page, 0)
        assert page("document.documentElement.scrollWidth") <= 390
        assert page("document.documentElement.scrollHeight") <= 844
        assert page("[...document.querySelectorAll('img')].every(image => image.alt)")
        sizes = "[...document.querySelectorAll('button')].filter(b => b.offsetWidth).map(b => b.offsetHeight)"
        assert min(page(sizes)) >= 44
        assert "adapter" not in page("document.documentElement.outerHTML")


def test_offline_from_one_file_to_one_file(study, tmp_path):
    (file,) = write_bundles(study, 1)
    token = bundle_token(study, 1)
    questions = list(study.questions(token).values())
    half = len(questions) // 2
    with chromium(tmp_path / "profile") as open_page:
        rate(open_page(file.as_uri()), questions, careful, range(half))
    with chromium(tmp_path / "profile") as open_page:
        page = open_page(file.as_uri())
        page.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        rate(page, questions, careful, range(half, len(questions)))
        page("document.getElementById('save').click()")
        page.wait("document.getElementById('kept').textContent.includes('14 of 14')")
        saved = tmp_path / f"answers-{token[:8]}.json"
        page.wait("document.readyState === 'complete'")
        wait(saved.exists, "the download")
    assert import_answers(study, saved) == 14
    votes = {vote.question: vote.choice for vote in Votes(study.votes, study.study_id).all(token)}
    assert votes == {question_id: careful(question) for question_id, question in study.questions(token).items()}


@pytest.mark.parametrize("screen", ["desk", "phone"])
def test_three_methods_side_by_side_fit_the_screen(screen, tmp_path, open_page):
    study = small_study(tmp_path, THREE_IMAGES.model_copy(update={"num_panes": 3}))
    with serving(study) as url:
        page = open_page(url)
        getattr(page, screen)()
        token = begin(page, screen)
        ready(page, 0)
        assert page("[...document.querySelectorAll('.pane img')].filter(image => image.naturalWidth > 0).length") == 3
        assert page("document.documentElement.scrollWidth <= innerWidth")
        questions = list(study.questions(token).values())
        rate(page, questions, lambda question: "3", range(2), by={"desk": "keys", "phone": "fingers"}[screen])
    votes = Votes(study.votes, study.study_id).all(token)
    assert [vote.choice for vote in votes] == ["3", "3"] and all(len(question.panes) == 3 for question in questions)
