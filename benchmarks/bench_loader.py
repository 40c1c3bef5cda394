"""How fast the loader feeds a training: samples per second of one core, and of worker processes.

    python benchmarks/bench_loader.py [--size-px 256 1024] [--sample-px 64] [--data PATH] [--samples 96]
        [--workers 2] [--json]

Without `--data` it makes scenes of the demo's packaged sources at each size, so it runs anywhere. Files are in the
page cache, as they are in training after their first reading ahead. CPU seconds are steadier than wall seconds on
shared machines; the figures of the main process are per CPU second, those of workers per wall second.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import cv2
import torch

from pipelines.factory import Factory
from pipelines.stages.store import Store
from profiles.profile import load_profile
from training.data import DataLoading, TripletLoader

BATCH_SIZE = 4
SCENES = 24


def make_shards(size_px: int, folder: str) -> str:
    """A dataset of the demo's sources at another size; returns its root."""
    overrides = {
        "scenes.size_px": str(size_px),
        "scenes.num_scenes": str(SCENES),
        "scenes.scenes_per_shard": str(SCENES // 2),
        # A 512 px photograph must be enlarged to fill larger scenes; the work for a scene is the same.
        "scenes.size.max_enlargement": "4.0",
        "scenes.max_background_enlargement": "4.0",
    }
    Factory(load_profile("demo", folder, overrides), Store(folder)).make_shards()
    return folder


def measure(data: str, num_samples: int, num_workers: int, sample_px: int | None) -> dict[str, float]:
    """Figures by name, with their units, of one dataset; samples are made smaller when `sample_px` is given."""
    side_px = TripletLoader(data, DataLoading(batch_size=BATCH_SIZE)).size_px
    loading = DataLoading(batch_size=BATCH_SIZE, size_px=sample_px)
    started = time.perf_counter()
    TripletLoader(data, loading)
    figures: dict[str, float] = {"open_wall_ms": 1000 * (time.perf_counter() - started)}
    variants = {
        "": loading,
        "_no_maps": replace(loading, maps=()),
        "_stored_masks": replace(loading, redraw_masks=False),
    }
    for name, variant in variants.items():
        figures[f"samples_per_cpu_s{name}"] = _rate(TripletLoader(data, variant), num_samples, time.process_time)[0]
    batches = _rate(TripletLoader(data, replace(loading, num_workers=num_workers)), num_samples, time.perf_counter)
    figures[f"samples_per_wall_s_{num_workers}_workers"], figures["workers_first_batch_wall_s"] = batches
    sizes = f"{side_px}px" if sample_px is None else f"{side_px}px_to_{sample_px}px"
    return {f"{name}_{sizes}": round(figure, 3) for name, figure in figures.items()}


def _rate(loader: TripletLoader, num_samples: int, clock: Callable[[], float]) -> tuple[float, float]:
    """(samples per second of a clock, wall seconds until the first batch); the first batches are not counted."""
    entered = time.perf_counter()
    batches = loader.batches()
    next(batches)
    first_s = time.perf_counter() - entered
    # What workers have made ready while they started must not count.
    warm_up = loader.loading.num_workers * loader.loading.prefetch_batches + 1
    for _ in islice(batches, warm_up):
        pass
    num_batches = max(1, num_samples // BATCH_SIZE)
    started = clock()
    for _ in islice(batches, num_batches):
        pass
    return num_batches * BATCH_SIZE / (clock() - started), first_s


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-px", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--sample-px", type=int, help="side of the samples, if scenes are to be made smaller")
    parser.add_argument("--data", help="shards to measure instead of making some")
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    figures: dict[str, float] = {"cores": len(os.sched_getaffinity(0))}
    how = (arguments.samples, arguments.workers, arguments.sample_px)
    if arguments.data:
        figures |= measure(arguments.data, *how)
    else:
        for size_px in arguments.size_px:
            with tempfile.TemporaryDirectory() as folder:
                figures |= measure(
                    make_shards(size_px, folder), arguments.samples, arguments.workers, arguments.sample_px
                )
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:40} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
