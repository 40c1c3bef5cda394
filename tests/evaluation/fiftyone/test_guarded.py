"""FiftyOne's server behind the guard: its page works, and no other page gets a file, a record, or a change."""

import socket
from urllib.parse import quote, quote_plus

import httpx2
import pytest

from decoupage.faults import BadSetup
from evaluation.fiftyone.app import is_open, serving
from tests.evaluation.fiftyone.way_back import NAME, build, load
from tests.served import raw

FOREIGN = "http://evil.example"
PICTURE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.fixture
def media(tmp_path):
    media = tmp_path / "media"
    (media / "train").mkdir(parents=True)
    (media / "train" / "ours é+.jpg").touch()
    (tmp_path / "secret").touch()
    (media / "link").symlink_to(tmp_path / "secret")
    (media / "inside").symlink_to(media / "train" / "ours é+.jpg")
    (media / "circle").symlink_to(media / "circle")
    return media


def query(*files, quoted=quote):
    return "&".join(f"filepath={quoted(str(file))}" for file in files).encode()


def test_media_are_those_of_the_folder(media, tmp_path):
    ours = media / "train" / "ours é+.jpg"
    for asked in (query(ours), query(ours, quoted=quote_plus), query(media / "inside"), b"", query(media / "absent")):
        assert is_open("/media", asked, media)
    reached = tmp_path / "reached"
    reached.symlink_to(media)
    assert is_open("/media", query(reached / "train" / ours.name), media) and is_open("/media", query(ours), reached)


def test_no_other_file_is_given(media, tmp_path):
    theirs = ["/etc/passwd", tmp_path / "secret", media / ".." / "secret", media / "link", media / "link" / "x"]
    theirs += [
        f"{media}x/secret",
        "etc/passwd",
        "~/.ssh/id_rsa",
        "file:///etc/passwd",
        "s3://bucket/key",
        "\0",
        "a" * 9999,
    ]
    for file in theirs:
        for path in ("/media", "/media/", "/media//"):
            assert not is_open(path, query(file), media)
    ours = media / "train" / "ours é+.jpg"
    assert not is_open("/media", query(ours, "/etc/passwd"), media)
    assert not is_open("/media", query("/etc/passwd", ours), media)
    assert not is_open("/media", b"file%70ath=%2fetc%2fpasswd", media)
    assert is_open("/events", query("/etc/passwd"), media)  # Which reads no file.


def test_a_taken_port_is_told(media):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BadSetup, match=r"in use\); choose another with --port"),
            serving("127.0.0.1", port, NAME, media),
        ):
            pass


@pytest.fixture
def app(root, server):
    """Port of the App over a small dataset, and the folder of its pictures."""
    build(root)
    folder = root / "fiftyone" / "media"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving("127.0.0.1", port, NAME, folder) as started:
        started.await_answer()
        yield port, folder


@pytest.mark.slow
def test_the_app_answers_its_own_page_alone(app):
    port, folder = app
    url, picture = f"http://127.0.0.1:{port}", next(folder.rglob("*.jpg"))
    own = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    asked = {"query": 'query { datasets(first: 9, search: "") { edges { node { name } } } }'}

    given = httpx2.get(f"{url}/media", params={"filepath": str(picture)}, headers=own)
    assert given.content == picture.read_bytes() and given.headers["cross-origin-resource-policy"] == "same-origin"
    assert NAME in httpx2.post(f"{url}/graphql", json=asked, headers=own, timeout=60).text
    assert "<html" in httpx2.get(url, follow_redirects=True).text

    file = {"filepath": "/etc/passwd"}
    tag = {"dataset": NAME, "changes": {"reject": True}, "current_frame": None, "filters": None, "view": []}
    tried = [
        httpx2.get(f"{url}/media", params=file),
        httpx2.get(f"{url}/media", params=file, headers={"Host": "evil.example"}),
        httpx2.head(f"{url}/media", params=file),
        httpx2.get(f"{url}/media", params={"filepath": str(folder.parent / "database" / "WiredTiger")}),
        httpx2.get(f"{url}/media", params={"filepath": str(picture)}, headers=PICTURE),
        httpx2.get(f"{url}/media", params={"filepath": str(picture)}, headers={"Host": f"evil.example:{port}"}),
        httpx2.get(f"{url}/graphql", params=asked),
        httpx2.post(f"{url}/graphql", json=asked, headers={"Origin": FOREIGN}),
        httpx2.post(f"{url}/tag", json=tag, headers={"Origin": FOREIGN}),
        httpx2.post(f"{url}/tag", content=b"{}", headers={"Origin": "null", "Content-Type": "text/plain"}),
        httpx2.post(f"{url}/events", json={"subscription": "x", "polling": True}, headers={"Origin": FOREIGN}),
        httpx2.post(f"{url}/operators/execute", json={"operator_uri": "x"}, headers={"Sec-Fetch-Site": "same-site"}),
    ]
    assert [answer.status_code for answer in tried] == [403] * len(tried)
    assert raw(port, f"GET /media?filepath=/etc/passwd HTTP/1.1\nHost: 127.0.0.1:{port}\n\n") == 403
    assert raw(port, "GET http://evil.example/media?filepath=/etc/passwd HTTP/1.1\nHost: evil.example\n\n") >= 400
    assert load().count_values("tags") == {}
