"""How much time and memory MULAN's index and plan take for a given number of annotations.

    python benchmarks/bench_mulan.py [--files 45000] [--run-shards 2] [--json]

Writes tiny annotations in the true byte format and as many names of one photograph to a temporary folder (4 kB of disk
a file), and removes them. Each phase runs in its own process, so that its peak memory can be measured; `start_mb` is
what that process takes before it begins. `beside_cpu_s` and `beside_peak_mb` are of the process that reads the files,
its start included, and `call_ms` is what a call of it takes that does nothing.
"""

import argparse
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from decoupage.images.codecs import encode_jpeg
from pipelines.config import GateConfig
from pipelines.config.foregrounds import MulanConfig
from pipelines.foregrounds.mulan.index import scan
from pipelines.foregrounds.mulan.limited import call_limited
from pipelines.foregrounds.mulan.source import MulanSource
from pipelines.foregrounds.mulan.stage import MulanForegrounds
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store

NUM_SHARDS = 64
SIZE_PX = 64
_VAL_EVERY = 25
"""COCO's val2017 is a twenty-fifth of all its pictures."""
_FOLDERS = 45
STATUS = Path("/proc/self/status")


def write_tree(folder: Path, num_files: int) -> None:
    """Annotations of one small disc in folders of about a thousand, and their photographs as hard links."""
    ys, xs = np.mgrid[:SIZE_PX, :SIZE_PX]
    disc = (xs - 32) ** 2 + (ys - 32) ** 2 <= 20**2
    nothing = np.zeros((SIZE_PX, SIZE_PX, 3), np.int16)
    instance = {"original_image_mask": disc[..., None], "inpainted_delta": nothing}
    instance["instance_alpha"] = Image.fromarray(disc.astype(np.uint8) * np.uint8(255))
    background = {"original_image_mask": np.ones((SIZE_PX, SIZE_PX, 1), bool), "inpainted_delta": nothing}
    data = zlib.compress(pickle.dumps({"background": background, "instances": {1: instance}}, 4))
    photograph = folder / "photograph.jpg"
    photograph.write_bytes(encode_jpeg(np.stack([ys * 3, xs * 3, 255 - xs], axis=-1).astype(np.uint8)))
    for subset in ("train2017", "val2017"):
        (folder / "images" / subset).mkdir(parents=True)
    for number in range(num_files):
        path = folder / f"annotations/{number % _FOLDERS:03d}/{number:012d}.p.zl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        subset = "train2017" if number % _VAL_EVERY else "val2017"
        os.link(photograph, folder / f"images/{subset}/{number:012d}.jpg")


def phase(name: str, folder: Path, num_run_shards: int) -> dict[str, float]:
    """Figures of one phase, run in this process."""
    annotations, images = folder / "annotations", folder / "images"
    store = Store(str(folder / "root"))
    gates = GateConfig(min_side_px=8, min_area_px=16)
    stage = MulanForegrounds(annotations, images, gates, NUM_SHARDS)
    pa.array(np.array([0])).to_numpy()  # Loads pandas, which is not part of what is measured.
    start_mb, started, cpu_started = peak_mb(), time.perf_counter(), time.process_time()
    num = 0
    if name == "index":
        num = len(scan(annotations, NUM_SHARDS))
    elif name == "observe":
        config = MulanConfig(annotations=str(annotations), images=str(images), num_shards=NUM_SHARDS)
        num = len(MulanSource(config, annotations, images, store).observe().index)
    elif name == "plan":
        for shard in stage.shards():
            stage.inputs(shard)
            num += sum(1 for _ in stage.items(shard))
    else:
        shards = stage.shards()[:num_run_shards]
        num = run_stage(stage, store, SerialEngine(), shards).num_items
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    figures = {"files": num, "wall_s": wall_s, "cpu_s": cpu_s, "start_mb": start_mb, "peak_mb": peak_mb()}
    if name == "run":
        figures |= beside()
    return {key: round(value, 2) for key, value in figures.items()}


def beside() -> dict[str, float]:
    """Figures of the process that reads the files."""
    used = call_limited(resource.getrusage, resource.RUSAGE_SELF, 60)
    peak = peak_mb(call_limited(Path.read_text, STATUS, 60))
    started = time.perf_counter()
    for _ in range(1000):
        call_limited(abs, 1, 60)
    call_ms = time.perf_counter() - started
    return {"beside_cpu_s": used.ru_utime + used.ru_stime, "beside_peak_mb": peak, "call_ms": call_ms}


def peak_mb(status: str = "") -> float:
    """Highest resident size of a process so far (`VmHWM`; unlike ru_maxrss it begins again with each program)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", status or STATUS.read_text())
    assert found is not None, "the benchmark needs Linux's /proc"
    return int(found[1]) / 1024


def measure(num_files: int, num_run_shards: int) -> dict[str, dict[str, Any]]:
    """Figures by phase."""
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), num_files)
        phases = ("index", "observe", "plan", "run")
        return {name: _in_own_process(name, folder, num_run_shards) for name in phases}


def _in_own_process(name: str, folder: str, num_run_shards: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--phase", name, folder, "--run-shards", str(num_run_shards)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the figures, one line per phase or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=45_000)
    parser.add_argument("--run-shards", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--phase", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phase:
        print(json.dumps(phase(arguments.phase[0], Path(arguments.phase[1]), arguments.run_shards)))
        return
    figures = measure(arguments.files, arguments.run_shards)
    lines = (
        f"{name:8} " + "  ".join(f"{key} {value:g}" for key, value in row.items()) for name, row in figures.items()
    )
    print(json.dumps(figures) if arguments.json else "\n".join(lines))


if __name__ == "__main__":
    main()
