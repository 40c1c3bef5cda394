"""Photographs fetched from a server that misbehaves: each is asked for once where it is, and never where it is not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from pipelines.config.foregrounds import CocoConfig, LaionConfig
from pipelines.foregrounds.mulan.fetch import QUARANTINE, RECORD
from pipelines.foregrounds.mulan.split import FROZEN
from tests.conftest import CHECKOUT
from tests.pipelines.downloads.server import Files, serving
from tests.pipelines.foregrounds.mulan.trees import (
    COCO_GONE,
    COCO_TRAIN,
    COCO_VAL,
    LAION,
    annotate,
    make_source,
    photograph,
    serve,
)


@pytest.fixture
def files() -> Iterator[Files]:
    with serving() as running:
        serve(running, "train2017", COCO_TRAIN)
        serve(running, "val2017", COCO_VAL)
        yield running


def drops(folder: Path) -> dict[str, str]:
    lines = (folder / "root" / QUARANTINE).read_text().splitlines()
    return {drop["id"]: drop["reason"] for drop in map(json.loads, lines)}


def test_each_half_is_asked_once_and_what_is_not_there_never_again(tmp_path: Path, files: Files) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL, COCO_GONE)
    source = make_source(tmp_path, files.url)
    found = source.observe()
    assert found.fetched is not None and found.fetched.num_fetched == 2 and found.fetched.is_settled
    assert found.photographs == {"train2017": 1, "val2017": 1, "absent": 1}
    for subset, id in (("train2017", COCO_TRAIN), ("val2017", COCO_VAL)):
        assert (tmp_path / f"images/{subset}/{id}.jpg").read_bytes() == files.content[f"{subset}/{id}.jpg"]
    assert drops(tmp_path) == {f"mulan-{COCO_GONE}": "gone"}
    assert files.num_asked == {
        f"train2017/{COCO_TRAIN}.jpg": 1,
        f"train2017/{COCO_VAL}.jpg": 1,
        f"val2017/{COCO_VAL}.jpg": 1,
        f"train2017/{COCO_GONE}.jpg": 1,
        f"val2017/{COCO_GONE}.jpg": 1,
    }
    again = source.observe()
    assert len(files.asked) == 5 and again.photographs == found.photographs
    assert again.fetched is not None and (again.fetched.num_there, again.fetched.num_fetched) == (2, 0)
    assert drops(tmp_path) == {f"mulan-{COCO_GONE}": "gone"}


def test_what_is_not_there_is_asked_for_at_another_address(tmp_path: Path, files: Files) -> None:
    annotate(tmp_path, COCO_GONE)
    photograph(tmp_path, "train2017", COCO_TRAIN)
    make_source(tmp_path, files.url).observe()
    with serving() as other:
        serve(other, "val2017", COCO_GONE)
        found = make_source(tmp_path, other.url).observe()
        assert found.fetched is not None and found.fetched.num_fetched == 1
    # Addresses may hold keys: the record has their hashes only.
    assert files.url not in (tmp_path / "root" / RECORD).read_text()


def test_a_bucket_that_forbids_what_it_does_not_have(tmp_path: Path, files: Files) -> None:
    annotate(tmp_path, COCO_VAL, COCO_GONE)
    for path in (f"train2017/{COCO_VAL}.jpg", f"train2017/{COCO_GONE}.jpg", f"val2017/{COCO_GONE}.jpg"):
        files.faults[path].append(403)
    found = make_source(tmp_path, files.url).observe()
    assert found.photographs == {"val2017": 1, "absent": 1}
    assert drops(tmp_path) == {f"mulan-{COCO_GONE}": "refused"}
    # 403 may also mean that the server is cross today: nothing is settled by it.
    assert found.fetched is not None and found.fetched.num_undecided == 1 and found.split.origin == "rule"
    assert not (tmp_path / "root" / FROZEN).exists()


def test_a_server_on_a_bad_day(tmp_path: Path, files: Files) -> None:
    annotate(tmp_path, COCO_TRAIN, COCO_VAL)
    files.faults[f"train2017/{COCO_TRAIN}.jpg"].append(500)
    files.faults[f"val2017/{COCO_VAL}.jpg"].append(("cut", 300))
    found = make_source(tmp_path, files.url).observe()
    assert found.photographs == {"train2017": 1, "val2017": 1}
    assert (tmp_path / f"images/val2017/{COCO_VAL}.jpg").read_bytes() == files.content[f"val2017/{COCO_VAL}.jpg"]
    assert (f"val2017/{COCO_VAL}.jpg", "bytes=300-") in files.asked


def test_the_other_half_is_not_asked_while_one_cannot_be_reached(tmp_path: Path, files: Files) -> None:
    annotate(tmp_path, COCO_TRAIN)
    photograph(tmp_path, "val2017", COCO_VAL)
    files.faults[f"train2017/{COCO_TRAIN}.jpg"].extend([503] * 3)
    files.retry_after = "0"
    source = make_source(tmp_path, files.url)
    found = source.observe()
    assert drops(tmp_path) == {f"mulan-{COCO_TRAIN}": "unreachable"}
    assert set(files.num_asked) == {f"train2017/{COCO_TRAIN}.jpg"}
    assert found.fetched is not None and not found.fetched.is_settled
    assert source.observe().photographs == {"train2017": 1}


def test_the_budget_stops_and_the_next_run_goes_on(tmp_path: Path, files: Files) -> None:
    ids = [f"{number:012d}" for number in range(1, 9)]
    annotate(tmp_path, *ids)
    serve(files, "train2017", *ids)
    size = max(len(data) for data in files.content.values())
    source = make_source(tmp_path, files.url, max_gb=3.5 * size / 1e9)
    seen = []
    for _ in range(4):
        fetched = source.observe().fetched
        assert fetched is not None
        seen.append(fetched.num_left)
    assert seen[0] in (4, 5) and seen[-1] == 0 and seen == sorted(seen, reverse=True)
    assert {path: number for path, number in files.num_asked.items() if number > 1} == {}


def test_laion_pictures_come_from_the_list(tmp_path: Path, files: Files) -> None:
    ids = [LAION, "000000010", "000000011", "000000012"]
    annotate(tmp_path, *ids, COCO_TRAIN)
    photograph(tmp_path, "train2017", COCO_TRAIN)
    files.content["pic"] = b"a picture"
    lines = [f"9,{files.url}/pic", f"10,{files.url}/nothing", "11,ftp://h/x"]
    (tmp_path / "links.csv").write_text("\n".join(["file_id,url", *lines]))
    source = make_source(tmp_path, files.url, laion=LaionConfig(use=True, links=str(tmp_path / "links.csv")))
    found = source.observe()
    assert found.photographs == {"absent": 3, "laion": 1, "train2017": 1}
    assert (tmp_path / f"images/laion/{LAION}.jpg").read_bytes() == b"a picture"
    assert drops(tmp_path) == {"mulan-laion-000000010": "gone", "mulan-laion-000000011": "bad_url"}
    asked = len(files.asked)
    source.observe()
    assert asked == len(files.asked) == 2
    unused = make_source(tmp_path).observe()
    assert unused.fetched is None and unused.photographs == {"not used": 4, "train2017": 1}


def test_a_template_without_the_subset_is_refused() -> None:
    for url in ("http://h/{id}.jpg", "http://h/{subset}.jpg", "ftp://h/{subset}/{id}.jpg", "{subset}/{id}"):
        with pytest.raises(ValueError, match=r"hold \{subset\} and \{id\}, got"):
            CocoConfig(url=url)


@pytest.mark.faults
def test_a_killed_run_goes_on_without_asking_again(tmp_path: Path, files: Files) -> None:
    ids = [f"{number:012d}" for number in range(1, 61)]
    annotate(tmp_path, *ids)
    serve(files, "train2017", *ids[:50])
    serve(files, "val2017", *ids[50:])
    for id in ids[20:]:
        files.faults[f"train2017/{id}.jpg"].append(("slow", 0.3))
    code = (
        "from pathlib import Path\n"
        "from tests.pipelines.foregrounds.mulan.trees import make_source\n"
        f"make_source(Path({str(tmp_path)!r}), {files.url!r}).observe()\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    photographs = tmp_path / "images/train2017"
    deadline = time.monotonic() + 60
    while len(list(photographs.glob("*.jpg"))) < 25 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    whole = {path.name: path.stat().st_mtime_ns for path in photographs.glob("*.jpg")}
    assert 25 <= len(whole) < 50
    asked = len(files.asked)
    found = make_source(tmp_path, files.url).observe()
    assert found.photographs == {"train2017": 50, "val2017": 10}
    assert not {path.split("/")[1] for path, _ in files.asked[asked:]} & set(whole)
    assert all((photographs / name).stat().st_mtime_ns == time_ns for name, time_ns in whole.items())
    assert found.split.origin == "frozen" and found.split.keys == set(ids[50:])


@pytest.mark.parametrize(("text", "message"), [("{", "not_there.json is not JSON"), ('{"a": 1}', "is damaged; remove")])
def test_a_damaged_record_is_named(tmp_path: Path, files: Files, text: str, message: str) -> None:
    annotate(tmp_path, COCO_TRAIN)
    (tmp_path / "images/train2017").mkdir(parents=True)
    record = tmp_path / "root" / RECORD
    record.parent.mkdir(parents=True)
    record.write_text(text)
    with pytest.raises(BadSetup, match=message):
        make_source(tmp_path, files.url).observe()
