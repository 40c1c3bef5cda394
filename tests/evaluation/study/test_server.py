"""The server by hand: what it keeps, what it refuses, and that nothing says which method made a picture."""

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from decoupage.faults import BadSetup
from decoupage.serve import connections
from decoupage.serve.connections import is_loopback, own_names
from evaluation.study import server, votes
from evaluation.study.folder import load_study
from evaluation.study.server import MAX_BODY_BYTES, MAX_FIELDS, serve_study
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
    form = {"content-type": "application/x-www-form-urlencoded"}
    nine = "&".join(f"field{number}=a" for number in range(MAX_FIELDS + 1))
    assert client.post("/start", content=nine, headers=form).status_code == 422
    for odd in (b"", b"name=%ff%00%ed%a0%80", b"\xff=\xff", b"name", b"=" * 4000, b"name=\0"):
        assert client.post("/start", content=odd, headers=form).status_code == 303, odd
    with_surrogate = b'{"question": "\\ud800", "choice": "\\ud800", "time_s": NaN}'
    assert client.post(address, content=with_surrogate, headers=as_json).status_code == 422


@pytest.mark.parametrize(
    "path", ["/pictures/..%2fkey", "/pictures/../key", "/pictures/" + "0" * 32, "/study.json", "/key", "/votes.sqlite",
             "/r/" + "0" * 32, "/r/..%2f..%2fkey", "/pictures/"],
)  # fmt: skip
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


def test_only_by_its_own_name(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/").status_code == 200
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost") and not is_loopback("0.0.0.0")


def test_names_are_kept_as_one_short_line(study, client):
    token = begin(client, "  A\n\x00nn <b>\u202e" + "x" * 200).rpartition("/")[2]
    name = Votes(study.votes, study.study_id).raters()[token]
    assert name.startswith("Ann <b>x") and len(name) == 80


def test_a_page_may_reach_nothing_outside(client):
    for page in (client.get("/"), client.get(begin(client))):
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "same-origin"
        assert "http://" not in page.text and "https://" not in page.text
    assert threading.active_count() < 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}, {"host": "evil.example"}],
    ids=str,
)
def test_no_other_site_starts_a_rater(study, client, headers):
    before = len(Votes(study.votes, study.study_id).raters())
    assert client.post("/start", data={"name": "Eve"}, headers=headers).status_code == 403
    assert client.get("/start").status_code == 405
    assert len(Votes(study.votes, study.study_id).raters()) == before


def test_so_many_raters_a_minute_and_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "MAX_STARTS_A_MINUTE", 3)
    study = small_study(tmp_path)
    with serving(study) as url, httpx2.Client(base_url=url) as client:
        for number in range(3):
            begin(client, str(number))
        refused = client.post("/start", data={"name": "one more"})
        assert refused.status_code == 429 and "Wait a minute" in refused.text and refused.headers["retry-after"] == "60"
        assert refused.headers["content-type"].startswith("text/html")
    monkeypatch.setattr(votes, "MAX_RATERS", 3)
    with serving(study) as url, httpx2.Client(base_url=url) as client:
        refused = client.post("/start", data={"name": "one more"})
        assert refused.status_code == 429 and "as many raters as it can take" in refused.text


def talk(url, *parts, pause_s=0.0):
    """What comes back to raw bytes until the server closes; None where it does not within ten seconds."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part.replace(b"HOST", f"Host: {host}:{port}".encode()))
                time.sleep(pause_s)
            while more := connection.recv(65536):
                answer += more
        except (ConnectionResetError, BrokenPipeError):
            return answer
        except TimeoutError:
            return None
    return answer


def test_what_is_no_request(client):
    url = str(client.base_url)
    head = b"HOST\r\n"
    for sent in (
        b"\x16\x03\x01\x02\0",
        b"\0" * 300_000,
        b"GET / HTTP/1.1\r\n",
        b"GET /\xff HTTP/1.1\r\n" + head,
        b"GET / HTTP/1.1\r\n" + head + b"X: y\r\n" * 100_000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + head,
        b"POST /start HTTP/1.1\r\nContent-Length: -1\r\n" + head,
        b"POST /start HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + head,
    ):
        answer = talk(url, sent + b"\r\n\r\n")
        assert answer is not None and (not answer or answer.startswith(b"HTTP/1.1 4")), (sent[:30], answer)
    doubled = talk(url, b"GET / HTTP/1.1\r\nHOST\r\nHost: evil\r\nConnection: close\r\n\r\n")
    assert doubled.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert client.get("/").status_code == 200


def test_a_body_without_end_is_cut_off(client):
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    head = b"POST /start HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = talk(str(client.base_url), head, *[chunk] * 200)
    assert answer is not None and (not answer or answer.startswith(b"HTTP/1.1 413"))


@pytest.mark.parametrize("head", [b"GET / HTT", b"POST /start HTTP/1.1\r\nHOST\r\nContent-Length: 9\r\n\r\n", b""])
def test_slow_senders_are_closed(client, monkeypatch, head):
    monkeypatch.setattr(connections, "RECEIVE_S", 0.5)
    started = time.monotonic()
    assert talk(str(client.base_url), head, *[b"n"] * 8, pause_s=0.2) == b""
    assert time.monotonic() - started < 5
    assert client.get("/").status_code == 200


def test_a_reader_that_never_reads_is_closed(client, monkeypatch):
    monkeypatch.setattr(connections, "SEND_S", 0.5)
    url = str(client.base_url)
    host, port = url.removeprefix("http://").split(":")
    asked = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises((ConnectionResetError, BrokenPipeError, TimeoutError)):
            connection.sendall(asked * 1_000_000)  # The system keeps megabytes for a server that does not take them.
    assert client.get("/").status_code == 200


def test_a_damaged_database_is_named(tmp_path, capsys, caplog):
    study = small_study(tmp_path)
    with serving(study) as url, httpx2.Client(base_url=url, timeout=30) as client:
        begin(client)
        for path in tmp_path.glob("study/votes.sqlite*"):
            path.write_bytes(b"no database" * 1000)
        refused = client.post("/start", data={"name": "Ann"})
        assert refused.status_code == 503 and str(tmp_path) not in refused.text
        assert "votes.sqlite" in caplog.text
    with pytest.raises(BadSetup, match=r"votes\.sqlite"):
        serve_study(study, "127.0.0.1", 0)


def test_pictures_that_are_lost_are_told_to_the_owner(tmp_path, caplog):
    study = small_study(tmp_path)
    with serving(study) as url, httpx2.Client(base_url=url) as client:
        name = sorted(study.picture_ids)[0]
        (tmp_path / f"study/pictures/{name}.png").unlink()
        assert client.get(f"/pictures/{name}").status_code == 503 and name in caplog.text


def test_the_names_of_a_server():
    assert own_names("127.0.0.1") == own_names("::1") == ("127.0.0.1", "localhost", "[::1]")
    assert own_names("192.168.1.5")[0] == "192.168.1.5" and own_names("fe80::1")[0] == "[fe80::1]"
    assert socket.gethostname().lower() in own_names("0.0.0.0") and "*" not in own_names("0.0.0.0")
