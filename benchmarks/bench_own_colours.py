"""The colours of a foreground at the photograph's size: the model's, the photograph's, and what the pipeline gives.

    python benchmarks/bench_own_colours.py DATA [--choose] [--per-cutout 4] [--every 1] [--json]

DATA as for `bench_alpha_upsampling.py`. Of each scene the model is taken to see 128 px: alpha is the true one there,
blurred by 0.7 px, displaced by 0 or 1 px and enlarged as the pipeline does it; the model's colours are the true ones
there, blurred by 0.7 px; the background is the true one outside the mask and blurred by 1.5 px inside. Figures are mean
differences in 8-bit levels where the alpha is mixed: of the layer over another background (green) and of recomposition
with its own. With `--choose` ridge and reach are varied on one half of cutouts and photographs; without, the other half
is reported, with the 95 % interval of own less model's that is clustered by cutout and by photograph.
"""

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.cutout_scenes import CutoutScene, read_scenes, seen_alpha
from decoupage import colours
from decoupage.faults import BadSetup
from decoupage.images.blending import paste_back
from decoupage.images.forms import as_picture
from decoupage.images.sizes import resize_mask, resize_picture, resize_rgba
from decoupage.output import GROW_PX
from decoupage.own_size import enlargement, guided_alpha
from decoupage.preparation import KEPT_RULE, unit_rgb
from decoupage.rgba_values import NEARLY
from evaluation.statistics import Clusters, difference

SIZE_PX, BLUR_PX, BACKGROUND_BLUR_PX, MOVED_PX = 128, 0.7, 1.5, (0.0, 1.0)
LEVELS = (0.2, 0.8)
GREEN = np.array([0.1, 0.8, 0.2], np.float32)
RIDGES, REACHES = (0.01, 0.05, 0.2, 1.0), (0.5, 1.0, 1.5)
FIGURES = ("over_green_levels", "recomposition_levels")
Picture = NDArray[np.float32]


def main() -> None:
    """Colour, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--choose", action="store_true", help="vary the constants, on the other half")
    parser.add_argument("--per-cutout", type=int, default=4, help="scenes of each cutout")
    parser.add_argument("--every", type=int, default=1, help="of the stamps only every so many")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    half = "choose" if arguments.choose else "report"
    try:
        scenes = list(read_scenes(arguments.data, half, arguments.per_cutout, arguments.every))
    except BadSetup as fault:
        sys.exit(str(fault))
    found = measure(scenes, tuple(product(RIDGES, REACHES)) if arguments.choose else ())
    print(json.dumps(found) if arguments.json else "\n".join(f"{name}: {entry}" for name, entry in found.items()))


def measure(scenes: list[CutoutScene], constants: tuple[tuple[float, float], ...]) -> dict[str, Any]:
    """By displacement: the figures of each way."""
    clusters = Clusters([scene.photograph for scene in scenes], [scene.cutout for scene in scenes])
    found: dict[str, Any] = {"scenes": clusters.counts | {"num_scenes": len(scenes)}}
    for moved_px in MOVED_PX:
        rows: dict[str, list[tuple[float, float]]] = {}
        for scene in scenes:
            layer, picture, background, enlarged = _seen(scene, moved_px)
            for way, colour in _ways(layer, picture, background, scene, enlarged, constants).items():
                rows.setdefault(way, []).append(_figures(scene, layer[..., 3:], colour, background, picture))
        entry: dict[str, Any] = {
            way: dict(zip(FIGURES, map(float, np.mean(of, axis=0)), strict=True)) for way, of in rows.items()
        }
        for i, figure in enumerate(FIGURES if "own" in rows else ()):
            less = difference(*(np.asarray(rows[way])[:, i] for way in ("own", "model")), clusters)
            entry[f"own less model, {figure}"] = less and {"mean": less.mean, "low": less.low, "high": less.high}
        found[f"displaced by {moved_px} px"] = entry
    return found


def _seen(scene: CutoutScene, moved_px: float) -> tuple[Picture, Picture, Picture, float]:
    """(the layer with the model's colours, the picture, the background) at the picture's size; their enlargement."""
    picture, truth = unit_rgb(scene.composite), unit_rgb(scene.layer)
    geometry, alpha = seen_alpha(scene, SIZE_PX, BLUR_PX, moved_px)
    small, size = geometry.content_px, geometry.input_px
    kept = resize_mask(scene.shows, small, KEPT_RULE)
    alpha = guided_alpha(alpha, resize_picture(picture, small), kept, picture, geometry)
    alpha = ((alpha - LEVELS[0]) / (LEVELS[1] - LEVELS[0])).clip(0, 1)
    alpha = np.where(alpha <= NEARLY, 0, np.where(alpha >= 1 - NEARLY, 1, alpha)).astype(np.float32)
    colour = cv2.GaussianBlur(resize_rgba(truth, small)[..., :3], (0, 0), BLUR_PX)
    invented = cv2.GaussianBlur(resize_picture(unit_rgb(scene.background), small), (0, 0), BACKGROUND_BLUR_PX)
    mask = as_picture(scene.shows.astype(np.float32))[:, :1]
    plate = paste_back(as_picture(scene.background), as_picture(resize_picture(invented, size)), mask, GROW_PX)
    layer = np.dstack([resize_picture(colour, size), alpha])
    return layer, picture, plate[0].permute(1, 2, 0).numpy(), enlargement(geometry)


def _ways(
    layer: Picture,
    picture: Picture,
    background: Picture,
    scene: CutoutScene,
    enlarged: float,
    constants: tuple[tuple[float, float], ...],
) -> dict[str, Picture]:
    """Colours [H, W, 3] of the layer where the object shows, by way."""
    everywhere = np.ones(scene.shows.shape, bool)
    if constants:
        found = {}
        for ridge, reach in constants:
            colours.RIDGE, colours.REACH_WORKED_PX = ridge, reach
            coloured = colours.own_colours(layer, picture, background, everywhere, enlarged)
            found[f"ridge {ridge}, reach {reach} px"] = coloured[..., :3]
        return found
    alpha = layer[..., 3:]
    exact = ((picture - (1 - alpha) * background) / np.maximum(alpha, 1e-3)).clip(0, 1)
    own = colours.own_colours(layer, picture, background, everywhere, enlarged)[..., :3]
    return {"model": layer[..., :3], "photograph": picture, "exact": exact, "own": own}


def _figures(
    scene: CutoutScene, alpha: Picture, colour: Picture, background: Picture, picture: Picture
) -> tuple[float, float]:
    """`FIGURES` over the mixed pixels around what shows of the object."""
    truth = unit_rgb(scene.layer)
    near = cv2.dilate(scene.shows.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    covered = (scene.layer[..., 3] > 127) & ~scene.shows
    mixed = (alpha[..., 0] > 0) & (alpha[..., 0] < 1) & near & ~covered
    over = colour * alpha + GREEN * (1 - alpha) - truth[..., :3] * truth[..., 3:] - GREEN * (1 - truth[..., 3:])
    again = colour * alpha + background * (1 - alpha) - picture
    first, second = (255 * float(np.abs(each[mixed]).mean()) for each in (over, again))
    return first, second


if __name__ == "__main__":
    main()
