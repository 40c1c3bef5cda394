"""How long OpenImages' list of boxes takes to read, and how much memory: a synthetic list of a given size.

    python benchmarks/bench_openimages.py [--megabytes 200] [--json]

Every image is kept up to the boxes, which is the worst case: in a real run earlier lists have removed most images. Peak
memory is that of the process, libraries included. `csv_cpu_s` is the standard library's reader on the same file: it
counts lines and converts no text to numbers.
"""

import argparse
import csv
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.backgrounds.openimages.boxes import with_boxes
from pipelines.backgrounds.openimages.candidates import Candidates
from pipelines.backgrounds.openimages.table import format_id

_HEADINGS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,"
    "XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y\n"
)
_BOXES_PER_IMAGE = 8.4
"""14.6 million boxes on 1.74 million images of train."""
_CLICKS = ",0.012500,0.195312,0.148438,0.012500,0.148438,0.587500,0.325000,0.148438"


def write_boxes(path: Path, num_bytes: int) -> tuple[int, "np.typing.NDArray[np.uint64]"]:
    """Write a list of about this many bytes; returns the number of boxes, and the ids in ascending order."""
    rng = np.random.Generator(np.random.Philox(key=0))
    ids: list[int] = []
    num_boxes = 0
    with path.open("w") as file:
        file.write(_HEADINGS)
        while file.tell() < num_bytes:
            ids.append(int(rng.integers(0, 2**64, dtype=np.uint64)))
            count = 1 + rng.poisson(_BOXES_PER_IMAGE - 1)
            corners = np.sort(rng.beta(1, 4, (count, 2, 2)), axis=2)
            for (left, right), (top, bottom) in corners:
                box = f"{left:.6f},{right:.6f},{top:.6f},{bottom:.6f}"
                file.write(f"{format_id(ids[-1])},xclick,/m/0dgw9r,1,{box},0,0,0,0,0{_CLICKS}\n")
            num_boxes += count
    return num_boxes, np.unique(np.array(ids, np.uint64))


def everything(ids: "np.typing.NDArray[np.uint64]") -> Candidates:
    """Candidates of which nothing but the ids is known."""
    n = len(ids)
    return Candidates(
        ids=ids,
        rotation_deg_ccw=np.zeros(n, np.int16),
        licence=np.zeros(n, np.int16),
        original_bytes=np.zeros(n, np.int64),
        scenes=np.ones(n, np.uint64),
        has_object=np.zeros(n, np.bool_),
        box_share=np.zeros(n, np.float32),
        box_flags=np.zeros(n, np.uint8),
        licences=("cc-by-2.0",),
    )


def measure(megabytes: int) -> dict[str, Any]:
    """Figures by name, with their units."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.csv"
        num_boxes, ids = write_boxes(path, megabytes * 10**6)
        candidates = everything(ids)
        before_mb = _peak_mb()
        started, cpu_started = time.perf_counter(), time.process_time()
        found = with_boxes(candidates, path, 0.1)
        figures = {
            "megabytes": path.stat().st_size / 1e6,
            "boxes": num_boxes,
            "images": len(ids),
            "wall_s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu_started,
            "peak_mb_before": before_mb,
            "peak_mb": _peak_mb(),
            "share_of_images_below_limit": float((found.box_share < 0.1).mean()),
        }
        started = time.process_time()
        with path.open(newline="") as file:
            assert sum(1 for _ in csv.reader(file)) == num_boxes + 1
        figures["csv_cpu_s"] = time.process_time() - started
    return {name: round(value, 3) for name, value in figures.items()}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.megabytes)
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:32} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
