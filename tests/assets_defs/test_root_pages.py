"""Files of the root on the UI's server: what opens by a click, and what does not open at all."""

import os
import uuid

import httpx2
import pytest
from starlette.applications import Starlette

from assets_defs.root_pages import root_route
from assets_defs.serving import served_url
from decoupage.guard import Guard
from pipelines.stages.store import Store
from tests.browser import chromium
from tests.served import served
from tests.stores import put_up

CARD = """---
license: other
---

# A card

![sheet](sheets/one.jpg)

| a | b |
|---|---|
| <script>document.title = 'acted'</script> | [click](javascript:alert(1)) |
"""
SCRIPT = "<!doctype html><title>Report</title><p>here</p><script>{}</script>"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    for folder in ("report", "dataset/sheets", "study/report", "shards", "library"):
        (root / folder).mkdir(parents=True)
    (root / "report" / "report.html").write_text(SCRIPT.format("document.title = 'Interactive'"))
    (root / "report" / "a b#1.csv").write_text("x")
    (root / "dataset" / "README.md").write_text(CARD)
    (root / "dataset" / "sheets" / "one.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "dataset" / "sheets" / "<b>.png").write_bytes(b"png")
    (root / "study" / "names.json").write_text("{}")
    (root / "shards" / "00000.json").write_text("{}")
    (root / "report" / "weights.safetensors").write_bytes(b"")
    (tmp_path / "secret.json").write_text("CONFIDENTIAL")
    return root


@pytest.fixture
def folder_url(root):
    with served(Guard(Starlette(routes=[root_route(str(root))]))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["folder", "memory", "s3"])
def url(root, request):
    """Of the same files in a folder, or in an object store."""
    store = Store(str(root))
    if request.param != "folder":
        bucket = request.getfixturevalue("s3").bucket() if request.param == "s3" else f"memory://{uuid.uuid4().hex}"
        store = Store(f"{bucket}/root")
        put_up(root, store)
        Store(bucket).write("secret.json", b"CONFIDENTIAL")
    with served(Guard(Starlette(routes=[root_route(store.root)]))) as port:
        yield f"http://127.0.0.1:{port}"


def test_what_assets_point_to_opens(url):
    kinds = {
        "report/report.html": "text/html",
        "dataset/README.md": "text/html",
        "dataset/sheets/one.jpg": "image/jpeg",
        "report/a b#1.csv": "text/plain",
    }
    for path, kind in kinds.items():
        answer = httpx2.get(url + served_url(path))
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_folder_opens_as_a_page_with_its_pictures(url):
    answer = httpx2.get(url + served_url("dataset/sheets"), follow_redirects=True)
    assert str(answer.url).endswith("/root/dataset/sheets/")
    assert '<img src="one.jpg"' in answer.text and "&lt;b&gt;.png" in answer.text and "<b>" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "",
        "shards/00000.json",
        "study/names.json",
        "report/absent.html",
        "report/weights.safetensors",
        "report/../shards/00000.json",
        "report/../../secret.json",
        "report/%2e%2e/%2e%2e/secret.json",
        "report/..%2f..%2fsecret.json",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "report/report.html%00.png",
        "report\\..\\..\\secret.json",
        "report/" + "a" * 5000,
    ],
)
def test_nothing_else_opens(url, path):
    answer = httpx2.Client().send(httpx2.Request("GET", f"{url}/root/{path}"))
    assert answer.status_code in (403, 404)
    assert "CONFIDENTIAL" not in answer.text and "root:" not in answer.text


def test_links_do_not_lead_out(root, folder_url):
    url = folder_url
    (root / "report" / "out.json").symlink_to(root.parent / "secret.json")
    (root / "report" / "beside.json").symlink_to(root / "study" / "names.json")
    (root / "report" / "folder").symlink_to(root.parent)
    (root / "report" / "circle.json").symlink_to(root / "report" / "circle.json")
    (root / "report" / "inside.html").symlink_to(root / "report" / "report.html")
    os.mkfifo(root / "report" / "waits.json")
    for name in ("out.json", "beside.json", "folder/", "folder/secret.json", "circle.json", "waits.json"):
        assert httpx2.get(f"{url}/root/report/{name}", timeout=5).status_code == 404
    assert httpx2.get(f"{url}/root/report/inside.html").status_code == 200


def test_objects_are_streamed_and_show_at_once_when_they_are_replaced(remote):
    large = bytes(range(256)) * 40_000  # 10 MB, several requests to the store.
    remote.write("report/answer.png", large)
    with served(Guard(Starlette(routes=[root_route(remote.root)]))) as port:
        address = f"http://127.0.0.1:{port}/root/report/answer.png"
        answer = httpx2.get(address)
        assert answer.content == large and answer.headers["content-length"] == str(len(large))
        head = httpx2.head(address)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(large)))
        Store(remote.root).write("report/answer.png", b"another")
        Store(remote.root).write("report/report.md", b"# New")
        assert httpx2.get(address).content == b"another"
        assert "<h1>New</h1>" in httpx2.get(f"http://127.0.0.1:{port}/root/report/report.md").text


def test_a_bucket_that_cannot_be_read_is_told(s3):
    with served(Guard(Starlette(routes=[root_route("s3://not-there-at-all/root")]))) as port:
        answer = httpx2.get(f"http://127.0.0.1:{port}/root/report/report.html")
    assert answer.status_code in (404, 503) and "s3://not-there-at-all/root" in answer.text


@pytest.mark.browser
def test_pages_show_themselves_and_reach_nothing(root, folder_url, tmp_path):
    url = folder_url
    grab = "fetch('/root/report/a%20b%231.csv').then(() => document.title = 'read', () => document.title = 'refused')"
    (root / "report" / "evil.html").write_text(SCRIPT.format(grab))
    with chromium(tmp_path / "profile") as open_page:
        page = open_page(url + served_url("report/report.html"))
        assert page("document.title") == "Interactive"  # Its sliders work.
        page.go(url + served_url("report/evil.html"))
        page.wait("document.title === 'refused'")
        page.go(url + served_url("dataset/README.md"))
        assert page("document.title") == "README.md"
        assert page("document.querySelectorAll('script, a').length") == 0
        assert page("document.querySelector('td').textContent").startswith("<script>")
        assert page("document.querySelector('img').src").endswith("/root/dataset/sheets/one.jpg")
