"""The server by hand: what it keeps, what it refuses, and that nothing says which method made a picture."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from evaluation.study.folder import load_study
from evaluation.study.server import MAX_BODY_BYTES, is_loopback
from evaluation.study.votes import Votes
from tests.evaluation.study.serving import serving
from tests.evaluation.study.studies import small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def client(study):
    with serving(study) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


def begin(client, name="Ann"):
    started = client.post("/start", data={"name": name})
    assert started.status_code == 303
    return started.headers["location"]


def content(page):
    return json.loads(re.search(r'id="content">(.*?)</script>', page.text, re.DOTALL)[1])


def test_an_answer_is_in_the_database_when_the_server_says_so(study, client):
    address = begin(client)
    screen = content(client.get(address))["screens"][0]
    answer = {"question": screen["id"], "choice": "1", "time_s": 1.25}
    for _ in range(2):
        assert client.post(f"{address}/answers", json=answer).json() == {"saved": True}
    token = address.rpartition("/")[2]
    (vote,) = Votes(study.votes, study.study_id).all(token)
    assert (vote.question, vote.choice, vote.time_s) == (screen["id"], "1", 1.25)
    client.post(f"{address}/answers", json=answer | {"choice": "tie", "time_s": 9})
    (vote,) = Votes(study.votes, study.study_id).all(token)
    assert (vote.choice, vote.time_s) == ("tie", 9)
    assert content(client.get(address))["answered"] == {screen["id"]: "tie"}


def test_many_raters_at_once_lose_nothing(study, client):
    def rate(number):
        address = begin(client, f"rater {number}")
        screens = content(client.get(address))["screens"]
        for screen in screens:
            kept = client.post(f"{address}/answers", json={"question": screen["id"], "choice": "2", "time_s": 1})
            assert kept.status_code == 200
        return address.rpartition("/")[2], len(screens)

    with ThreadPoolExecutor(6) as pool:
        for token, number in pool.map(rate, range(6)):
            assert len(Votes(study.votes, study.study_id).all(token)) == number


def test_nothing_tells_methods_apart(study, client):
    page = client.get(begin(client))
    shown = content(page)
    for word in ("adapter", "telea", "attention", "repeat", "sound", "broken", "00000"):
        # "attention" and others may stand in no part that comes from the plan.
        assert word not in json.dumps(shown), word
    assert "adapter" not in page.text and "telea" not in page.text
    pictures = [client.get(address) for address in shown["pictures"].values()]
    kept = {"content-length", "date"}
    assert len({tuple(sorted((k, v) for k, v in p.headers.items() if k not in kept)) for p in pictures}) == 1
    assert all(p.status_code == 200 and not {"etag", "last-modified"} & set(p.headers) for p in pictures)
    ids = set(shown["pictures"])
    assert ids <= study.picture_ids and all(re.fullmatch("[0-9a-f]{32}", name) for name in ids)


def test_two_raters_share_no_question_ids(client):
    first, second = (content(client.get(begin(client)))["screens"] for _ in range(2))
    assert not {screen["id"] for screen in first} & {screen["id"] for screen in second}


def test_another_key_gives_other_names(study, tmp_path):
    other = small_study(tmp_path)
    assert other.study_id == study.study_id and not other.picture_ids & study.picture_ids
    assert small_study(tmp_path).picture_ids == other.picture_ids == load_study(tmp_path / "study").picture_ids
    assert (tmp_path / "study" / "key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change",
    [{"choice": "3"}, {"choice": 1}, {"time_s": -1}, {"time_s": "1"}, {"time_s": True}, {"question": "0" * 32},
     {"question": None}, {"question": ["a"]}, {"time_s": 1e9}],
)  # fmt: skip
def test_no_answer_to_a_question_of_this_rater(study, client, change):
    address = begin(client)
    screen = content(client.get(address))["screens"][0]
    wrong = {"question": screen["id"], "choice": "1", "time_s": 1} | change
    refused = client.post(f"{address}/answers", json=wrong)
    assert refused.status_code == 422 and refused.json()["error"]
    assert not Votes(study.votes, study.study_id).all(address.rpartition("/")[2])


def test_bodies_that_are_no_answers(client):
    address = f"{begin(client)}/answers"
    as_json = {"content-type": "application/json"}
    assert client.post(address, content=b"{", headers=as_json).status_code == 422
    assert client.post(address, content=b"[]", headers=as_json).status_code == 422
    assert client.post(address, content=b"[" * 4000, headers=as_json).status_code == 422
    assert client.post(address, content=b"\xff", headers=as_json).status_code == 422
    assert client.post(address, content=b" " * (MAX_BODY_BYTES + 1), headers=as_json).status_code == 413
    assert client.post(address, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/start", content=b"name=" + b"a" * MAX_BODY_BYTES).status_code == 413


@pytest.mark.parametrize(
    "path", ["/pictures/..%2fkey", "/pictures/../key", "/pictures/" + "0" * 32, "/study.json", "/key", "/votes.sqlite",
             "/r/" + "0" * 32, "/r/..%2f..%2fkey", "/pictures/"],
)  # fmt: skip
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


def test_only_by_its_own_name(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/").status_code == 200
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost") and not is_loopback("0.0.0.0")


def test_names_are_kept_as_one_short_line(study, client):
    token = begin(client, "  A\n\x00nn <b>\u202e" + "x" * 200).rpartition("/")[2]
    name = Votes(study.votes, study.study_id).raters()[token]
    assert name.startswith("Ann <b>x") and len(name) == 80


def test_a_page_may_reach_nothing_outside(client):
    for page in (client.get("/"), client.get(begin(client))):
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "no-referrer"
        assert "http://" not in page.text and "https://" not in page.text
    assert threading.active_count() < 200
