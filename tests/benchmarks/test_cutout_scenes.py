"""Scenes of known alpha for trials: both halves share nothing, and what is not there is said."""

import subprocess

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.cutout_scenes import NAMED, SCENE_PX, read_scenes, seen_alpha
from decoupage.faults import BadSetup
from decoupage.images.alpha import blend
from tests.warm.python import PYTHON


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for folder, names, size in (("cutouts", NAMED, 48), ("training/cutouts_photo", ("a", "b"), 300)):
        (root / folder).mkdir(parents=True)
        for name in names:
            rgba = np.zeros((size, size, 4), np.uint8)
            cv2.circle(
                rgba, (size // 2, size // 2), size // 3, [int(level) for level in rng.integers(256, size=3)] + [255], -1
            )
            Image.fromarray(rgba).save(root / folder / f"{name}.png")
    (root / "photos").mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(root / "photos" / f"{i}.png")
    return root


def test_the_halves_share_neither_cutout_nor_photograph(data):
    halves = [list(read_scenes(data, half, per_cutout=2)) for half in ("choose", "report")]
    for what in ("cutout", "photograph"):
        first, second = ({getattr(scene, what) for scene in half} for half in halves)
        assert first and second and not first & second
    for scene in halves[0]:
        assert max(scene.shows.shape) == SCENE_PX
        alone = blend(scene.background, scene.layer)
        shows = cv2.erode(scene.shows.astype(np.uint8), np.ones((49, 49), np.uint8)) > 0  # The cover's edge is soft.
        assert shows.any() and np.array_equal(scene.composite[shows], alone[shows])
        geometry, alpha = seen_alpha(scene, 128, 0.7, 1.0)
        assert alpha.shape == geometry.content_px and 0 <= alpha.min() < alpha.max() <= 1
    covered = [(scene.layer[..., 3] > 127).sum() > scene.shows.sum() for scene in halves[0]]
    assert any(covered) and not all(covered)


@pytest.mark.parametrize("bench", ["bench_alpha_upsampling", "bench_own_colours"])
def test_a_folder_that_is_not_there_is_said(tmp_path, bench):
    with pytest.raises(BadSetup, match="not there"):
        list(read_scenes(tmp_path, "report", per_cutout=1))
    done = subprocess.run(
        [PYTHON, f"benchmarks/{bench}.py", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "is not there or is empty: name a folder" in done.stderr
    assert "Traceback" not in done.stderr
