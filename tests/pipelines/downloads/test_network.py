"""No server holds a run for ever, and no list or redirect of a stranger reaches into one's own network."""

import itertools
import socket
import time

import pytest

from pipelines.downloads.item import Download
from pipelines.downloads.network import Clock, Network, is_public, is_public_spelling, origins
from pipelines.downloads.run import download_all
from tests.pipelines.downloads.server import raw_server, serving, trickle

OK = b"HTTP/1.1 200 OK\r\n"


def get(url, folder, **options):
    options = {"timeout_s": 0.3, "max_attempts": 2, "first_wait_s": 0.01} | options
    return download_all([Download(url, "a")], folder, **options)


def reason(report):
    return [drop["reason"] for drop in report.drops]


ENDLESS = {
    "status line": lambda c: trickle(c, itertools.repeat(b" ")),
    "header": lambda c: trickle(c, itertools.chain([OK, b"X-Slow: "], itertools.repeat(b"a"))),
    "headers": lambda c: trickle(c, itertools.chain([OK], (b"X-%d: a\r\n" % i for i in itertools.count()))),
    "continues": lambda c: trickle(c, itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "body": lambda c: trickle(c, itertools.chain([OK, b"Content-Length: 99\r\n\r\n"], itertools.repeat(b"a")), 0.2),
    "chunk size": lambda c: trickle(
        c, itertools.chain([OK, b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"0")), 0.1
    ),
    "fast headers": lambda c: trickle(c, itertools.chain([OK], itertools.repeat(b"X: " + b"a" * 9000 + b"\r\n")), 0),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_server_that_never_ends_is_given_up(tmp_path, what, monkeypatch):
    monkeypatch.setattr("pipelines.downloads.attempt.Bounds.body_s", lambda self, num_bytes: 2 * self.timeout_s)
    started = time.monotonic()
    with raw_server(ENDLESS[what]) as url:
        report = get(f"{url}/a", tmp_path, trusted=[url])
    assert reason(report) == ["unreachable"] and time.monotonic() - started < 10


@pytest.mark.parametrize("digits", [b"9" * 5000, "²".encode("latin-1"), b"1e3", b"-1"])
def test_an_odd_length_is_none(tmp_path, digits):
    with raw_server(lambda c: c.sendall(OK + b"Content-Length: " + digits + b"\r\n\r\nabc")) as url:
        assert reason(get(f"{url}/a", tmp_path, trusted=[url])) in (["unreachable"], ["unknown_length"])


LOOPBACKS = ("127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "localhost.", "LOCALHOST",
             "[::ffff:127.0.0.1]", "0.0.0.0", "[::ffff:7f00:1]")  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACKS)
def test_a_list_of_strangers_reaches_no_loopback(files, tmp_path, host):
    files.content = {"a": b"secret"}
    port = files.url.rpartition(":")[2]
    assert reason(get(f"http://{host}:{port}/a", tmp_path)) in (["not_public"], ["bad_url"]) and not files.asked


@pytest.mark.parametrize("host", LOOPBACKS)
def test_a_redirect_reaches_no_loopback_not_even_from_a_trusted_server(files, tmp_path, host):
    with serving({"a": b"secret"}) as inner:
        files.content = {"a": b""}
        files.faults["a"].append(("redirect", f"http://{host}:{inner.url.rpartition(':')[2]}/a"))
        found = reason(get(f"{files.url}/a", tmp_path, trusted=[files.url], max_attempts=1))
        assert found in (["not_public"], ["unreachable"]) and not inner.asked


def test_a_server_that_the_profile_names_is_reached(files, tmp_path):
    files.content = {"a": b"a", "b": b"b"}
    files.faults["a"].append(("redirect", f"{files.url}/b"))
    assert get(f"{files.url}/a", tmp_path, trusted=[f"{files.url}/{{subset}}/{{id}}.jpg", "/a/folder"]).paths == ["a"]


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch):
    """A name server that answers otherwise the second time changes nothing."""
    asked, connected = [], []
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def resolve(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr("pipelines.downloads.network.socket.getaddrinfo", resolve)
    network = Network(Clock(), lambda _, address: is_public(address))
    monkeypatch.setattr(network._inner, "connect_tcp", lambda host, *_: connected.append(host))
    network.connect_tcp("rebinding.example", 80)
    assert (asked, connected) == (["rebinding.example"], ["93.184.216.34"])


def test_through_a_proxy_hosts_are_judged_by_their_spelling(files, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", files.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    files.content = {"http://public.example/a": b"by the proxy"}
    assert get("http://public.example/a", tmp_path).paths == ["a"]
    (tmp_path / "a").unlink()
    for host in ("127.1", "localhost.", "[::1]", "169.254.169.254", "metadata", "metadata.google.internal"):
        assert reason(get(f"http://{host}/a", tmp_path)) == ["not_public"]
    assert len(files.asked) == 1


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses(address):
    assert is_public(address) and is_public_spelling(address)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255",
     "224.0.0.1", "240.0.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
     "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:db8::1"],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    assert not is_public(address) and not is_public_spelling(address)


def test_origins_are_hosts_and_ports():
    named = ["http://One.example./a", "https://two.example:8443/{id}.jpg", "/a/folder", "s3://three/b"]
    assert origins(named) == {("one.example", 80), ("two.example", 8443)}
