"""What the guard of servers lets through, and what it refuses: by names, by sites, by methods."""

import asyncio

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from decoupage.guard import LOOPBACK, Guard, names_of
from tests.served import raw, served

HERE = "127.0.0.1:3000"
FOREIGN = "http://evil.example"
OTHER_SITE = "the request comes from another site"
OTHER_NAME = "the server is not called by this name"


async def nothing(scope, receive, send):
    raise AssertionError("the application was reached")


def refusal(method="GET", path="/", kind="http", headers=None, guard=None, **more):
    """Why a request to 127.0.0.1:3000 is refused; headers: pairs, or a mapping that is laid over a Host."""
    pairs = headers if isinstance(headers, list) else {"host": HERE, **(headers or {})}.items()
    coded = [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]
    scope = {"type": kind, "path": path, "query_string": b"", "headers": coded, **more}
    return (guard or Guard(nothing)).refusal(scope | ({"method": method} if kind == "http" else {}))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:3000", "localhost:3000", "LocalHost:80", "[::1]", "[::1]:3000"]
)
def test_own_names_are_answered(host):
    assert refusal(headers={"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.nip.io:3000",  # A name that is made to point here.
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0.0.0.0:3000",
        "::1",
        "[::1",
        "[::ffff:127.0.0.1]",
        "evil.example@127.0.0.1",
        "127.0.0.1:3000@evil.example",
        "127.0.0.1:3000:3000",
        "127.0.0.1:",
        "127.0.0.1:²",
        "127.0.0.1/",
        " 127.0.0.1",
        "127.0.0.1, evil.example",
    ],
)
def test_other_names_are_refused(host):
    assert refusal(headers={"host": host}) == OTHER_NAME


def test_a_host_is_named_once():
    assert refusal(headers=[]) == OTHER_NAME
    assert refusal(headers=[("host", HERE), ("host", HERE)]) == OTHER_NAME
    assert refusal(headers=[("host", HERE), ("Host", "evil.example")]) == OTHER_NAME


def test_what_proxies_say_counts_for_nothing():
    said = {"x-forwarded-host": HERE, "forwarded": f"host={HERE}", "x-original-host": HERE}
    assert refusal(headers={"host": "evil.example", **said}) == OTHER_NAME
    assert refusal(headers={"x-forwarded-host": "evil.example"}) is None


def test_any_name_where_others_are_to_reach_it():
    open_guard = Guard(nothing, hosts=("*",))
    assert refusal(headers={"host": "studio.example"}, guard=open_guard) is None
    assert refusal(headers={"host": "studio.example", "origin": "https://studio.example"}, guard=open_guard) is None
    assert refusal(headers={"host": "studio.example", "origin": FOREIGN}, guard=open_guard) == OTHER_SITE
    assert refusal(headers={"host": "a b"}, guard=open_guard) == OTHER_NAME


def test_an_address_says_by_which_names_it_is_called():
    for address in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        assert set(LOOPBACK) <= set(names_of(address))
    assert "127.0.0.2" in names_of("127.0.0.2") and "[::1]" in names_of("::1")
    for address in ("0.0.0.0", "::", "192.168.1.5", "studio.example", ""):
        assert names_of(address) == ("*",)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:3001",  # Another port is another origin, and another program.
        "http://localhost:3000",
        "http://127.0.0.1:3000.evil.example",
        "http://evil.example/127.0.0.1:3000",
        "file://127.0.0.1:3000",
        "chrome-extension://127.0.0.1:3000",
    ],
)
def test_other_origins_are_refused(kind, origin):
    for method in ("GET", "POST"):
        assert refusal(method, kind=kind, headers={"origin": origin}) == OTHER_SITE


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_its_own_pages_are_answered(kind):
    for site in ({}, {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}):
        assert refusal("POST", kind=kind, headers={"origin": f"http://{HERE}", **site}) is None
    assert refusal(kind=kind, headers=[("host", HERE), *[("origin", f"http://{HERE}")] * 2]) is None
    assert refusal(kind=kind, headers=[("host", HERE), ("origin", f"http://{HERE}"), ("origin", FOREIGN)]) == OTHER_SITE


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origincross-site", "CROSS-SITE"])
def test_what_other_sites_embed_is_refused(site):
    for mode, destination in (("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")):
        fetched = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": destination}
        assert refusal(headers=fetched) == OTHER_SITE


def test_a_link_on_another_site_may_be_followed_but_sends_nothing():
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert refusal(headers=followed) is None
    assert refusal("POST", headers=followed) == OTHER_SITE
    assert refusal(headers=followed | {"origin": "null"}) == OTHER_SITE
    assert refusal(kind="websocket", headers=followed) == OTHER_SITE
    assert refusal(headers={"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_where_a_get_changes_things_there_is_none(method):
    guard = Guard(nothing, no_get=("/graphql",))
    for path in ("/graphql", "/graphql/", "/graphql/deeper"):
        assert refusal(method, path, guard=guard) == "this path does not answer GET"
        assert refusal("POST", path, guard=guard) is None
        assert refusal(path=path, kind="websocket", guard=guard) is None
    for path in ("/", "/graphiql", "/graphqls", "/assets/graphql"):
        assert refusal(method, path, guard=guard) is None


def test_paths_may_be_limited():
    guard = Guard(nothing, allowed=lambda path, query: path != "/media" or query == b"file=ours")
    assert refusal(path="/media", guard=guard, query_string=b"file=ours") is None
    assert refusal(path="/media", guard=guard, query_string=b"file=theirs") == "this path is not open"
    assert refusal(path="http://evil.example/", guard=guard) == "this is not a path"
    assert refusal("OPTIONS", path="*", guard=guard) == "this is not a path"


def test_starting_and_ending_are_passed_on():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Guard(app)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


# --- a real server ------------------------------------------------------------------------------------------------


async def greet(request):
    return PlainTextResponse("hello", headers={"X-Frame-Options": "ALLOWALL", "Access-Control-Allow-Methods": "*"})


async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@pytest.fixture(scope="module")
def port():
    """An application that lets everybody in, behind the guard."""
    everybody = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    routes = [Route("/", greet, methods=["GET", "POST"]), WebSocketRoute("/echo", echo)]
    with served(Guard(Starlette(routes=routes, middleware=[everybody]))) as port:
        yield port


def test_no_other_site_can_read_or_frame_an_answer(port):
    url = f"http://127.0.0.1:{port}"
    for headers in ({}, {"Origin": url}):
        answer = httpx2.get(url, headers=headers)
        assert (answer.status_code, answer.text) == (200, "hello")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers.get_list("x-frame-options") == ["SAMEORIGIN"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_preflight_of_another_site_gets_no_leave(port):
    headers = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    answer = httpx2.options(f"http://127.0.0.1:{port}", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_requests_on_the_wire(port):
    here = f"127.0.0.1:{port}"
    assert raw(port, f"GET / HTTP/1.1\nHost: {here}\n\n") == 200
    assert raw(port, f"POST / HTTP/1.1\nHost: {here}\nContent-Length: 0\n\n") == 200
    assert raw(port, "GET / HTTP/1.1\nHost: evil.example\n\n") == 403
    assert raw(port, "GET / HTTP/1.0\n\n") == 403
    assert raw(port, "GET http://evil.example/ HTTP/1.1\nHost: evil.example\n\n") == 403
    assert raw(port, f"POST / HTTP/1.1\nHost: {here}\nOrigin: {FOREIGN}\nContent-Length: 0\n\n") == 403
    assert raw(port, f"POST / HTTP/1.1\nHost: {here}\nORIGIN: null\nContent-Length: 0\n\n") == 403
    assert raw(port, f"GET / HTTP/1.1\nHost: {here}\nHost: evil.example\n\n") in (400, 403)
    assert raw(port, f"GET / HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: {here}\n\n") == 403


def test_websockets_are_of_its_own_pages(port):
    address = f"ws://127.0.0.1:{port}/echo"
    for origin in (None, f"http://127.0.0.1:{port}"):
        with connect(address, origin=origin, proxy=None) as socket:
            socket.send("hello")
            assert socket.recv() == "hello"
    for origin in (FOREIGN, "null", "http://127.0.0.1:1", f"http://localhost:{port}"):
        with pytest.raises(InvalidStatus) as refused, connect(address, origin=origin, proxy=None):
            pass
        assert refused.value.response.status_code == 403
