"""Many photographs: what is done stays done, what fails is listed, and what was asked otherwise is done again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadOutput, BadSetup
from decoupage.many import FAILURES, items_of, take_apart_many
from decoupage.taking_apart import Settings
from tests.decoupage.cutting import CuttingPipeline

CHECKOUT = Path(__file__).parents[2]
SIDE_PX = 48
BOX = {"boxes": ["8,8,30,30"]}


@pytest.fixture
def pipe(monkeypatch):
    monkeypatch.setattr(CuttingPipeline, "calls", [], raising=False)
    return CuttingPipeline()


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_mask(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("1", (SIDE_PX, SIDE_PX))
    mask.paste(1, (8, 8, 30, 30))
    mask.save(path)


@pytest.fixture
def photographs(tmp_path):
    for number, name in enumerate(("c", "a", "b")):
        save(tmp_path / "in" / f"{name}.png", number)
    return tmp_path / "in"


def run(pipe, source, out, said=BOX, settings=None, **common):
    found = []
    items = items_of(source, said)
    counts = take_apart_many(pipe, items, settings or Settings(), out, common=common, after_each=found.append)
    return dict(counts), [(outcome.item.name, outcome.state) for outcome in found]


def failures(out):
    return [json.loads(line) for line in (out / FAILURES).read_text().splitlines()]


def test_each_photograph_of_a_folder_has_a_folder_of_its_own(pipe, photographs, tmp_path):
    (photographs / "notes.txt").write_text("no picture")
    (photographs / ".hidden.png").write_bytes(b"")
    counts, order = run(pipe, photographs, tmp_path / "out")
    assert counts == {"made": 3} and [name for name, _ in order] == ["a", "b", "c"]
    for name in "abc":
        report = json.loads((tmp_path / "out" / name / "layers.json").read_text())
        assert (
            report["image"] == str(photographs / f"{name}.png") and (tmp_path / "out" / name / "used-mask.png").exists()
        )
    assert not (tmp_path / "out" / FAILURES).exists()


def test_what_is_done_is_done_again_only_if_something_else_is_asked(pipe, photographs, tmp_path):
    out = tmp_path / "out"
    run(pipe, photographs, out, model="a")
    assert run(pipe, photographs, out, model="a")[0] == {"there": 3}
    save(photographs / "b.png", 9)
    assert run(pipe, photographs, out, model="a")[1] == [("a", "there"), ("b", "made"), ("c", "there")]
    (out / "c" / "layers.json").write_text("{")
    assert run(pipe, photographs, out, model="a")[1] == [("a", "there"), ("b", "there"), ("c", "made")]
    assert run(pipe, photographs, out, {"boxes": ["8,8,31,31"]}, model="a")[0] == {"made": 3}
    assert run(pipe, photographs, out, {"boxes": ["8,8,31,31"]}, model="b")[0] == {"made": 3}
    assert run(pipe, photographs, out, {"boxes": ["8,8,31,31"]}, Settings(seed=1), model="b")[0] == {"made": 3}


def test_a_folder_that_is_made_again_holds_nothing_of_before(pipe, photographs, tmp_path):
    out = tmp_path / "out"
    run(pipe, photographs, out, {"boxes": ["1,1,9,9", "20,20,40,40"]}, Settings(psd=True))
    (out / "a" / "notes.txt").write_text("a person's own")
    assert (out / "a" / "foreground-2.png").exists() and (out / "a" / "layers.psd").exists()
    run(pipe, photographs, out)
    files = {"background.png", "foreground.png", "recomposition.png", "used-mask.png", "layers.json", "notes.txt"}
    assert {path.name for path in (out / "a").iterdir()} == files


def test_a_photograph_that_may_not_be_read_is_a_fault_of_its_own(pipe, photographs, tmp_path, monkeypatch):
    def refusing(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return path.read_bytes()

    monkeypatch.setattr("decoupage.many.read_file", refusing)  # Tests may run as root, who may read all.
    assert run(pipe, photographs, tmp_path / "out")[0] == {"made": 2, "failed": 1}
    assert failures(tmp_path / "out")[0]["detail"].endswith("b.png cannot be read: Permission denied")


def test_a_full_disk_stops_the_work(pipe, photographs, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("decoupage.taking_apart.write_layers", full)
    with pytest.raises(OSError, match="No space left"):
        run(pipe, photographs, tmp_path / "out")


def test_what_fails_is_listed_and_the_others_go_on(pipe, photographs, tmp_path, monkeypatch):
    (photographs / "aa.jpg").write_bytes(b"no picture")
    small = save(photographs / "bb.png")
    Image.open(small).resize((6, 6)).save(small)
    cut = CuttingPipeline.__call__

    def failing(self, image, **options):
        if np.asarray(image)[0, 0].tolist() == np.asarray(Image.open(photographs / "c.png"))[0, 0].tolist():
            raise BadOutput("the background is not finite")
        return cut(self, image, **options)

    monkeypatch.setattr(CuttingPipeline, "__call__", failing)
    out = tmp_path / "out"
    counts, _ = run(pipe, photographs, out)
    assert counts == {"made": 2, "failed": 3}
    found = failures(out)
    assert [(Path(line["image"]).name, line["reason"]) for line in found] == [
        ("aa.jpg", "bad_input"),
        ("bb.png", "bad_input"),
        ("c.png", "bad_output"),
    ]
    assert (
        "aa.jpg: not a readable picture" in found[0]["detail"] and "holds no pixel of the picture" in found[1]["detail"]
    )
    assert not list(out.glob("*/.*")) and not (out / "c" / "layers.json").exists()
    monkeypatch.setattr(CuttingPipeline, "__call__", cut)
    assert run(pipe, photographs, out)[0] == {"made": 1, "there": 2, "failed": 2}
    assert len(failures(out)) == 2, "the list is of the last run"


def test_a_folder_of_masks_goes_by_stems(pipe, photographs, tmp_path):
    masks = tmp_path / "masks"
    for name in ("a", "c"):
        save_mask(masks / f"{name}.png")
    counts, _ = run(pipe, photographs, tmp_path / "out", {"masks": [masks]})
    assert counts == {"made": 2, "failed": 1}
    assert failures(tmp_path / "out")[0]["detail"] == f"{masks / 'b.png'} is not there"
    with pytest.raises(ValueError, match="--mask of a folder of pictures is a folder, with a mask of the same stem"):
        items_of(photographs, {"masks": [masks / "a.png"]})


def test_files_of_one_name_get_folders_of_their_own(tmp_path):
    for path in ("in/x.png", "in/X.jpg", "in/y.png"):
        save(tmp_path / path)
    assert [item.name for item in items_of(tmp_path / "in", BOX)] == ["X.jpg", "x.png", "y"]
    lines = [{"image": name} for name in ("in/x.png", "other/x.png", "in/x.png")]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [item.name for item in items_of(tmp_path / "list.jsonl", BOX)] == ["x.png", "x-2", "x-3"]


def test_a_list_says_of_each_photograph_what_is_wanted(pipe, photographs, tmp_path):
    save_mask(photographs / "m.pgm.png")
    lines = [
        {"image": "a.png", "mask": "m.pgm.png"},
        {"image": "b.png", "box": ["1,1,9,9", "20,20,40,40"]},
        {"image": "c.png"},
        {"image": "gone.png", "box": "1,1,9,9"},
    ]
    path = photographs / "list.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, lines)).encode())
    counts, _ = run(pipe, path, tmp_path / "out")
    assert counts == {"made": 3, "failed": 1} and "gone.png is not there" in failures(tmp_path / "out")[0]["detail"]
    said = [json.loads((tmp_path / "out" / name / "layers.json").read_text())["objects"] for name in "abc"]
    assert [len(objects) for objects in said] == [1, 2, 1]
    assert said[0][0]["mask"].endswith("m.pgm.png") and said[2][0]["box"] == "8,8,30,30"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"list.jsonl, line 2 is not JSON"),
        ("[]", r'line 2: a line is an object with "image"'),
        ('{"image": 3}', r'line 2: a line is an object with "image"'),
        ('{"image": "a.png", "boxes": "1,1,2,2"}', r"line 2: it takes image and mask, box, point, text, not boxes"),
        ('{"image": "a.png", "box": 3}', r"line 2: box is a text or a list of texts"),
        ('{"image": "a.png", "box": "1,1,2,2", "text": "a"}', r"line 2: .* give one kind, got --box and --text"),
    ],
)
def test_a_list_that_cannot_be_meant_stops_before_work_starts(tmp_path, line, message):
    path = tmp_path / "list.jsonl"
    path.write_text('{"image": "a.png"}\n' + line)
    with pytest.raises(BadSetup, match=message):
        items_of(path, BOX)


def test_where_there_is_no_picture_or_nothing_is_wanted_work_does_not_start(tmp_path, photographs):
    with pytest.raises(BadSetup, match="holds no picture"):
        items_of(tmp_path, BOX)
    with pytest.raises(ValueError, match="give one kind, got none of them"):
        items_of(photographs, {})
    with pytest.raises(ValueError, match=r"--refine draws what is in a --box to its outline; no picture has one"):
        items_of(photographs, {"points": ["3,3"]}, refine=True)
    assert all(item.wanted.refine for item in items_of(photographs, BOX, refine=True))


def test_a_list_of_many_is_read_in_a_moment(tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text("".join(f'{{"image": "{number}.jpg"}}\n' for number in range(20_000)))
    assert len(items_of(path, BOX)) == 20_000


def test_the_command_is_killed_and_goes_on(photographs, tmp_path):
    """With the packaged adapter, as a user has it."""
    for number in range(3, 9):
        save(photographs / f"d{number}.png", number)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "commands.main", "decompose", str(photographs)]
    command += ["--box", "8,8,30,30", "--out", str(out)]
    first = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE)
    while first.poll() is None and len(list(out.glob("*/layers.json"))) < 2:
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    done = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/layers.json")}
    assert 2 <= len(done) < 9
    again = subprocess.run([*command, "--json"], check=False, cwd=CHECKOUT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert (report["made"], report["there"], report["failed"]) == (9 - len(done), len(done), 0)
    assert all((out / name / "layers.json").stat().st_mtime_ns == time for name, time in done.items())
    assert "small, packaged" in again.stderr
