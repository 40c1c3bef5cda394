"""How fast scenes enter FiftyOne: samples per second and memory, over synthetic shards.

    python benchmarks/bench_fiftyone.py [--samples 5000] [--size-px 256] [--json]

Scenes of random ellipses, whose pictures cost as much to write as others, go through the real shards, reader, database
and brain. A sample is one picture of a group: composite, clean plate, each layer. MongoDB is the one that `decoupage
inspect` would use.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from benchmarks import synthetic
from evaluation.fiftyone.database import database, folder_for
from evaluation.fiftyone.inspect import build_dataset
from pipelines.factory import Factory
from pipelines.stages.store import Store
from profiles.profile import load_profile

SAMPLES_A_SCENE = 4
"""One to three layers, two on the mean; composite and clean plate."""


def measure(num_samples: int, size_px: int) -> dict[str, float]:
    """Figures by name, with their units."""
    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        synthetic.build_dataset(root, synthetic.FakeScenes(num_samples // SAMPLES_A_SCENE, 250, size_px))
        profile = load_profile("demo", root, {"scenes.size_px": str(size_px)})
        factory, folder = Factory(profile, store), folder_for(profile.evaluation, store)
        started = time.perf_counter()
        with database(folder):
            figures = {"database_start_s": time.perf_counter() - started}
            for name in ("first", "unchanged"):
                started = time.perf_counter()
                found = build_dataset(factory, profile.evaluation, profile.name)
                figures[f"{name}_run_s"] = time.perf_counter() - started
            figures["samples"] = found.num_samples
            figures["scenes"] = found.num_scenes
            figures["samples_per_s"] = found.num_samples / figures["first_run_s"]
            figures["database_mb"] = _size_mb(folder / "database")
        figures["media_mb"] = _size_mb(folder / "media")
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["peak_memory_of_a_worker_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {name: round(figure, 2) for name, figure in figures.items()}


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.samples, options.size_px)
    figures["cores"] = len(os.sched_getaffinity(0))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:28} {figure:10}")


if __name__ == "__main__":
    main()
