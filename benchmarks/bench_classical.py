"""Classical fills against each other: background where the target shows, and time, with exact and imperfect masks.

    python benchmarks/bench_classical.py PHOTOS CUTOUTS [--size-px 256] [--crops 2] [--grown 0 2] [--fills telea smooth]

PHOTOS are folders of photographs, separated by commas; CUTOUTS is a folder of RGBA cutouts. Each crop gets one cutout,
whose longer side is 30 to 70 % of the crop's, and a mask of the profile `demo`. Prints one JSON object: for each kind
of mask and each fill, mean PSNR and SSIM where the target shows, PSNR around it and CPU ms a picture; and each fill's
mean gain over the first one with a 95 % interval that is clustered by photograph and cutout.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from decoupage.images.sizes import resize_picture, resize_rgba
from decoupage.images.types import Mask, Rgb
from decoupage.randomness import generator
from evaluation.cases import Case
from evaluation.method import Layers
from evaluation.methods.classical import INPAINT_RADIUS_PX
from evaluation.methods.fills import biharmonic, harmonic
from evaluation.metrics.score import score
from evaluation.regions import distance_px
from evaluation.statistics import Clusters, difference
from pipelines.masks.imperfect import imperfect_mask
from pipelines.scenes.parts import Layer, SceneParts
from profiles.profile import load_profile

METRICS = ("psnr_mask", "psnr_ring_pasted", "ssim_mask")
Fill = Callable[[Rgb, Mask], Rgb]


def _opencv(algorithm: int) -> Fill:
    return lambda rgb, hole: np.asarray(cv2.inpaint(rgb, hole.astype(np.uint8), INPAINT_RADIUS_PX, algorithm), np.uint8)


FILLS: dict[str, Fill] = {
    "telea": _opencv(cv2.INPAINT_TELEA),
    "navier_stokes": _opencv(cv2.INPAINT_NS),
    "smooth": harmonic,
    "biharmonic": biharmonic,
}


def main() -> None:
    """Fill, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTOS")
    parser.add_argument("cutouts", metavar="CUTOUTS", type=Path)
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--crops", type=int, default=2, help="of each photograph")
    parser.add_argument("--grown", type=int, nargs="+", default=[0, 2], help="growth of the mask in pixels")
    parser.add_argument("--fills", nargs="+", choices=FILLS, default=list(FILLS))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    cases = list(_cases(arguments.photos.split(","), arguments.cutouts, arguments.size_px, arguments.crops))
    figures: dict[str, dict[str, object]] = {"num_pictures": {kind: len(found) for kind, found in _by_kind(cases)}}
    for kind, of_kind in _by_kind(cases):
        figures[kind] = _measured(of_kind, list(product(arguments.fills, arguments.grown)))
    print(json.dumps(figures, indent=1))


def _by_kind(cases: list[tuple[str, Case]]) -> list[tuple[str, list[Case]]]:
    found: dict[str, list[Case]] = defaultdict(list)
    for kind, case in cases:
        found[kind].append(case)
    return list(found.items())


def _cases(photos: list[str], cutouts: Path, size_px: int, num_crops: int) -> Iterator[tuple[str, Case]]:
    config = load_profile("demo", None).masks
    objects = sorted(path for path in cutouts.iterdir() if path.suffix in (".png", ".webp"))
    paths = sorted(path for folder in photos for path in Path(folder).iterdir() if path.suffix in (".png", ".jpg"))
    for path, number in product(paths, range(num_crops)):
        rng = generator(0, "bench.classical", f"{path.name}/{number}")
        picture = np.asarray(Image.open(path).convert("RGB"))
        side = int(min(picture.shape[:2]) * rng.uniform(0.6, 1.0))
        top, left = (int(rng.integers(0, length - side, endpoint=True)) for length in picture.shape[:2])
        background = resize_picture(picture[top : top + side, left : left + side], (size_px, size_px))
        chosen = objects[int(rng.integers(len(objects)))]
        cutout = np.asarray(Image.open(chosen).convert("RGBA"))
        scale = size_px * rng.uniform(0.3, 0.7) / max(cutout.shape[:2])
        height, width = (max(8, round(length * scale)) for length in cutout.shape[:2])
        rgba = resize_rgba(cutout, (height, width))
        y, x = (int(rng.integers(0, size_px - length, endpoint=True)) for length in (height, width))
        layer = Layer(rgba, (x, y, x + width, y + height))
        parts = SceneParts(f"{path.stem}-{number}", background, (layer,), {"layers": [{}]})
        visible = parts.visible_mask(0)
        drawn = imperfect_mask(parts, 0, config, rng)
        for kind, mask in (("exact", visible), ("imperfect", drawn.mask)):
            name = f"{path.parent.name}-{parts.key}"
            yield (
                kind,
                Case(
                    name, name, path.name, chosen.name, parts.composite, mask, visible, background, None, None, 0.0, {}
                ),
            )


def _measured(cases: list[Case], fills: list[tuple[str, int]]) -> dict[str, object]:
    scores: dict[str, dict[str, list[float]]] = {}
    milliseconds: dict[str, list[float]] = {}
    for fill, grown_px in fills:
        name = f"{fill}+{grown_px}"
        columns = scores.setdefault(name, {metric: [] for metric in METRICS})
        for case in cases:
            hole = distance_px(case.mask) <= grown_px
            began_s = time.process_time()
            filled = FILLS[fill](case.composite, hole)
            milliseconds.setdefault(name, []).append(1000 * (time.process_time() - began_s))
            found = score(case, Layers(background=filled))
            for metric in METRICS:
                columns[metric].append(found["background", metric])
    clusters = Clusters([case.photograph for case in cases], [case.origin for case in cases])
    first = np.array(next(iter(scores.values()))["psnr_mask"])
    found_by: dict[str, object] = {}
    for name, columns in scores.items():
        gain = difference(np.array(columns["psnr_mask"]), first, clusters)
        assert gain is not None and gain.low is not None and gain.high is not None, "there are many photographs"
        found_by[name] = {metric: round(float(np.nanmean(column)), 3) for metric, column in columns.items()} | {
            "psnr_gain": [round(value, 2) for value in (gain.low, gain.mean, gain.high)],
            "cpu_ms": round(float(np.mean(milliseconds[name])), 1),
            "cpu_ms_most": round(max(milliseconds[name]), 1),
        }
    return found_by


if __name__ == "__main__":
    main()
