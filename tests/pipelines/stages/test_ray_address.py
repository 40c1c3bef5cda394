"""A wrong address is a sentence at once, before Ray is started."""

import http.server
import socket
import threading
import time

import pytest

from decoupage.faults import BadSetup
from pipelines import engines
from pipelines.config import EngineConfig
from pipelines.engines import make_engine
from pipelines.stages.ray_address import LOCAL, chosen_address, probe
from pipelines.stages.store import Store

ANSWERS = b"\0\0\6\4\0\0\0\0\0\0\4\0\0\0\1"


def test_the_profile_comes_before_the_environment(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert chosen_address("") == LOCAL
    monkeypatch.setenv("RAY_ADDRESS", "there:1")
    assert (chosen_address(""), chosen_address("here:2")) == ("there:1", "here:2")


@pytest.mark.parametrize("address", ["6379", "host", "host:port", "ray://host:10001"])
def test_what_is_no_address(address):
    with pytest.raises(BadSetup, match=r"must be host:port of its head, such as 10\.0\.0\.5:6379, got"):
        probe(address)


def test_where_nothing_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(BadSetup, match=rf"no Ray answers at {address} \(Connection refused\): start the cluster"):
        probe(address)
    assert time.monotonic() - started < 5


def test_what_listens_and_is_no_ray():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(BadSetup, match=r"is no Ray; its port is usually 6379"):
            probe(f"127.0.0.1:{server.server_port}")
        server.shutdown()


def test_what_speaks_as_ray_does():
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = []

        def accept() -> None:
            connection, _ = server.accept()
            asked.append(connection.recv(1024))
            connection.sendall(ANSWERS)

        threading.Thread(target=accept, daemon=True).start()
        probe(f"127.0.0.1:{server.getsockname()[1]}")
        assert len(asked) == 1 and asked[0].startswith(b"PRI * HTTP/2.0")


def test_a_machine_without_ray_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    config = EngineConfig(kind="ray")
    (missing,) = engines.requirements(config, Store(str(tmp_path)))
    assert not missing.present and "'.[ray]'" in missing.fix
    monkeypatch.setattr("pipelines.stages.ray_engine.find_spec", lambda name: None)
    with pytest.raises(BadSetup, match=r"needs Ray; .*'\.\[ray\]'"):
        make_engine(config)


def test_doctor_says_that_the_address_is_wrong_and_asks_nothing_of_other_engines(tmp_path):
    pytest.importorskip("ray")
    store = Store(str(tmp_path))
    assert engines.requirements(EngineConfig(), store) == []
    (missing,) = engines.requirements(EngineConfig(kind="ray", address="127.0.0.1:1"), store)
    assert not missing.present and "no Ray answers at 127.0.0.1:1" in missing.found
