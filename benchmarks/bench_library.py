"""What a worker pays to draw from a large library: seconds, memory, how evenly assets are used, what a change moves.

    python benchmarks/bench_library.py [--real 7000] [--generated 3000] [--backgrounds 10000] [--removed 8] [--json]

The catalogues are synthetic, of the size and with the areas that the paper's sources have; the recipe is the paper's.
Only first draws are made, no pictures.
"""

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from decoupage.randomness import hash64
from pipelines.config import ScenesConfig
from pipelines.library.catalogue import write_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord, Kind
from pipelines.scenes.draws import Pool
from pipelines.stages.store import Store
from profiles.profile import load_profile

AREA_MEDIAN_PX, AREA_LOG_SD, AREA_MAX_PX = 1156.0, 2.4, 300_000.0
"""Log-normal fit to the 734 instances of a hundred photographs of COCO val2014 (the COCO API's example results)."""
OBJECTS = ("person", "person", "person", "car", "dog", "chair", "bottle", "boat", "bird", "apple", "horse", "kite")
OFFERS = {"ground": 0.5, "surface": 0.3, "water": 0.15, "sky": 0.4, "hang": 0.3}
"""Shares of the photographs that offer a support; assumed values."""


def foreground(i: int, kind: Kind, area_px: float) -> ForegroundRecord:
    """A record with texts as long as real ones."""
    side = round(area_px**0.5 * 1.4)
    return ForegroundRecord(
        *(f"{kind}-{i:012d}-0", "mulan" if kind == "real" else "layerdiffuse", kind, f"{kind}:{i:012d}"),
        *(f"{kind}-{i:012d}-0.webp", f"{i:064x}", side, side, area_px, 0.5, 0.1, False, "complete", ""),
        *(OBJECTS[i % len(OBJECTS)], "", f"a caption of about fifty letters for object {i:09d}", "CC-BY-NC-SA-4.0"),
        *("MULAN (Tudosiu et al. 2024), https://mulan-dataset.github.io", 3.0, f"{i:016x}", "train"),
        *(f"foregrounds/{kind}/{i % 64:05d}.tar", i * 1000, 90_000, OBJECTS[i % len(OBJECTS)]),
    )


def background(i: int) -> BackgroundRecord:
    """A record with texts as long as real ones."""
    offers = " ".join(name for name, share in OFFERS.items() if hash64(name, i) < share * 2**64)
    return BackgroundRecord(
        *(f"openimages-{i:016x}", "openimages", f"openimages:{i:016x}", f"{i:016x}.jpg", f"{i:064x}", 1600, 1200),
        *(0, 40.0, "", "CC-BY-2.0", f"author {i % 30000}, https://www.flickr.com/photos/{i:08d}", f"{i:016x}", "train"),
        *(offers, 0.5, 0.0, 0.0, f"{i:064x}"),
    )


def write_catalogues(store: Store, sizes: tuple[int, int, int], without: tuple[str, ...] = ()) -> None:
    """Both catalogues under `library/`; real cutouts have the areas of COCO's instances."""
    rng = np.random.default_rng(0)
    least_px = load_profile("paper").scenes.min_area_px("small")
    areas_px = np.exp(rng.normal(np.log(AREA_MEDIAN_PX), AREA_LOG_SD, 16 * sizes[0]))
    drawn = {"real": areas_px, "generated": np.full(sizes[1], 250_000.0)}
    records = []
    for kind, num in (("real", sizes[0]), ("generated", sizes[1])):
        areas = drawn[kind][(drawn[kind] >= least_px) & (drawn[kind] < AREA_MAX_PX)][:num]
        records += [foreground(i, kind, float(area)) for i, area in enumerate(areas)]
    write_catalogue(store, [record for record in records if record.id not in without])
    write_catalogue(store, [record for i in range(sizes[2]) if (record := background(i)).id not in without])


def rss_mb() -> float:
    """Resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def draw_all(root: str, config: ScenesConfig) -> dict[str, Any]:
    """First draws of all scenes, as a fresh worker makes them: `draws` a key, seconds and memory."""
    before_mb, started = rss_mb(), time.perf_counter()
    pool = Pool.read(Store(root), config, "train")
    read_s, read_mb = time.perf_counter() - started, rss_mb() - before_mb
    keys = [f"{i:08d}" for i in range(config.num_scenes)]
    started = time.perf_counter()
    pool.rows(keys[-1], pool.plan(keys[-1]), 0)  # All before it are worked out for it.
    first_s = time.perf_counter() - started
    figures = {"read_s": read_s, "read_mb": read_mb, "last_scene_s": first_s, "worker_mb": rss_mb()}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    fronts, backs = list(pool.foregrounds.texts("id")), list(pool.backgrounds.texts("id"))
    shown = {}
    for key in keys:
        rows = pool.rows(key, pool.plan(key), 0)
        assert rows is not None, "the library fills every scene"
        shown[key] = [*(fronts[row] for row in rows[:-1]), backs[rows[-1]]]
    return figures | {"shown": shown}


def in_worker(root: str, config: ScenesConfig) -> dict[str, Any]:
    """`draw_all` in a fresh process."""
    with get_context("spawn").Pool(1) as processes:
        return processes.apply(draw_all, (root, config))


def uses_figures(uses: Counter[str], sizes: tuple[int, int, int]) -> dict[str, float]:
    """How evenly the assets of each kind are used: numbers of scenes, and shares of all uses."""
    figures = {}
    for prefix, num in zip(("real", "generated", "openimages"), sizes, strict=True):
        counts = np.zeros(num, int)
        found = sorted((count for asset, count in uses.items() if asset.startswith(prefix)), reverse=True)
        counts[: len(found)] = found
        figures[f"{prefix}_never_used_share"] = float((counts == 0).mean())
        for share in (0.01, 0.1):
            top = counts[: max(1, round(share * num))].sum() / max(1, counts.sum())
            figures[f"{prefix}_top_{share:.0%}_share"] = float(top)
        figures[f"{prefix}_mean_uses"] = float(counts.mean())
        for name, quantile in (("min", 0.0), ("median", 0.5), ("p90", 0.9), ("max", 1.0)):
            figures[f"{prefix}_{name}_uses"] = float(np.quantile(counts, quantile))
    return figures


def measure(sizes: tuple[int, int, int], num_scenes: int, num_removed: int) -> dict[str, Any]:
    """Figures by name, with their units."""
    config = load_profile("paper", overrides={"scenes.num_scenes": str(num_scenes)}).scenes
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        write_catalogues(store, sizes)
        figures = in_worker(folder, config)
        shown = figures.pop("shown")
        uses = Counter(asset for assets in shown.values() for asset in assets)
        figures |= uses_figures(uses, sizes)
        rng = np.random.default_rng(1)
        for kind, num in (("real", sizes[0]), ("generated", sizes[1])):
            moved = []
            for gone in rng.choice(num, num_removed, replace=False):
                write_catalogues(store, sizes, (f"{kind}-{gone:012d}-0",))
                now = in_worker(folder, config)["shown"]
                moved.append(sum(now[key] != shown[key] for key in shown))
            if moved:
                figures[f"scenes_moved_by_removing_a_{kind}"] = float(np.mean(moved))
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=int, default=7_000)
    parser.add_argument("--generated", type=int, default=3_000)
    parser.add_argument("--backgrounds", type=int, default=10_000)
    parser.add_argument("--scenes", type=int, default=50_000)
    parser.add_argument("--removed", type=int, default=8, help="assets of a kind removed, one at a time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure((arguments.real, arguments.generated, arguments.backgrounds), arguments.scenes, arguments.removed)
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:36} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
