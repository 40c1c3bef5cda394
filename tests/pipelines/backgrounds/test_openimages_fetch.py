"""OpenImages from a server with its layout, on good days and bad ones, up to the index and killed on the way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from decoupage.faults import BadSetup
from decoupage.images.codecs import encode_jpeg
from pipelines.backgrounds.openimages.fetch import fetch_openimages
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.config import BackgroundConfig, OpenImagesConfig
from pipelines.library.assets import Assets
from pipelines.library.catalogue import read_backgrounds
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from tests.pipelines.backgrounds.lists import box, id_of, image, label, lists
from tests.pipelines.downloads.server import serving

SUBSETS = {"train": range(12), "validation": range(100, 104)}
SIZE = (60, 80)


def photograph(id: str) -> bytes:
    rng = np.random.default_rng(int(id, 16))
    return encode_jpeg(np.kron(rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((10, 10, 1), np.uint8)), 95)


@pytest.fixture
def server():
    content = {}
    for subset, numbers in SUBSETS.items():
        ids = [id_of(number) for number in numbers]
        content |= lists(
            [image(id, subset) for id in ids],
            [label(id, "Beach") for id in ids],
            [box(id, 0, 0.2, 0.1, 0.3) for id in ids],
            subset,
        )
        content |= {f"{subset}/{id}.jpg": photograph(id) for id in ids}
    with serving(content) as files:
        yield files


def config(server, **changes) -> OpenImagesConfig:
    values = {
        "lists": server.url,
        "images": f"{server.url}/{{subset}}/{{id}}.jpg",
        "subsets": tuple(SUBSETS),
        "num_images": 100,
        "workers": 4,
        "timeout_s": 5.0,
        "max_attempts": 3,
    }
    return OpenImagesConfig(**values | changes)


def index(folder: Path, openimages: OpenImagesConfig, root: Path, **changes):
    backgrounds = BackgroundConfig(source="openimages", openimages=openimages, min_side_px=32, **changes)
    store, photographs = Store(str(root)), Store(str(folder))
    report = run_stage(BackgroundsStage(photographs, backgrounds, "openimages"), store, SerialEngine())
    return read_backgrounds(store, "backgrounds"), report, Assets(store, photographs)


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("pipelines.downloads.worker.backoff_s", lambda *_: 0.01)


def test_from_lists_to_the_index(server, tmp_path):
    openimages = config(server)
    report = fetch_openimages(openimages, tmp_path / "oi")
    assert (report.num_listed, report.num_chosen, report.downloads.num_fetched) == (16, 16, 16)
    assert report.licences == {"cc-by-2.0": 16}
    assert pictures(tmp_path / "oi") == {path: data for path, data in server.content.items() if path.endswith(".jpg")}
    records, stage, assets = index(tmp_path / "oi", openimages, tmp_path / "root", num_shards=3)
    assert len(records) == 16 and not stage.drops
    record = next(record for record in records if record.origin == id_of(3))
    assert (record.id, record.path) == (f"openimages-train-{id_of(3)}", f"train/{id_of(3)}.jpg")
    assert (record.licence, record.caption, record.split) == ("cc-by-2.0", "beach", "train")
    assert "Ann, of course" in record.attribution
    assert assets.photograph(record).shape == (*SIZE, 3)


def test_nothing_is_asked_for_or_changed_again(server, tmp_path):
    fetch_openimages(config(server), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    asked = len(server.asked)
    again = fetch_openimages(config(server), tmp_path)
    assert (again.num_chosen, again.downloads.num_fetched, len(server.asked)) == (16, 0, asked)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


def test_the_lists_are_fetched_again_only_for_another_choice(server, tmp_path):
    """Another machine has the choice and the pictures, which lie in the store, and not the lists."""
    before = fetch_openimages(config(server), tmp_path)
    shutil.rmtree(tmp_path / "lists")
    server.asked.clear()
    again = fetch_openimages(config(server), tmp_path)
    assert again.downloads.paths == before.downloads.paths and server.asked == []
    assert not (tmp_path / "lists").exists()
    fetch_openimages(config(server, seed=7), tmp_path)
    assert {path.rpartition(".")[2] for path, _ in server.asked} == {"csv"}


def test_a_larger_number_fetches_the_rest_alone(server, tmp_path):
    few = fetch_openimages(config(server, num_images=5), tmp_path)
    server.asked.clear()
    many = fetch_openimages(config(server, num_images=11), tmp_path)
    assert many.downloads.paths[:5] == few.downloads.paths and len(many.downloads.paths) == 11
    assert sorted(path for path, _ in server.asked) == sorted(many.downloads.paths[5:])


def test_a_bad_day_leaves_the_same_files(server, tmp_path):
    paths = [path for path in server.content if path.endswith(".jpg")]
    whole = fetch_openimages(config(server), tmp_path / "good").downloads.paths
    server.faults[paths[0]].extend([429, 503])
    server.faults[paths[1]].extend([("cut", 50), ("cut", 10)])
    server.faults[next(path for path in server.content if path.endswith("bbox.csv"))].extend([500, ("cut", 100)])
    assert fetch_openimages(config(server), tmp_path / "bad").downloads.paths == whole
    assert pictures(tmp_path / "bad") == pictures(tmp_path / "good")


def test_what_is_gone_is_counted_and_not_indexed(server, tmp_path):
    gone = f"train/{id_of(2)}.jpg"
    del server.content[gone]
    report = fetch_openimages(config(server), tmp_path / "oi")
    assert report.downloads.drops_by_reason == {"gone": 1}
    assert gone in (tmp_path / "oi" / "not_fetched.jsonl").read_text()
    records, stage, _ = index(tmp_path / "oi", config(server), tmp_path / "root")
    assert gone not in {record.path for record in records} and not stage.drops


def test_the_byte_budget_decides_what_is_indexed(server, tmp_path):
    openimages = config(server, max_gb=12e-6)
    report = fetch_openimages(openimages, tmp_path / "oi")
    assert report.downloads.num_left > 0 and 0 < report.downloads.num_bytes <= 12_000
    # A few more may have come before the budget was known to be spent; the index holds to it all the same.
    records, _, _ = index(tmp_path / "oi", openimages, tmp_path / "root")
    assert sorted(record.path for record in records) == sorted(report.downloads.paths)


def test_lists_that_cannot_be_fetched_stop_the_run(server, tmp_path):
    del server.content["v5/validation-annotations-bbox.csv"]
    with pytest.raises(BadSetup, match=r"validation-annotations-bbox.csv: status 404.*by hand"):
        fetch_openimages(config(server), tmp_path)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turn_of_the_list_turns_pixels_and_boxes_alike(server, tmp_path, turn):
    id = id_of(500)
    height, width = SIZE
    edges = (0.125, 0.5, 0.0, 0.3)
    left, right, top, bottom = (
        round(edge * side) for edge, side in zip(edges, (width,) * 2 + (height,) * 2, strict=True)
    )
    pixels = np.full((height, width, 3), 20, np.uint8)
    pixels[top:bottom, left:right] = 230
    listed = [image(id, "test", Rotation=f"{turn}.0")]
    server.content = lists(listed, [label(id, "Sky")], [box(id, *edges)], "test")
    server.content[f"test/{id}.jpg"] = encode_jpeg(pixels)
    openimages = config(server, subsets=("test",), max_box_share=0.2)
    fetch_openimages(openimages, tmp_path / "oi")
    records, _, assets = index(tmp_path / "oi", openimages, tmp_path / "root")
    upright = assets.photograph(records[0])
    # Where the box goes when it is turned counter-clockwise with its picture (x to the right, y downwards).
    corners = {
        0: lambda x, y: (x, y),
        90: lambda x, y: (y, 1 - x),
        180: lambda x, y: (1 - x, 1 - y),
        270: lambda x, y: (1 - y, x),
    }[turn]
    xs, ys = zip(corners(edges[0], edges[2]), corners(edges[1], edges[3]), strict=True)
    inside = np.zeros(upright.shape[:2], bool)
    rows = slice(round(min(ys) * upright.shape[0]), round(max(ys) * upright.shape[0]))
    inside[rows, round(min(xs) * upright.shape[1]) : round(max(xs) * upright.shape[1])] = True
    assert ((upright[..., 0] > 128) == inside).all()


RUN = """
import sys
from pathlib import Path
from pipelines.backgrounds.openimages.fetch import fetch_openimages
from pipelines.config import OpenImagesConfig
fetch_openimages(OpenImagesConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.faults
def test_a_killed_fetch_goes_on_without_repeating_what_was_done(server, tmp_path):
    openimages = config(server, workers=2)
    for path in server.content:
        if path.endswith(".jpg"):
            server.faults[path].append(("slow", 0.3))
    command = [sys.executable, "-c", RUN, openimages.model_dump_json(), str(tmp_path / "oi")]
    run = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    deadline = time.monotonic() + 60
    while len(pictures(tmp_path / "oi")) < 4:
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(0.5)  # What the server was about to send has been asked for and is not here.
    done = pictures(tmp_path / "oi")
    assert 4 <= len(done) < 16
    server.asked.clear()
    fetch_openimages(openimages, tmp_path / "oi")
    assert not set(server.num_asked) & set(done)
    assert pictures(tmp_path / "oi") == {path: data for path, data in server.content.items() if path.endswith(".jpg")}
    assert [path.name for path in (tmp_path / "oi" / ".partial").iterdir()] == ["lock"]
    assert not list((tmp_path / "oi").rglob(".*.tmp"))
