"""Roots in S3: what each thing costs in requests, what a bad network does, and what is said of a bad set-up."""

import os
import subprocess
import sys

import pytest

from decoupage.faults import BadSetup
from pipelines.stages.object_leftovers import object_leftovers, remove_object
from pipelines.stages.store import Store
from profiles.root import check_root
from tests.object_store import Fault

pytest.importorskip("s3fs")
MIB = 1 << 20
SERVER = [{"status": 500}, {"status": 503}]
NETWORK = [{"reset": True}, {"lost": True}]


@pytest.fixture
def store(faulty, s3, monkeypatch) -> Store:
    monkeypatch.setattr("pipelines.stages.s3_upload.PART_BYTES", 5 * MIB)  # The least that S3 takes.
    store = Store(f"{s3.bucket()}/run")
    store.write("there", b"0123456789" * 1000)
    faulty.clear()
    return store


@pytest.fixture
def at_once(monkeypatch):
    """Attempts without waits between them."""
    from botocore.retries.standard import ExponentialBackoff

    from pipelines.stages import s3, s3_client

    async def pause(attempt):
        pass

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0.0)
    for module in (s3, s3_client):
        monkeypatch.setattr(module, "pause", pause)


def large(store, path="large"):
    """An object of three parts, the last of which is short."""
    with store.writing(path) as file:
        for _ in range(11):
            file.write(os.urandom(1) * MIB)


def fill_and_fail(file, num_bytes):
    file.write(bytes(num_bytes))
    raise ZeroDivisionError


def unfinished(store):
    objects = store.objects
    return objects.run(objects.call("list_multipart_uploads")).get("Uploads", [])


@pytest.mark.parametrize(
    ("do", "costs"),
    [
        (lambda store: store.read("there"), {"GET": 1}),
        (lambda store: store.read_range("there", 5, 10), {"GET": 1}),
        (lambda store: store.exists("there"), {"HEAD": 1}),
        (lambda store: store.exists("absent"), {"HEAD": 1}),
        (lambda store: store.version("there"), {"HEAD": 1}),
        (lambda store: store.names("folder"), {"LIST": 1}),
        (lambda store: store.names("absent"), {"LIST": 1}),
        (lambda store: store.tree(), {"LIST": 1}),
        (lambda store: store.write("new", b"data"), {"PUT": 1}),
        (lambda store: store.create("new", b"data"), {"PUT": 1}),
        (lambda store: store.remove("there"), {"DELETE": 1}),
        (lambda store: store.read_many(["there", "absent"] * 5), {"GET": 10}),
        (lambda store: check_root(store.root), {"LIST": 1}),
        (large, {"BEGIN": 1, "PART": 3, "COMPLETE": 1}),
    ],
)
def test_what_a_thing_costs_in_requests(store, faulty, do, costs):
    do(store)
    assert faulty.counts == costs


@pytest.mark.parametrize("fault", [*SERVER, *NETWORK, {"short": True}])
def test_reading_bears_faults(store, faulty, at_once, tmp_path, fault):
    faulty.add(Fault("GET", times=3, **fault))
    assert store.read("there") == b"0123456789" * 1000
    assert faulty.counts["GET"] == 4
    faulty.add(Fault("GET", times=2, **fault))
    assert store.read_range("there", 9995, 3) == b"567"
    faulty.add(Fault("GET", times=3, **fault))
    store.download("there", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"0123456789" * 1000
    faulty.add(Fault("GET", times=3, **fault))
    with store.open("there") as file:
        assert file.read() == b"0123456789" * 1000
    faulty.add(Fault("GET", times=3, **fault))
    assert store.read_many(["there", "absent", "there"]) == [b"0123456789" * 1000, None, b"0123456789" * 1000]


@pytest.mark.parametrize("fault", [*SERVER, *NETWORK])
def test_writing_looking_and_removing_bear_faults(store, faulty, at_once, fault):
    for kind in ("PUT", "HEAD", "LIST", "DELETE"):
        faulty.add(Fault(kind, times=2, **fault))
    store.write("new", b"new")
    assert store.exists("new")
    assert store.tree() == ["new", "there"]
    store.remove("there")
    assert store.names("") == ["new"]
    assert faulty.counts["PUT"] == faulty.counts["DELETE"] == 3


@pytest.mark.parametrize("kind", ["BEGIN", "PART", "COMPLETE"])
@pytest.mark.parametrize("fault", [*SERVER, *NETWORK, {"status": 200, "code": "InternalError"}])
def test_uploads_in_parts_bear_faults(store, faulty, at_once, kind, fault):
    if fault.get("status") == 200 and kind != "COMPLETE":
        pytest.skip("only this answer begins before its outcome is known")
    faulty.add(Fault(kind, times=2, **fault))
    data = [bytes([number]) * MIB for number in range(11)]
    with store.writing("large") as file:
        for piece in data:
            file.write(piece)
    assert store.read("large") == b"".join(data)


def test_an_upload_that_finished_unheard_is_not_a_fault(store, faulty, at_once):
    """The server forgets an upload that is finished, so the second attempt meets none."""
    faulty.add(Fault("COMPLETE", lost=True), Fault("COMPLETE", status=404, code="NoSuchUpload"))
    large(store)
    assert store.size("large") == 11 * MIB
    store.remove("large")
    faulty.add(Fault("COMPLETE", status=404, code="NoSuchUpload"))
    with pytest.raises(BadSetup, match=r"large cannot be written: .*NoSuchUpload"):
        large(store)


def test_a_fault_that_stays_is_told_in_words(store, faulty, at_once):
    for kind in ("GET", "PUT", "LIST", "PART"):
        faulty.add(Fault(kind, times=1000, status=503))
    for do, doing in [
        (lambda: store.read("there"), "there cannot be read"),
        (lambda: store.read_many(["there"]), "cannot be read"),
        (lambda: store.write("new", b""), "new cannot be written"),
        (lambda: store.names("x"), "x cannot be read"),
        (lambda: large(store), "large cannot be written"),
    ]:
        with pytest.raises(BadSetup, match=f"{doing}: the server answers SlowDown to every attempt .*run again"):
            do()
    faulty.clear()
    assert not store.exists("large")
    assert unfinished(store) == []
    faulty.add(Fault("GET", times=1000, short=True))
    with pytest.raises(BadSetup, match=r"there cannot be read: the connection to http.* fails"):
        store.read("there")


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "InvalidAccessKeyId", "does not know this access key; correct AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "the secret key does not fit .* AWS_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", "may not do that; grant them s3:ListBucket"),
        (400, "ExpiredToken", "get a new AWS_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", "clock is wrong"),
        (400, "IllegalLocationConstraintException", "in another region; set AWS_REGION"),
        (404, "NoSuchBucket", r"http://127.0.0.1:\d+ has no bucket test-.*; make it, or correct DECOUPAGE_ROOT"),
        (507, "Strange", "the server answers Strange"),
    ],
)
def test_a_root_that_cannot_be_used_is_refused_before_any_work(store, faulty, at_once, status, code, sentence):
    faulty.add(Fault(times=100, status=status, code=code))
    with pytest.raises(BadSetup, match=f"run cannot be opened: .*{sentence}"):
        check_root(store.root)
    with pytest.raises(BadSetup, match=sentence):
        store.read("there")
    with pytest.raises(BadSetup, match=sentence):
        store.write("new", b"x")
    with pytest.raises(BadSetup, match=sentence):
        store.read_many(["there"])


def test_no_bucket_no_keys_no_server(s3, monkeypatch, at_once):
    with pytest.raises(BadSetup, match=r"has no bucket nowhere; make it, or correct DECOUPAGE_ROOT"):
        check_root("s3://nowhere/run")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BadSetup, match=r"http://127.0.0.1:9 cannot be reached; correct AWS_ENDPOINT_URL"):
        check_root("s3://nowhere/run")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint.replace("127.0.0.1", "localhost"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(BadSetup, match=r"there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        check_root("s3://nowhere/run")


def test_without_s3fs_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(BadSetup, match=r"needs the package s3fs\. Fix: .*\[s3\]"):
        check_root("s3://bucket/run")


@pytest.mark.slow
def test_of_many_that_create_an_object_one_wins(store):
    program = (
        "import sys\nfrom pipelines.stages.store import Store\nstore = Store(sys.argv[1])\n"
        "print([store.create(f'x/{i}', sys.argv[2].encode()) for i in range(20)].count(True))\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, store.root, name], stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    won = dict(zip("abc", (int(child.communicate(timeout=60)[0]) for child in children), strict=True))
    assert all(child.returncode == 0 for child in children)
    written = b"".join(store.read(f"x/{i}") for i in range(20)).decode()
    assert {name: written.count(name) for name in "abc"} == won
    assert sum(won.values()) == 20


def test_an_object_whose_creation_was_not_heard_of_is_ones_own(store, faulty, at_once):
    faulty.add(Fault("PUT", lost=True))
    assert store.create("new", b"mine")
    faulty.add(Fault("PUT", status=409, code="ConditionalRequestConflict"), Fault("PUT", reset=True))
    assert not store.create("new", b"another's")
    assert store.read("new") == b"mine"


def test_a_block_that_raises_leaves_nothing(store):
    for num_bytes in (10, 11 * MIB):
        with pytest.raises(ZeroDivisionError), store.writing("x") as file:
            fill_and_fail(file, num_bytes)
    assert store.tree() == ["there"]
    assert unfinished(store) == []


@pytest.mark.faults
def test_a_kill_in_the_middle_of_an_upload_shows_nothing_and_prune_finds_it(store):
    program = (
        "import sys\nfrom pipelines.stages import s3_upload\nfrom pipelines.stages.store import Store\n"
        "s3_upload.PART_BYTES = 5 << 20\n"
        "with Store(sys.argv[1]).writing('a/00000.tar') as file:\n"
        "    file.write(bytes(22 << 20))\n"
        "    print('sent', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "sent\n"
        child.kill()
    assert store.tree() == ["there"]
    (found,) = object_leftovers(store, {})
    assert (found.kind, found.key, found.num_bytes >= 5 * MIB) == ("unfinished upload", "a/00000.tar", True)
    remove_object(store, found)
    assert unfinished(store) == []


def test_another_process_is_seen_at_once(store):
    assert store.names("x") == []
    program = "import sys\nfrom pipelines.stages.store import Store\nStore(sys.argv[1]).write('x/a', b'a')\n"
    subprocess.run([sys.executable, "-c", program, store.root], check=True, timeout=60)
    assert store.names("x") == ["a"]
    assert store.tree() == ["there", "x/a"]


def test_a_file_is_read_in_pieces_of_one_version(store, faulty, monkeypatch):
    monkeypatch.setattr("pipelines.stages.s3.PIECE_BYTES", 1000)
    with store.open("there") as file:
        assert file.read(5) == b"01234"
        assert file.seek(-3, os.SEEK_END) == 9997
        assert file.read() == b"789"
        assert file.read() == b""
        file.seek(4)
        assert file.read(3000) == (b"0123456789" * 1000)[4:3004]
        assert faulty.counts["HEAD"] == 1
        store.write("there", b"9" * 10_000)
        file.seek(0)
        with pytest.raises(BadSetup, match=r"there cannot be read: it was replaced meanwhile; run again"):
            file.read(10)
    with pytest.raises(FileNotFoundError):
        store.open("absent")


def test_long_listings_come_in_pages(store, faulty, monkeypatch):
    for i in range(7):
        store.write(f"many/{i}", b"")
    objects = store.objects
    call = type(objects).call

    def small_pages(self, method, **arguments):
        return call(self, method, **arguments, **({"MaxKeys": 2} if method.startswith("list") else {}))

    monkeypatch.setattr(type(objects), "call", small_pages)
    assert store.names("many") == store.tree("many") == list("0123456")
    assert faulty.counts["LIST"] == 8
    store.remove_tree("many")
    assert store.names("many") == []
