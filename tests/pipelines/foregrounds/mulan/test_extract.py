"""Extraction over a folder that holds good, broken and hostile files: each lands where it belongs."""

import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from decoupage.images.types import Array
from pipelines.foregrounds.mulan.extract import SCHEMA, extract
from pipelines.stages.engine import ProcessEngine
from tests.conftest import CHECKOUT
from tests.pipelines.foregrounds.mulan.annotations import (
    make_annotation,
    make_photograph,
    official_colours,
    pack,
    write_pair,
)


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def wrong_shape() -> Any:
    annotation = make_annotation(8)
    annotation["instances"][2]["inpainted_delta"] = np.zeros((40, 55, 3), np.int16)
    return annotation


def one_invisible() -> Any:
    annotation = make_annotation(9, num_instances=3)
    annotation["instances"][2]["instance_alpha"] = Image.new("L", (56, 40))
    return annotation


def with_object_array() -> Any:
    annotation = make_annotation(10)
    annotation["background"]["inpainted_delta"] = np.full((40, 56, 3), None)
    return annotation


def with_caption(text: str) -> Any:
    annotation = make_annotation(1)
    annotation["instances"][1]["blip2"] = text
    return annotation


def write_hostile(folder: Path, sentinel: Path) -> dict[str, str]:
    """Write one file of each kind of fault; returns id -> expected reason."""
    command = f"touch {sentinel}"
    bomb = zlib.compressobj(9)
    chunks = [bomb.compress(bytes(1 << 24)) for _ in range(40)]  # 670 MB in less than 1 MB
    files: dict[str, tuple[bytes, str]] = {
        "000000000101": (pack(Calls(os.system, command)), "forbidden_pickle"),
        "000000000102": (pack({"instances": {1: Calls(os.system, command)}}, 2), "forbidden_pickle"),
        "000000000103": (pack(with_object_array()), "object_array"),
        "000000000104": (pack({"background": Calls(np.ndarray, (10**12,))}), "too_large"),
        "000000000105": (b"".join(chunks) + bomb.flush(), "too_large"),
        "000000000106": (pack(make_annotation(1))[:-9], "truncated"),
        "000000000107": (b"", "truncated"),
        "000000000108": (b"not zlib at all", "not_zlib"),
        "000000000109": (pack(make_annotation(1)) + b"more", "trailing_data"),
        "000000000110": (zlib.compress(b"\x80\x04nonsense"), "bad_pickle"),
        "000000000111": (zlib.compress(b"\x80\x04" + b"]" * 30_000_000 + b"."), "bad_pickle"),
        "000000000112": (pack(wrong_shape()), "shape_mismatch"),
        "000000000113": (pack({"background": {}, "instances": {}}), "missing_key"),
        "000000000114": (zlib.compress(b"\x80\x04C" + bytes(10) + b"."), "bad_pickle"),
        "000000000115": (zlib.compress(b"\x80\x04()" + b"2\x86" * 64 + b"\x91."), "bad_pickle"),
        "000000000116": (zlib.compress(b"\x80\x04})" + b"2\x86" * 64 + b"Ns."), "bad_pickle"),
        "000000000117": (pack({"background": {}, "instances": {10**9001: {}}}), "bad_pickle"),
        "000000000118": (pack(with_caption("\ud800")), "bad_text"),
        "000000000119": (pack(with_caption("\x1b[2J")), "bad_text"),
        "back\\slash": (pack(make_annotation(1)), "bad_name"),
    }
    for number, (id, (data, _)) in enumerate(files.items()):
        write_pair(folder, id, data, make_photograph(number))
    write_pair(folder, "000000000201", pack(make_annotation(1)), None)
    write_pair(folder, "000000000202", pack(make_annotation(1)), make_photograph(1, 41, 56))
    write_pair(folder, "000000000203", pack(make_annotation(1)), make_photograph(1))
    (folder / "images/train2017/000000000203.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    reasons = {id: reason for id, (_, reason) in files.items()}
    return reasons | {
        "000000000201": "missing_image",
        "000000000202": "shape_mismatch",
        "000000000203": "bad_image",
    }


def write_good(folder: Path) -> dict[str, tuple[Any, Array]]:
    """Write good files among the others; returns id -> (annotation, photograph as decoded)."""
    good = {}
    for id, seed, subset, below in (
        ("000000000100", 20, "train2017", ""),
        ("000000000110x", 21, "val2017", "deep/er"),
        ("000000000999", 22, "train2017", "other"),
    ):
        annotation = make_annotation(seed)
        photograph = write_pair(folder, id, pack(annotation), make_photograph(seed), subset, below)
        assert photograph is not None
        good[id] = (annotation, photograph)
    return good


def read_quarantine(out: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]


def test_good_bad_and_hostile_files_land_where_they_belong(tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    expected = write_hostile(tmp_path, sentinel)
    good = write_good(tmp_path)
    out = tmp_path / "out"
    # A process of its own, so that its peak memory is the extraction's. Not ru_maxrss: that survives exec, and
    # would count what the parent held.
    code = (
        "import dataclasses, json, re\n"
        "from pathlib import Path\n"
        "from pipelines.foregrounds.mulan.extract import extract\n"
        "from pipelines.foregrounds.mulan.limited import _beside\n"
        f"summary = extract({str(tmp_path / 'annotations')!r}, {str(tmp_path / 'images')!r}, {str(out)!r})\n"
        "statuses = [Path(f'/proc/{id}/status').read_text() for id in ('self', _beside.process.pid)]\n"
        "peaks = [int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) for status in statuses]\n"
        "print(json.dumps(dataclasses.asdict(summary) | {'peak_kib': max(peaks)}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=True)
    summary = json.loads(done.stdout)

    assert not sentinel.exists()
    assert summary["peak_kib"] < 1_000_000
    assert summary["num_files"] == len(expected) + len(good) == summary["num_dropped"] + len(good)
    drops = read_quarantine(out)
    assert {drop["id"]: drop["reason"] for drop in drops} == expected
    assert all(set(drop) == {"id", "reason", "detail"} and drop["detail"] for drop in drops)
    assert "posix.system" in next(drop["detail"] for drop in drops if drop["id"] == "000000000101")
    for id, (annotation, photograph) in good.items():
        assert_official(out, id, annotation, photograph)
    assert len(list(out.glob("*.png"))) == summary["num_layers"] == 3 * len(good)


def test_names_that_are_not_utf8_are_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    write_good(tmp_path)
    data = pack(make_annotation(1))
    for name in (b"caf\xe9.p.zl", b"f\xe4lle/000000000301.p.zl", b"tab\there.p.zl"):
        path = tmp_path / "annotations" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    os.mkfifo(tmp_path / "annotations/000000000302.p.zl")
    write_pair(tmp_path, "000000000302", b"", make_photograph(1), below="other")
    summary = extract(tmp_path / "annotations", tmp_path / "images", tmp_path / "out")
    assert summary.drops_by_reason == {"bad_name": 3, "not_a_file": 1, "duplicate_id": 1} and summary.num_layers == 9
    ids = {drop["id"] for drop in read_quarantine(tmp_path / "out") if drop["reason"] == "bad_name"}
    assert ids == {"caf\\udce9", "f\\udce4lle/000000000301", "tab\\there"}


def test_a_file_that_takes_too_long_is_given_up_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(tmp_path)
    out = tmp_path / "out"
    extract(tmp_path / "annotations", tmp_path / "images", out)
    monkeypatch.setattr("pipelines.foregrounds.mulan.extract.MAX_FILE_S", 0.0)
    summary = extract(tmp_path / "annotations", tmp_path / "images", out)
    assert summary.drops_by_reason == {"too_slow": 3} and summary.num_layers == 0
    assert {path.name for path in out.iterdir()} == {"catalogue.parquet", "quarantine.jsonl"}
    monkeypatch.undo()
    assert extract(tmp_path / "annotations", tmp_path / "images", out).num_layers == 9


def assert_official(out: Path, id: str, annotation: Any, photograph: Array) -> None:
    background = np.asarray(Image.open(out / f"{id}-layer_0.png"))
    assert (background == official_colours(photograph, annotation["background"])).all()
    for k, fields in enumerate(annotation["instances"].values(), start=1):
        layer = np.asarray(Image.open(out / f"{id}-layer_{k}.png"))
        assert (layer[..., :3] == official_colours(photograph, fields)).all()
        assert (layer[..., 3] == np.asarray(fields["instance_alpha"])).all()


def test_an_invisible_instance_drops_only_itself(tmp_path: Path) -> None:
    write_pair(tmp_path, "000000000001", pack(one_invisible()), make_photograph(9))
    out = tmp_path / "out"
    summary = extract(tmp_path / "annotations", tmp_path / "images", out)
    assert summary.num_layers == 3 and summary.drops_by_reason == {"empty_alpha": 1}
    assert [drop["id"] for drop in read_quarantine(out)] == ["000000000001-layer_2"]
    assert sorted(path.name[-5] for path in out.glob("*.png")) == ["0", "1", "3"]


def test_the_catalogue_says_what_each_layer_is(tmp_path: Path) -> None:
    good = write_good(tmp_path)
    out = tmp_path / "out"
    extract(tmp_path / "annotations", tmp_path / "images", out)
    table = pq.read_table(out / "catalogue.parquet")
    assert table.schema.equals(SCHEMA)
    rows = {row["paths"]: row for row in table.to_pylist()}
    assert set(rows) == {path.name for path in out.glob("*.png")}
    background, instance = rows["000000000100-layer_0.png"], rows["000000000100-layer_1.png"]
    assert (background["blip2"], background["llava"]) == ("room", "a room")
    assert (instance["blip2"], instance["llava"], instance["key"]) == ("thing 1", "N/A", "1")
    assert (instance["width_px"], instance["height_px"]) == (56, 40)
    assert rows["000000000110x-layer_0.png"]["subset"] == "val2017"
    alpha = np.asarray(good["000000000100"][0]["instances"][1]["instance_alpha"])
    assert instance["area_px"] == pytest.approx(alpha.sum() / 255, abs=0.01)
    assert {row["licence"] for row in rows.values()} == {"cc-by-nc-sa-4.0 AND unknown"}
    assert all(row["consistency_error"] >= 0 for row in rows.values())


def test_a_second_run_overwrites_and_removes_what_is_no_longer_there(tmp_path: Path) -> None:
    write_good(tmp_path)
    out = tmp_path / "out"
    first = extract(tmp_path / "annotations", tmp_path / "images", out)
    names = {path.name: path.read_bytes() for path in out.iterdir()}
    again = extract(tmp_path / "annotations", tmp_path / "images", out)
    assert again.num_layers == first.num_layers == 9
    assert {path.name: path.read_bytes() for path in out.iterdir()} == names
    write_pair(tmp_path, "000000000100", pack(make_annotation(20, num_instances=1)), make_photograph(20))
    write_pair(tmp_path, "000000000999", b"damaged", make_photograph(22), below="other")
    extract(tmp_path / "annotations", tmp_path / "images", out)
    found = {path.name for path in out.glob("*.png")}
    assert found == {
        *(f"000000000100-layer_{k}.png" for k in range(2)),
        *(f"000000000110x-layer_{k}.png" for k in range(3)),
    }


def test_processes_write_what_one_process_writes(tmp_path: Path) -> None:
    write_good(tmp_path)
    extract(tmp_path / "annotations", tmp_path / "images", tmp_path / "a")
    extract(tmp_path / "annotations", tmp_path / "images", tmp_path / "b", engine=ProcessEngine(2))
    files = [{path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in "ab"]
    assert files[0] == files[1] and len(files[0]) == 11


def test_the_limit_counts_annotation_files(tmp_path: Path) -> None:
    write_good(tmp_path)
    assert extract(tmp_path / "annotations", tmp_path / "images", tmp_path / "out", limit=2).num_files == 2
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        extract(tmp_path / "annotations", tmp_path / "images", tmp_path / "out", limit=0)


def test_a_second_file_of_one_id_is_a_duplicate(tmp_path: Path) -> None:
    data = pack(make_annotation(1))
    write_pair(tmp_path, "000000000001", data, make_photograph(1), below="coco")
    write_pair(tmp_path, "000000000001", data, make_photograph(1), below="laion")
    summary = extract(tmp_path / "annotations", tmp_path / "images", tmp_path / "out")
    assert summary.drops_by_reason == {"duplicate_id": 1} and summary.num_layers == 3
    assert "laion" in read_quarantine(tmp_path / "out")[0]["detail"]


def test_missing_folders_stop_before_work_starts(tmp_path: Path) -> None:
    write_pair(tmp_path, "000000000001", pack(make_annotation(1)), make_photograph(1))
    with pytest.raises(BadSetup, match="there is no folder"):
        extract(tmp_path / "nothing", tmp_path / "images", tmp_path / "out")
    with pytest.raises(BadSetup, match="neither train2017/ nor val2017/"):
        extract(tmp_path / "annotations", tmp_path, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSetup, match=r"holds no \*\.p\.zl"):
        extract(tmp_path / "empty", tmp_path / "images", tmp_path / "out")


@pytest.mark.slow
def test_memory_stays_flat_over_many_files(tmp_path: Path) -> None:
    annotation = make_annotation(1, 64, 64, 1)
    data = zlib.compress(pickle.dumps(annotation), 1)
    for number in range(2000):
        write_pair(tmp_path, f"{number:012d}", data, make_photograph(1, 64, 64) if not number else None)
    picture = (tmp_path / "images/train2017/000000000000.jpg").read_bytes()
    for number in range(1, 2000):
        (tmp_path / f"images/train2017/{number:012d}.jpg").write_bytes(picture)
    code = (
        "import resource, sys\n"
        "from pipelines.foregrounds.mulan.extract import extract\n"
        f"a, i, o = [{str(tmp_path)!r} + name for name in ('/annotations', '/images', '/out')]\n"
        "extract(a, i, o, limit=100)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert extract(a, i, o).num_layers == 4000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=True)
    assert int(done.stdout) < 20_000
