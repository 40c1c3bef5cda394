"""The HTTP API by hand: what it gives is what `decompose` writes, and what it refuses it refuses with a sentence."""

import io
import json
import socket
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from commands.main import app
from decoupage.images import reading
from decoupage.serve.jobs import Limits
from tests.browser import wait
from tests.decoupage.serve.serving import HEIGHT, TOKEN, WIDTH, Gated, packaged, photograph, serving

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return photograph(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("jobs")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def gated(tmp_path):
    """A server with three places, whose steps wait: (server, client, model)."""
    model = Gated(packaged())
    limits = Limits(max_jobs=3, max_bytes=1_000_000, max_pixels=1_000_000)
    folder = tmp_path / "jobs"
    folder.mkdir()
    with serving(folder, model, limits) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        yield server, client, model


def parts(files, *, masks=1, **fields):
    """Arguments of a post."""
    found = [("image", ("photo.png", files[0].read_bytes()))]
    found += [("mask", ("mask.png", files[1].read_bytes()))] * masks
    return {"files": found, "data": fields}


def ended(client, job):
    return wait(
        lambda: (said := client.get(f"/v1/jobs/{job}").json())["state"] not in ("waiting", "running") and said,
        "the job to end",
    )


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def without_what_differs(report):
    """`layers.json` without what is of one run, or of the command's own process."""
    said = json.loads(report)
    said["objects"] = [{**each, "mask": str(each.get("mask")).rpartition("/")[2]} for each in said["objects"]]
    said["image"] = said["image"].rpartition("/")[2]
    return {name: value for name, value in said.items() if name not in ("seconds", "peak_memory_bytes")}


@pytest.mark.parametrize(
    ("options", "fields", "masks"),
    [
        (["--mask", "MASK", "--psd", "--ora"], {"format": ["psd", "ora"]}, 1),
        (["--mask", "MASK", "--mask", "MASK", "--seed", "7"], {"seed": "7"}, 2),
        (["--box", "30,20,90,80", "--refine"], {"box": "30,20,90,80", "refine": "true"}, 0),
        (["--mask", "MASK", "--steps", "2"], {"steps": "2"}, 1),
        (["--point", "60,50", "--point=-5,5"], {"point": ["60,50", "-5,5"]}, 0),
        (["--box", "30,20,90,80", "--no-paste-back"], {"box": "30,20,90,80", "paste_back": "false"}, 0),
    ],
)  # fmt: skip
def test_the_zip_holds_the_files_of_decompose_byte_for_byte(files, client, tmp_path, options, fields, masks):
    out = tmp_path / "out"
    options = [str(files[1]) if option == "MASK" else option for option in options]
    done = CliRunner().invoke(app, ["decompose", str(files[0]), "--out", str(out), "--device", "cpu", *options])
    assert done.exit_code == 0, done.output
    answer = client.post("/v1/decompose", **parts(files, masks=masks, **fields), headers={"Accept": "application/zip"})
    assert answer.status_code == 200, answer.text
    found = members(answer.content)
    assert list(found)[-1] == "layers.json" and set(found) == {path.name for path in out.iterdir()}
    for name, data in found.items():
        ours = (out / name).read_bytes()
        if name == "layers.json":
            assert without_what_differs(data) == without_what_differs(ours)
        else:
            assert data == ours, name


def test_a_job_tells_its_progress_and_gives_its_files_until_it_is_deleted(files, gated):
    server, client, model = gated
    made = client.post("/v1/decompose", **parts(files, steps="3"), headers=JSON)
    assert made.status_code == 202 and made.headers["location"] == f"/v1/jobs/{made.json()['id']}"
    address, second = made.headers["location"], client.post("/v1/decompose", **parts(files), headers=JSON).json()
    assert second["state"] == "waiting" and second["position"] == 1
    wait(lambda: client.get(address).json()["state"] == "running", "it to run")
    assert client.get(address).json()["progress"] == {"step": 0, "steps": 3}
    model.gate.release()
    wait(lambda: client.get(address).json()["progress"]["step"] == 1, "a step")
    assert client.get(f"{address}/background.png").status_code == 404
    model.open()
    said = ended(client, made.json()["id"])
    assert said["state"] == "done" and said["progress"] == {"step": 3, "steps": 3} and "layers.zip" in said["files"]
    archive = members(client.get(f"{address}/layers.zip").content)
    for name in set(said["files"]) - {"layers.zip"}:
        assert client.get(f"{address}/{name}").content == archive[name]
    with Image.open(io.BytesIO(archive["foreground.png"])) as foreground:
        assert foreground.mode == "RGBA" and foreground.size == (WIDTH, HEIGHT)
    assert not (server.folder / made.json()["id"] / "given").exists()  # The photograph itself is not kept.
    assert client.delete(address).status_code == 204 and client.get(address).status_code == 404
    ended(client, second["id"])
    client.delete(f"/v1/jobs/{second['id']}")
    assert list(server.folder.iterdir()) == [] and server.jobs.counts() == {}


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", "nosuch.png", "given", "photo.png"])
def test_no_other_file_is_given(files, client, name):
    made = client.post("/v1/decompose", **parts(files), headers=JSON).json()["id"]
    ended(client, made)
    assert client.get(f"/v1/jobs/{made}/{name}").status_code == 404


def test_select_gives_the_mask_that_decompose_uses(files, client):
    given = parts(files, masks=0, point=["60,50"])
    mask = client.post("/v1/select", **given)
    assert mask.headers["content-type"] == "image/png"
    used = members(client.post("/v1/decompose", **given).content)
    ours = np.asarray(Image.open(io.BytesIO(mask.content)))
    assert ours.shape == (HEIGHT, WIDTH) and ours[50, 60] and not ours[5, 5]
    again = parts(files, masks=0)
    again["files"].append(("mask", ("point.png", mask.content)))
    assert members(client.post("/v1/decompose", **again).content)["foreground.png"] == used["foreground.png"]


@pytest.mark.parametrize(
    ("fields", "masks", "said"),
    [
        ({}, 0, "give one kind, got none"),
        ({"box": "1,2,30,40"}, 1, "give one kind, got mask and box"),
        ({"box": "1,2,3"}, 0, "box must be LEFT,TOP,RIGHT,BOTTOM"),
        ({"point": "1;2"}, 0, "point must be X,Y"),
        ({"box": "900,900,990,990"}, 0, "holds no pixel of the picture"),
        ({"point": "-4,4"}, 0, "at least one must be on the object"),
        ({"text": "the dog"}, 0, "finds no words"),
        ({"seed": "-1"}, 1, r"seed must be a whole number in [0, 18446744073709551615], got '-1'"),
        ({"seed": str(2**64)}, 1, "seed must be"),
        ({"steps": "201"}, 1, "steps must be a whole number in [1, 200]"),
        ({"guidance": "nan"}, 1, "guidance must be a number"),
        ({"refine": "yes"}, 1, "refine must be true or false"),
        ({"format": "exe"}, 1, "format must be one of psd, ora"),
        ({"colour": "red"}, 1, "there is no field colour"),
        ({"seed": ["1", "2"]}, 1, "seed may be given 1 times, got 2"),
        ({}, 17, "Too many files"),
        ({"point": ["1,1"] * 200}, 0, "Too many fields"),
        ({"prompt": "a" * 5000}, 1, "Part exceeded maximum size"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_sentence(files, client, fields, masks, said):
    refused = client.post("/v1/decompose", **parts(files, masks=masks, **fields))
    assert refused.status_code == 400 and said in refused.json()["error"], refused.text
    assert "/" not in refused.json()["error"].replace("multipart/form-data", "")


@pytest.mark.parametrize(
    ("image", "status", "said"),
    [
        (b"no picture", 400, "photo.png: not a readable picture"),
        (b"", 400, "photo.png: not a readable picture"),
        (b"%PDF-1.4", 400, "not a readable picture"),
        (b"PK\x03\x04" + b"\0" * 100, 400, "not a readable picture"),
    ],
)
def test_what_is_no_picture(files, client, image, status, said):
    sent = parts(files)
    sent["files"][0] = ("image", ("../../photo.png", image))
    refused = client.post("/v1/decompose", **sent)
    assert refused.status_code == status and said in refused.json()["error"] and ".." not in refused.json()["error"]


def test_faults_that_only_pixels_show_are_the_jobs(files, client):
    cut = files[0].read_bytes()[:4000]
    sent = parts(files)
    sent["files"][0] = ("image", ("cut.png", cut))
    refused = client.post("/v1/decompose", **sent)
    assert refused.status_code == 400 and "cut.png" in refused.json()["error"], refused.text
    made = client.post("/v1/decompose", **sent, headers=JSON)
    said = ended(client, made.json()["id"])
    assert (said["state"], said["status"], said["error"]) == ("failed", 400, refused.json()["error"])
    empty = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT)).save(empty, "PNG")
    sent = parts(files, masks=0)
    sent["files"].append(("mask", ("nothing.png", empty.getvalue())))
    refused = client.post("/v1/decompose", **sent)
    assert refused.status_code == 400 and refused.json()["error"].startswith("nothing.png:")


def test_pictures_and_bodies_that_are_too_large(files, gated, monkeypatch):
    server, client, model = gated
    model.open()
    large = io.BytesIO()
    Image.new("1", (1001, 1000)).save(large, "PNG")
    sent = parts(files)
    sent["files"][0] = ("image", ("large.png", large.getvalue()))
    refused = client.post("/v1/decompose", **sent)
    assert refused.status_code == 413 and "1001x1000 px" in refused.json()["error"]
    bomb = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(reading, "MAX_PIXELS", 1)
        Image.new("1", (20_000, 10_000)).save(bomb, "PNG")
    sent["files"][0] = ("image", ("bomb.png", bomb.getvalue()))
    assert client.post("/v1/decompose", **sent).status_code == 413
    sent["files"][0] = ("image", ("long.png", b"a" * 1_000_001))
    assert client.post("/v1/decompose", **sent).status_code == 413

    def endless():
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"a" * 65_536

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    with suppress(httpx2.TransportError):  # Closed while it was still sending.
        assert client.post("/v1/decompose", content=endless(), headers=kind).status_code == 413
    assert server.jobs.counts() == {} and list(server.folder.iterdir()) == []


MULTIPART = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"image=1", 415),
        ("", b"", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=", b"", 400),
        (f"multipart/form-data; boundary={'b' * 300}", b"", 400),
        (MULTIPART, b"", 400),
        (MULTIPART, b"garbage without a boundary", 400),
        (MULTIPART, b"--b\r\n\r\n\r\n--b--", 400),
        (MULTIPART, b"--b\r\nContent-Disposition: form-data\r\n\r\na\r\n--b--\r\n", 400),
        (MULTIPART, HEAD + b"\r\nhalf", 400),
        (MULTIPART, HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\na\r\n--b--\r\n", 400),
        (MULTIPART, HEAD + b"X: a\r\n" * 100 + b"\r\na\r\n--b--\r\n", 400),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--b--\r\n', 400),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\xfe\x00\r\n--b--\r\n', 400),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="\x00"; filename="\x00"\r\n\r\na\r\n--b--\r\n', 400),
    ],
)  # fmt: skip
def test_hostile_forms_are_refused_and_leave_nothing(server, client, kind, body, status):
    refused = client.post("/v1/decompose", content=body, headers={"Content-Type": kind} if kind else {})
    assert refused.status_code == status and refused.json()["error"], refused.text
    assert "receiving" not in server.jobs.counts()


def test_a_full_queue_refuses_before_it_reads(files, gated):
    _, client, model = gated
    made = [client.post("/v1/decompose", **parts(files), headers=JSON).json()["id"] for _ in range(3)]
    refused = client.post("/v1/decompose", **parts(files))
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0 and "try again" in refused.text
    assert client.post("/v1/select", **parts(files, masks=0, point="60,50")).status_code == 429
    assert client.delete(f"/v1/jobs/{made[1]}").status_code == 204
    assert client.post("/v1/decompose", **parts(files), headers=JSON).status_code == 202
    model.open()
    assert ended(client, made[0])["state"] == "done"


def test_a_running_job_is_cancelled_after_its_step(files, gated):
    server, client, model = gated
    job = client.post("/v1/decompose", **parts(files, steps="9"), headers=JSON).json()["id"]
    wait(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "running", "it to run")
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    model.gate.release()
    wait(lambda: list(server.folder.iterdir()) == [], "its files to go")
    assert server.jobs.counts() == {}


def raw(url, data, then=None):
    """Sends bytes; the answer's first ones, after `then` was called with the connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(data.replace(b"HOST", f"Host: {host}:{port}".encode()))
        return then(connection) if then else connection.recv(65_536)


def test_who_goes_away_leaves_no_job(files, gated):
    server, client, model = gated
    request = client.build_request("POST", "/v1/decompose", **parts(files, steps="9"))
    body = request.read()
    head = f"POST /v1/decompose HTTP/1.1\r\nHOST\r\nContent-Type: {request.headers['content-type']}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"

    def wait_until_it_runs(connection):
        wait(lambda: server.jobs.counts().get("running") == 1, "it to run")

    raw(server.url, head.encode() + body, wait_until_it_runs)
    wait(lambda: server.jobs.counts() == {}, "the job to be dropped")
    model.gate.release()
    wait(lambda: list(server.folder.iterdir()) == [], "its files to go")
    # And half-way through the picture.
    raw(server.url, head.encode() + body[:500], lambda connection: time.sleep(0.2))
    wait(lambda: server.jobs.counts() == {} and list(server.folder.iterdir()) == [], "the half request to go")
    model.open()
    assert client.post("/v1/decompose", **parts(files)).status_code == 200, "the places are free again"


def test_a_job_that_takes_too_long(files, tmp_path):
    model = Gated(packaged())
    model.open()
    with serving(tmp_path, model, Limits(run_s=0)) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        late = client.post("/v1/decompose", **parts(files, steps="9"))
        assert late.status_code == 504 and "longer than" in late.json()["error"]


def test_who_waits_is_told_when_the_server_shuts_down(files, gated):
    server, client, model = gated
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.post, "/v1/decompose", **parts(files, steps="9"))
        wait(lambda: server.jobs.counts().get("running"), "it to run")
        next_one = pool.submit(client.post, "/v1/decompose", **parts(files, steps="9"))
        wait(lambda: server.jobs.counts().get("waiting"), "the next one to wait")
        server.server.should_exit = True
        refused = next_one.result(30)
        assert refused.status_code == 503 and "shutting down" in refused.json()["error"]
        model.gate.release()
        assert running.result(30).status_code == 503


def test_a_fault_of_the_server_is_logged_and_not_told(files, tmp_path, caplog):
    model = Gated(packaged())

    def work(*_):
        raise RuntimeError("secret: CUDA is out of memory in /home/somebody")

    model.work = work
    with serving(tmp_path, model) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        failed = client.post("/v1/decompose", **parts(files))
        assert failed.status_code == 500 and "secret" not in failed.text and "out of memory" in caplog.text
        assert server.jobs.counts() == {}


def test_many_at_once_are_all_answered(files, client, server):
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: client.post("/v1/decompose", **parts(files)).status_code, range(20)))
    assert set(found) <= {200, 429} and found.count(200) >= 1
    assert not {"receiving", "waiting", "running"} & set(server.jobs.counts())
    assert threading.active_count() < 100


# ---- who may ask


def test_the_token_is_wanted_for_all_but_the_page(files, tmp_path, caplog):
    with serving(tmp_path, token=TOKEN) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        for path in ("/", "/page.js", "/page.css", "/v1/docs", "/v1/openapi.json"):
            assert client.get(path).status_code == 200 and TOKEN not in client.get(path).text
        for word in ("", "Bearer wrong", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Basic \xe9"):
            given = {"Authorization": word.encode("latin-1")} if word else {}
            for asked in (client.get("/v1/about", headers=given), client.get("/v1/jobs/a", headers=given),
                          client.get("/v1/nosuch", headers=given),
                          client.post("/v1/decompose", **parts(files), headers=given)):  # fmt: skip
                assert (
                    asked.status_code == 401 and asked.json()["error"] and asked.headers["www-authenticate"] == "Bearer"
                )
        known = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/v1/about", headers=known).status_code == 200
        assert client.post("/v1/decompose", **parts(files), headers=known).status_code == 200
        assert client.get(f"/v1/about?token={TOKEN}").status_code == 401
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_foreign_pages_are_refused(files, client, headers):
    assert client.post("/v1/decompose", **parts(files), headers=headers).status_code == 403
    assert client.get("/v1/about", headers=headers).status_code == 403


def test_answers_are_closed_to_others(client):
    for path in ("/", "/v1/about", "/v1/nosuch", "/v1/docs"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in str(headers)
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin" and "server" not in headers


def test_what_there_is_not(client):
    assert client.get("/nosuch").status_code == 404 and client.get("/nosuch").json()["error"]
    assert client.get("/v1/jobs/" + "0" * 32).status_code == 404
    assert client.get("/v1/decompose").status_code == 405 and client.get("/v1/decompose").json()["error"]


def test_the_description_names_every_path_and_field(client):
    found = client.get("/v1/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    paths = {route.path for route in client_routes() if route.path.startswith("/v1/")}
    assert set(found["paths"]) == paths - {"/v1/openapi.json", "/v1/docs"}
    form = found["paths"]["/v1/decompose"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    from decoupage.serve.asked import FIELDS

    assert set(form["properties"]) == set(FIELDS)
    page = client.get("/v1/docs").text
    assert all(path in page for path in found["paths"]) and "http://" not in page and "https://" not in page


def client_routes():
    from decoupage.serve.api import serve_app
    from decoupage.serve.jobs import Jobs

    served = packaged()
    guard = serve_app(served, Jobs(served.work, None, Limits()))
    return guard.app.app.routes
