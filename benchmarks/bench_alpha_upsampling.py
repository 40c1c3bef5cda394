"""Enlarging an alpha from a model's size to the photograph's: bicubic against the photograph as a guide.

    python benchmarks/bench_alpha_upsampling.py DATA [--choose] [--per-cutout 4] [--every 1] [--json]

DATA is a folder of cutouts and photographs (`cutout_scenes.read_scenes` says which). The true alpha is averaged down to
128 and 256 px, as it is, blurred by 0.7 px, and also displaced by 1 px as where a network misjudges an outline, and
enlarged again. With `--choose` radius and epsilon are varied on one half of cutouts and photographs; without, the other
half is reported: each metric's mean, and guided minus bicubic with the 95 % interval that is clustered by cutout and by
photograph (`evaluation.statistics`).
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.cutout_scenes import CutoutScene, read_scenes, seen_alpha
from decoupage.faults import BadSetup
from decoupage.images.guided import enlarge_alpha
from decoupage.images.sizes import resize_mask, resize_picture
from decoupage.own_size import guided_alpha
from decoupage.preparation import KEPT_RULE, unit_rgb
from evaluation.metrics.cutouts import alpha_mse, alpha_sad, gradient_error, soft_iou
from evaluation.statistics import Clusters, difference

CONDITIONS = tuple(product((128, 256), ((0.0, 0.0), (0.7, 0.0), (0.7, 1.0))))
"""Size, and blur and displacement of the alpha in pixels of that size."""
METRICS = {"sad": alpha_sad, "mse": alpha_mse, "grad": gradient_error, "soft_iou": soft_iou}
RADII_PX, EPSILONS = (1, 2, 3), (1e-5, 1e-4, 1e-3)


def main() -> None:
    """Enlarge, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--choose", action="store_true", help="vary the constants, on the other half")
    parser.add_argument("--per-cutout", type=int, default=4, help="scenes of each cutout")
    parser.add_argument("--every", type=int, default=1, help="of the stamps only every so many")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        scenes = list(read_scenes(arguments.data, "choose" if arguments.choose else "report", *_amounts(arguments)))
    except BadSetup as fault:
        sys.exit(str(fault))
    found = choose(scenes) if arguments.choose else report(scenes)
    print(json.dumps(found) if arguments.json else _lines(found))


def _amounts(arguments: argparse.Namespace) -> tuple[int, int]:
    return arguments.per_cutout, arguments.every


def choose(scenes: list[CutoutScene]) -> dict[str, Any]:
    """Means of all metrics, by radius and epsilon, over both sizes and blurs."""
    ways = {
        f"radius {radius} px, epsilon {epsilon:g}": partial(_guided, radius_px=radius, epsilon=epsilon)
        for radius, epsilon in product(RADII_PX, EPSILONS)
    }
    scores, _ = measure(scenes, {"bicubic": _bicubic, **ways})
    names = list(dict.fromkeys(way for _, way in scores))
    found = {way: np.mean([rows for (_, name), rows in scores.items() if name == way], axis=(0, 1)) for way in names}
    return {way: dict(zip(METRICS, map(float, means), strict=True)) for way, means in found.items()}


def report(scenes: list[CutoutScene]) -> dict[str, Any]:
    """By condition: means of each way, and of guided minus bicubic with its interval."""
    scores, seconds = measure(scenes, {"bicubic": _bicubic, "guided": _as_used, "guided without the mask": _guided})
    clusters = Clusters([scene.photograph for scene in scenes], [scene.cutout for scene in scenes])
    found: dict[str, Any] = {"scenes": clusters.counts | {"num_scenes": len(scenes)}, "seconds_per_scene": seconds}
    for condition in dict.fromkeys(condition for condition, _ in scores):
        of = {way: np.asarray(rows) for (name, way), rows in scores.items() if name == condition}
        entry: dict[str, Any] = {}
        for i, metric in enumerate(METRICS):
            less = difference(of["guided"][:, i], of["bicubic"][:, i], clusters)
            assert less is not None
            entry[metric] = {way: float(rows[:, i].mean()) for way, rows in of.items()}
            entry[metric] |= {"difference": less.mean, "low": less.low, "high": less.high}
        found[condition] = entry
    return found


def measure(
    scenes: list[CutoutScene], ways: dict[str, Any]
) -> tuple[dict[tuple[str, str], list[list[float]]], dict[str, float]]:
    """([scenes][metrics] by condition and way, CPU seconds a scene by way)."""
    scores: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for scene, (size_px, (blur_px, moved_px)) in product(scenes, CONDITIONS):
        condition = f"{size_px} px, " + (f"blurred by {blur_px} px" if blur_px else "as averaged")
        condition += f" and displaced by {moved_px} px" if moved_px else ""
        geometry, alpha = seen_alpha(scene, size_px, blur_px, moved_px)
        for way, enlarge in ways.items():
            began_s = time.process_time()
            enlarged = np.rint(enlarge(scene, geometry, alpha) * 255).astype(np.uint8)
            seconds[way] += time.process_time() - began_s
            truth = scene.layer[..., 3]
            scores[condition, way].append([float(metric(enlarged, truth)) for metric in METRICS.values()])
    number = len(scenes) * len(CONDITIONS)
    return scores, {way: round(total / number, 3) for way, total in seconds.items()}


def _bicubic(scene: CutoutScene, geometry: Any, alpha: Any) -> Any:
    return resize_picture(alpha, geometry.input_px)


def _guided(scene: CutoutScene, geometry: Any, alpha: Any, **constants: Any) -> Any:
    picture = unit_rgb(scene.composite)
    return enlarge_alpha(alpha, resize_picture(picture, geometry.content_px), picture, **constants)


def _as_used(scene: CutoutScene, geometry: Any, alpha: Any) -> Any:
    """As the pipeline does it: the photograph is a guide only about the mask."""
    picture = unit_rgb(scene.composite)
    kept = resize_mask(scene.shows, geometry.content_px, KEPT_RULE)
    return guided_alpha(alpha, resize_picture(picture, geometry.content_px), kept, picture, geometry)


def _lines(found: dict[str, Any]) -> str:
    lines = []
    for name, entry in found.items():
        lines.append(name if any(isinstance(value, dict) for value in entry.values()) else f"{name}: {entry}")
        lines += [f"  {metric}: {value}" for metric, value in entry.items() if isinstance(value, dict)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
