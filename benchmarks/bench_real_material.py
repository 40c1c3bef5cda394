"""Tries the paper's settings on third-party pictures: what is kept, what is made, and what it looks like.

    python benchmarks/bench_real_material.py DIR [--out FOLDER] [--scenes 200] [--pictures 64] [--to-show]

DIR holds third-party photographs and cutouts (`benchmarks/real_material` says which, and what stands in for what).
Runs the profile `paper`'s filters, library and scenes at 1024 px in a temporary folder, or in FOLDER, where the
pictures to look at stay: `pictures/<key>.png`. With `--to-show` only material that may be shown publicly goes into the
scenes: photographs under CC0 and the rendered objects, at 512 px. Prints one JSON object.
"""

import argparse
import dataclasses
import io
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.real_material.labels import HandLabels
from benchmarks.real_material.material import PHOTOGRAPHS, RENDERED, TO_SHOW, Rendered, write_tree
from decoupage.images.codecs import encode_png
from pipelines.backgrounds.layouts import LayoutsStage
from pipelines.factory import Factory
from pipelines.foregrounds.generate import Generate
from pipelines.scenes.draws import Pool
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import read_members, scene_keys
from pipelines.scenes.sharpness import log2_ratio
from pipelines.stages.run import Report
from pipelines.stages.store import Store
from profiles.profile import Profile, load_profile

_TO_SHOW = {
    "scenes.size_px": 512,
    "scenes.generated_share": 1.0,
    "backgrounds.min_side_px": 512,
    "backgrounds.max_thing_share": 0.35,
}


def main() -> None:
    """Run the trial and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, help="folder of the trial; it must not hold another one")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=64, help="composites written for people to look at")
    parser.add_argument("--to-show", action="store_true", help="CC0 photographs and rendered objects alone, at 512 px")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or Path(folder)
        figures = measure(arguments.data, out, arguments.scenes, arguments.pictures, arguments.to_show)
    print(json.dumps(figures, indent=1))


def measure(data: Path, out: Path, num_scenes: int, num_pictures: int, to_show: bool) -> dict[str, Any]:
    """Figures by name."""
    write_tree(data, out / "mulan")
    photographs = data / (TO_SHOW if to_show else PHOTOGRAPHS)
    profile = _profile(photographs, out, num_scenes, _TO_SHOW if to_show else {})
    store = Store(profile.root)
    factory = _factory(profile, store, data, photographs)
    factory.observe_mulan()
    assert factory.layouts is not None
    sources = [factory.run(stage) for stage in (*factory.foreground_sources, factory.backgrounds, factory.layouts)]
    factory.foreground_library()
    factory.background_library()
    began_s = time.perf_counter()
    scenes = factory.run(factory.scenes)
    seconds = time.perf_counter() - began_s
    _write_pictures(store, scenes, out / "pictures", num_pictures)
    kept = {report.stage: {"kept": report.num_rows, "dropped": report.drops_by_reason} for report in sources}
    return {"sources": kept, **_scene_figures(profile, store, scenes), "ms_per_scene": 1000 * seconds / num_scenes}


def _profile(photographs: Path, out: Path, num_scenes: int, changed: dict[str, Any]) -> Profile:
    changes = {
        "mulan.annotations": out / "mulan/annotations",
        "mulan.images": out / "mulan/images",
        "mulan.num_shards": 2,
        "mulan.coco.info": "",
        "mulan.licences": [],
        "backgrounds.source": "folder",
        "backgrounds.folder": photographs,
        "backgrounds.num_shards": 1,
        "generated.generator": "rendered",  # The generator itself is put in its place below.
        "generated.num_shards": 2,
        "prompts.source": "builtin",
        "scenes.num_scenes": num_scenes,
        "scenes.scenes_per_shard": 100,
        "library.held_out_share": 0.0,
        "engine.kind": "serial",
        "generated.safety_filter.use": False,  # There are no people among the rendered objects.
        **changed,
    }
    overrides = {
        key: json.dumps(value if isinstance(value, list | bool | int | float) else str(value))
        for key, value in changes.items()
    }
    return load_profile("paper", str(out / "root"), overrides)


def _factory(profile: Profile, store: Store, data: Path, photographs: Path) -> Factory:
    """The factory of the profile, with the trial's stand-ins instead of its generator and networks."""
    factory, labels = Factory(profile, store), HandLabels(photographs)
    rendered = Rendered(data / RENDERED)
    generated = factory.generated_foregrounds
    generated.task, generated.read = Generate(rendered, generated.gates, None), rendered.prompts
    generated.recipe = {**generated.recipe, "generator": rendered.recipe}
    backgrounds = profile.backgrounds.model_copy(update={"max_thing_share": 1.0})
    factory.__dict__["backgrounds"] = dataclasses.replace(
        Factory(profile.model_copy(update={"backgrounds": backgrounds}), store).backgrounds,
        config=profile.backgrounds,
        labeller=labels,
    )
    factory.__dict__["layouts"] = LayoutsStage(store, factory.photographs, factory.backgrounds, labels)
    return factory


def _scene_figures(profile: Profile, store: Store, scenes: Report) -> dict[str, Any]:
    rows = [
        row
        for manifest in scenes.shards.values()
        for row in pq.read_table(io.BytesIO(store.read(f"scenes/{manifest.shard}.parquet"))).to_pylist()
    ]
    pool = Pool.read(store, profile.scenes, "train")
    planned = [pool.plan(f"{i:08d}") for i in range(profile.scenes.num_scenes)]
    uses = sorted(Counter(row["foreground_id"] for row in rows).values(), reverse=True)
    scores = {name: [row[name] for row in rows if row[name] is not None] for name in _MEASURED}
    both = [(row["sharpness"], row["sharpness_around"]) for row in rows if row["sharpness"] is not None]
    scores["sharpness_log2_ratio"] = [log2_ratio(*pair) for pair in both]
    return {
        "scenes_planned": len(planned),
        "scenes_made": scenes.num_items,
        "triplets_planned": sum(map(len, planned)),
        "triplets_made": len(rows),
        "attempts_per_scene": scenes.counts["attempts"] / max(1, scenes.num_items),
        "rejected": {name: num for name, num in scenes.counts.items() if name != "attempts"},
        "cutouts_used": len(uses),
        "uses_max": uses[0],
        "uses_share_of_top_tenth": sum(uses[: max(1, len(uses) // 10)]) / sum(uses),
        "backgrounds_used": len({row["background_id"] for row in rows}),
        "supports": dict(Counter(row["support"] or row["placement"] for row in rows).most_common()),
        **{f"{name}_quartiles": statistics.quantiles(values, n=4) for name, values in scores.items() if values},
    }


_MEASURED = ("scale", "background_enlargement", "height_ratio")


def _write_pictures(store: Store, scenes: Report, folder: Path, most: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keys = ((manifest, key) for manifest in scenes.shards.values() for key in scene_keys(manifest))
    for manifest, key in islice(keys, most):
        parts = SceneParts.decode(key, read_members(store, manifest, key))
        (folder / f"{key}.png").write_bytes(encode_png(parts.composite))


if __name__ == "__main__":
    main()
